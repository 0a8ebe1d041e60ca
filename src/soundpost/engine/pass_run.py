"""One pass over all clips: workers fill the cache, windows gather into batches, lanes answer, clips get done.

One thread owns everything here. It gives work out and takes news in, and never does anything that takes long, so it
sees the deadline, a signal or a dead worker within a fraction of a second.
"""

from collections.abc import Callable, Mapping

from soundpost.engine.clip_states import ClipStates, PassPlan
from soundpost.engine.extract_stage import ExtractStage
from soundpost.engine.predict_stage import PredictStage
from soundpost.engine.session import Session
from soundpost.ensemble.passes import Pass
from soundpost.inference.batch_model import BatchModel

WAIT_SECONDS = 0.1  # longest wait for news


class PassRun:
    """One pass, or several that share their batches, from the first clip that lacks an answer to the last.

    Args:
        session: shared with the other passes.
        plan: what is shown to whom.
        predictors: one for each lane's device; groups of folds where there are several members.
    """

    def __init__(self, session: Session, plan: PassPlan, predictors: Mapping[str, BatchModel]) -> None:
        self._session = session
        self.plan = plan
        self._states = ClipStates(session, plan)
        self._extract = ExtractStage(session, plan, self._states)
        self._predict = PredictStage(session, plan, self._states, predictors)
        self.total = len(self._states.open)
        self.is_drained = True  # whether no lane has a job of this pass

    @property
    def done(self) -> int:
        """Clips that need nothing more in this pass."""
        return self.total - len(self._states.open)

    @property
    def failed(self) -> int:
        """Clips that folds could not answer together, because one of them raised."""
        return self._states.failed

    def run(self, attend: Callable[["PassRun"], None]) -> bool:
        """Work until every clip is done (True), or until the deadline or a signal (False).

        Args:
            attend: called between any two pieces of news, at least every WAIT_SECONDS.

        Raises:
            DeviceError: the last device is broken or hangs.
        """
        is_complete = self._work(attend)
        self.is_drained = self._predict.drain()
        return is_complete

    def _work(self, attend: Callable[["PassRun"], None]) -> bool:
        session = self._session
        while self._states.open:
            if session.should_stop() or session.deadline.left() <= 0:
                return False
            self._predict.admit()
            self._predict.feed(self._extract.waiting_workers)
            self._extract.feed()
            wait = min(WAIT_SECONDS, max(0.0, session.deadline.left()))
            for worker, message in session.pool.messages(wait, (session.results.wake,)):
                self._extract.heard(worker, message)
            self._predict.take_answers()
            self._extract.watch()
            self._predict.watch()
            attend(self)
        return True

    def failure(self, work: Pass) -> str:
        """Why one of the passes has failed: no batch was answered; empty when some were, or there were none."""
        if not self._states.failures or self._session.predictions.seen(work.member, work.view).any():
            return ""
        return self._states.failures.most_common(1)[0][0]

    def seconds_left(self) -> float | None:
        """Expected duration of what is left of this pass, by the lanes' speed so far."""
        return self._predict.seconds_left()
