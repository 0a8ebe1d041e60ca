"""The whole run on one page: provide what the passes share, run them one after the other, write, report."""

from collections.abc import Callable, Sequence

from soundpost.engine.clip_states import PassPlan
from soundpost.engine.heartbeat import Tell
from soundpost.engine.housekeeping import Housekeeping
from soundpost.engine.pass_run import PassRun
from soundpost.engine.progress import passes_named
from soundpost.engine.provision import provisioned
from soundpost.engine.scheduler import Scheduler
from soundpost.engine.session import Session
from soundpost.ensemble.passes import Pass
from soundpost.errors import DeviceError, WeightsError
from soundpost.exit_status import STATUS_DEFECT, STATUS_NOTHING, STATUS_OK
from soundpost.settings import RunSettings


def run(settings: RunSettings, should_stop: Callable[[], bool] = lambda: False, tell: Tell = lambda _: None) -> int:
    """Run once in this process.

    Returns:
        The exit status: 0 when every row has a prediction or a counted fallback, 3 when no clip was reached in time, or
        when not one row has a file and nobody can expect that these come later.

    Raises:
        KitError: settings, weights or limits with which there can be no prediction at all.
        DeviceError: a device broke; another engine, without it, can go on where this one stood.
    """
    with provisioned(settings, should_stop, tell) as session:
        return Run(session).run()


class Run:
    """One run over a session; run() is its story.

    Args:
        session: what the passes share.
        look: called between any two pieces of news of a pass, after the run's own chores.
    """

    def __init__(self, session: Session, look: Callable[[PassRun], None] = lambda _: None) -> None:
        self.session = session
        self._look = look
        self.scheduler = Scheduler(session)
        self._begun: Sequence[Pass] = ()  # all that have run, and those that run now
        self._housekeeping = Housekeeping(session, lambda: self.scheduler.seconds_after(self._begun))

    def run(self) -> int:
        """Every pass in order, then the end; the exit status of the engine."""
        done: list[Pass] = []
        while (work := self.scheduler.next(done)) is not None:
            works = self.scheduler.sharing(work, done)
            done += works
            if not self.run_pass(works, done):
                break
        return self._finish()

    def run_pass(self, works: Sequence[Pass], done: Sequence[Pass]) -> bool:
        """One pass, or several that share their batches.

        Args:
            works: those with one recipe and view.
            done: all that have run, with these.

        Returns:
            False when the run must end.
        """
        session = self.session
        self._begun = tuple(done)
        works = [work for work in works if session.predictors(work.member) is not None]
        if not works:
            return True
        self._load_next(done)
        recipe, _ = session.models.members[works[0].member]
        is_kept = recipe.digest() in self._digests_after(done)
        plan = PassPlan(works, recipe, session.models.sizes.view(recipe, works[0].view), is_kept)
        pass_run = PassRun(session, plan, self.scheduler.predictors(works))
        complete = self._watched(pass_run, self._name(works), len(done))
        if complete and pass_run.failed:
            name = self._name(works)
            session.report.counts[f"{session.report.units.worked} that {name} answered one after the other"] += (
                pass_run.failed
            )
            return all(self.run_pass([work], done) for work in works)
        if not is_kept and pass_run.is_drained:  # else a lane may still be reading
            session.cache.drop(recipe.digest())
        self._unload(works, done)
        return complete

    def _watched(self, pass_run: PassRun, name: str, number: int) -> bool:
        """The pass with its lines of the log; whether it is complete."""
        session = self.session
        began = session.deadline.elapsed()
        works = pass_run.plan.works
        count, planned = len(works), len(session.models.passes)
        session.progress.begin(passes_named(number - count + 1, count, planned, name), pass_run.total)
        session.log.pass_began(name, count, pass_run.total, session.report.units.worked)
        complete = pass_run.run(self._attend)
        session.progress.end()
        session.log.pass_ended(pass_run.done, complete)
        session.memory.look(force=True)
        self._housekeeping.sample()
        self._housekeeping.say_notes()
        session.live.renew()
        if complete and not pass_run.failed:
            self.scheduler.took(works[0], (session.deadline.elapsed() - began) / len(works))
            session.progress.say(
                f"{name}: {pass_run.done:,} {session.report.units.worked} done; {self._housekeeping.cache_note()}"
            )
            for work in works:
                self._count(work, pass_run.failure(work))
        elif not complete and not session.should_stop():
            session.report.passes_cut = name
        return complete

    def _attend(self, pass_run: PassRun) -> None:
        self._housekeeping.attend(pass_run)
        self._look(pass_run)

    def _count(self, work: Pass, failure: str) -> None:
        """A pass is over: complete, or failed, which costs its member the passes that would follow."""
        session = self.session
        if not failure:
            session.report.passes_done += 1
            return
        name = self._name([work])
        session.report.passes_failed[name] = failure
        session.models.skip(work.member, f"no batch of its pass {name} was answered: {failure}")

    def _name(self, works: Sequence[Pass]) -> str:
        first = works[0].name(self.session.models.members)
        return first + (f" and {len(works) - 1} more" if len(works) > 1 else "")

    def _load_next(self, done: Sequence[Pass]) -> None:
        """Begin to load what the pass after this one needs, and those that will share its batches."""
        following = self.scheduler.next(done)
        if following is not None:
            for work in self.scheduler.sharing(following, done, is_guessed=self.session.on_gpu):
                self.session.models.load(work.member)

    def _digests_after(self, done: Sequence[Pass]) -> set[str]:
        models = self.session.models
        return {models.members[p.member][0].digest() for p in models.passes if p not in done}

    def _unload(self, works: Sequence[Pass], done: Sequence[Pass]) -> None:
        models = self.session.models
        for work in works:
            if all(p.member != work.member for p in models.passes if p not in done):
                models.unload(work.member)

    # ------------------------------------------------------------ the end

    def _finish(self) -> int:
        """The last write, the report, and the status: 0 with answers, 3 without any, 1 if they could not be written."""
        session = self.session
        session.heartbeat.rest()
        report, live = session.report, session.live
        written = live.finish()
        if not written:
            report.counts[f"last write failed ({live.error or 'too slow'}), the one before it stands"] += 1
        for name, clips in session.predictions.not_finite.items():
            report.left_out(name, [session.contest.answer_name(int(answer)) for answer in clips.nonzero()[0]])
        report.count_cache(session.cache.counts)
        report.count_seconds(session.deadline.elapsed(), len(session.lanes), live.write_seconds)
        of_answers = session.predictions.answered()
        answered, rows = int(session.contest.of_clips(of_answers).sum()), int(of_answers.sum())
        session.log.ended(report, rows, session.memory.peak_bytes)
        for line in [*report.lines(answered, rows), *live.top_tags()]:
            session.progress.say(line)
        peak_bytes, limit_bytes = session.memory.peak_bytes, session.memory.limit_bytes
        session.progress.say(
            f"{session.settings.out}; peak memory {peak_bytes / 1e6:,.0f} MB of {limit_bytes / 1e6:,.0f} MB allowed"
        )
        session.tell({"event": "finished", "answered": live.written, "peak_bytes": peak_bytes})
        readable = len(session.clips) - len(report.missing) - len(report.unreadable)
        if not rows and readable and not report.passes_cut and not session.should_stop():
            self._say_why_nothing()
        if not written:
            return STATUS_DEFECT
        return STATUS_OK if rows or (readable == 0 and not report.is_slip) else STATUS_NOTHING

    def _say_why_nothing(self) -> None:
        """Every pass has failed, with time left.

        Raises:
            DeviceError: on a GPU; the cores may do what it cannot.
            WeightsError: on cores; networks that answer no batch are weights with which there can be no prediction.
        """
        failures = self.session.report.passes_failed
        if failures:
            name, reason = next(iter(failures.items()))
            told = f"no batch of any pass was answered; {name}: {reason}"
            if self.session.on_gpu:
                raise DeviceError(
                    f"{', '.join(dict.fromkeys(self.session.devices.names))}: {told}. The run goes on without a GPU."
                )
            raise WeightsError(f"{told}. Look at the weights and the recipe of this member.")
