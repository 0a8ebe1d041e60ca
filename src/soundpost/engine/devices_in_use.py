"""The devices of a run, one for each lane, and what is done when one of them is lost."""

from soundpost.engine.heartbeat import Tell
from soundpost.engine.progress import Progress
from soundpost.engine.report import Report
from soundpost.errors import DeviceError


class DevicesInUse:
    """Devices that work as far as is known; a GPU that is lost goes, and the others go on.

    Args:
        names: one entry for each lane.
        report: told what is lost.
        progress: the same, at once.
        tell: takes events for the supervisor, which starts no engine on what is lost.
    """

    def __init__(self, names: list[str], report: Report, progress: Progress, tell: Tell) -> None:
        self.names = names
        self._report = report
        self._progress = progress
        self._tell = tell
        tell({"event": "devices", "names": [name for name in dict.fromkeys(names) if name != "cpu"]})

    @property
    def on_gpu(self) -> bool:
        """Whether the devices are no cores."""
        return self.names[0] != "cpu"

    def lose(self, error: DeviceError) -> None:
        """Go on without the device that an error names.

        Raises:
            DeviceError: the same one, where no device is left; another engine can go on without.
        """
        left = [name for name in self.names if name != error.device]
        if not left or not error.device:
            raise error
        if len(left) == len(self.names):
            return  # it is lost already; what was under way has only now heard of it
        self.names[:] = left
        self._report.devices_lost[error.device] = str(error)
        self._progress.say(f"device lost: {error}")
        self._tell({"event": "device lost", "name": error.device})


def lost(device: str, reason: str) -> DeviceError:
    """The error of a device that is broken or hangs."""
    return DeviceError(f"{device}: {reason}. The run goes on without it.", device)
