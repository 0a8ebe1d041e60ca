"""The process that does the heavy work, started by the supervisor: python -m soundpost.launch.engine_process FILE.

It can die in any way and at any moment: submission.csv is replaced whole or not at all, and the supervisor starts
another engine, which takes up the table of answers that this one left.
"""

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from soundpost.exit_status import STATUS_DEFECT, STATUS_DEVICE, STATUS_REFUSED
from soundpost.resources.processes import die_with_parent


def teller(events: int) -> Callable[[dict[str, Any]], None]:
    """What any thread may call to tell the supervisor an event: one line each, whole, one after the other.

    Args:
        events: file descriptor of a pipe.
    """
    lock = threading.Lock()

    def tell(event: dict[str, Any]) -> None:
        line = (json.dumps(event) + "\n").encode()
        try:
            with lock:
                while line:
                    line = line[os.write(events, line) :]
        except OSError:
            os._exit(STATUS_DEFECT)  # nobody listens: the supervisor is gone

    return tell


def main(argv: list[str]) -> int:
    """Run with the settings of a JSON file; events go to the file descriptor that SOUNDPOST_EVENTS names."""
    die_with_parent()
    stop = {"asked": False}

    def ask(signal_number: int, frame: FrameType | None) -> None:
        stop["asked"] = True

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    from soundpost.errors import DeviceError, KitError
    from soundpost.settings import RunSettings

    settings = RunSettings.from_json(json.loads(Path(argv[0]).read_text()))
    if os.getppid() != settings.supervisor_pid:
        return STATUS_DEFECT  # it died before die_with_parent was in force
    tell = teller(int(os.environ.pop("SOUNDPOST_EVENTS")))
    try:
        if settings.dry_run:
            from soundpost.forecast.dry_run import run
        else:
            from soundpost.engine.run import run
        return run(settings, lambda: stop["asked"], tell)
    except DeviceError as error:
        tell({"event": "error", "text": str(error)})
        return STATUS_DEVICE
    except KitError as error:
        tell({"event": "error", "text": str(error)})
        return STATUS_REFUSED
    except Exception:
        traceback.print_exc()
        return STATUS_DEFECT


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # threads and CUDA have nothing left to lose; an orderly end of theirs can take seconds
