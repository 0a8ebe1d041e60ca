"""What all passes of a run share, provided before the first of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from soundpost.contest.clips import Clip
from soundpost.engine.contest import Contest
from soundpost.engine.devices_in_use import DevicesInUse
from soundpost.engine.heartbeat import Heartbeat, Tell
from soundpost.engine.lanes import Job, Lane, Results
from soundpost.engine.live_submission import LiveSubmission
from soundpost.engine.predictions import Predictions
from soundpost.engine.progress import Progress
from soundpost.engine.report import Report
from soundpost.engine.run_log import RunLog
from soundpost.errors import DeviceError
from soundpost.inference.model_pool import ModelPool
from soundpost.inference.predictor import Predictor
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
    log: RunLog
    heartbeat: Heartbeat
    devices: DevicesInUse
    models: ModelPool
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
    max_seconds: float  # longest audio of a clip that is read, for the memory's sake
    expected_bytes: int  # resident beside the cache, when all lanes are at work
    dead: set[int] = field(default_factory=set)  # clips that cannot be read

    @property
    def clips(self) -> Sequence[Clip]:
        """Every row of the submission, in its order."""
        return self.contest.clips

    @property
    def on_gpu(self) -> bool:
        """Whether lanes leave the cores to the workers."""
        return self.devices.on_gpu

    def lose_device(self, error: DeviceError) -> list[Job]:
        """Go on without the device that an error names, whatever it was doing.

        Returns:
            The batches that it had and has not answered.

        Raises:
            DeviceError: no other device is left; another engine can go on without.
        """
        self.devices.lose(error)
        gone = [lane for lane in self.lanes if lane.device == error.device]
        for lane in gone:
            lane.abandon()
            self.lanes.remove(lane)
        return [job for lane in gone for job in lane.jobs]

    def predictors(self, member: int) -> dict[str, Predictor] | None:
        """A member's network on every device that takes it; None where it cannot be used, and is left out.

        To be called between passes, when no lane has a job.

        Raises:
            DeviceError: it could be moved to no device.
        """
        while True:
            try:
                return self.models.predictors(member)
            except DeviceError as error:
                self.lose_device(error)
                self.models.unload(member)

    def free_cores(self, waiting_workers: int) -> int:
        """Cores that nobody uses: lanes without a GPU and workers share them and never outnumber them.

        Args:
            waiting_workers: busy ones that wait for room in the cache, and so use no core.
        """
        if self.on_gpu:
            return 1
        at_work = len(self.pool.busy()) - waiting_workers
        return self.cores - sum(lane.waiting > 0 for lane in self.lanes) - at_work
