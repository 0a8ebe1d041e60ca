"""What all passes of a run share, provided before the first of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from soundpost.contest.clips import Clip
from soundpost.engine.contest import Contest
from soundpost.engine.heartbeat import Tell
from soundpost.engine.lanes import Lane, Results
from soundpost.engine.live_submission import LiveSubmission
from soundpost.engine.predictions import Predictions
from soundpost.engine.progress import Progress
from soundpost.engine.report import Report
from soundpost.inference.model_pool import Roster
from soundpost.resources.deadline import Deadline, Estimate
from soundpost.resources.memory_monitor import MemoryMonitor
from soundpost.settings import RunSettings
from soundpost.spectrograms.cache import SpectrogramCache
from soundpost.spectrograms.worker_pool import WorkerPool


@dataclass(frozen=True)
class Session:
    """Everything a pass needs beside its own plan; what it holds changes, which things it holds does not."""

    settings: RunSettings
    should_stop: Callable[[], bool]  # a signal has come
    tell: Tell  # takes events for the supervisor
    deadline: Deadline
    progress: Progress
    report: Report
    models: Roster
    contest: Contest
    cache: SpectrogramCache
    pool: WorkerPool
    memory: MemoryMonitor
    predictions: Predictions
    live: LiveSubmission
    lanes: list[Lane]
    results: Results
    cores: int
    batch_frames: dict[str, int]  # recipe -> most windows x frames in a batch, for the memory's sake
    speed: dict[str, Estimate]  # recipe -> seconds per window x frame of one lane
    max_seconds: float  # of one clip's audio, for the memory's sake
    expected_bytes: int  # resident beside the cache, when all lanes are at work
    dead: set[int] = field(default_factory=set)  # clips that cannot be read

    @property
    def clips(self) -> Sequence[Clip]:
        """Every row of the submission, in its order."""
        return self.contest.clips

    @property
    def on_gpu(self) -> bool:
        """Whether lanes leave the cores to the workers."""
        return self.lanes[0].device != "cpu"

    def free_cores(self, waiting_workers: int) -> int:
        """Cores that nobody uses: lanes without a GPU and workers share them and never outnumber them.

        Args:
            waiting_workers: busy ones that wait for room in the cache, and so use no core.
        """
        if self.on_gpu:
            return 1
        at_work = len(self.pool.busy()) - waiting_workers
        return self.cores - sum(lane.waiting > 0 for lane in self.lanes) - at_work
