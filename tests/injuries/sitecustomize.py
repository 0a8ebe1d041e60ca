"""Imported by every Python that has this folder on its path: fakes become models, disks slow, CUDA stuck."""

import os
import time

from fakes_by_name import FAKE_FRONT_ENDS, FAKE_MODELS

from soundpost.front_ends import FRONT_ENDS
from soundpost.models import MODELS

MODELS.update(FAKE_MODELS)
FRONT_ENDS.update(FAKE_FRONT_ENDS)

if "SLOW_FSYNC_SECONDS" in os.environ:
    fsync = os.fsync

    def slow_fsync(descriptor: int) -> None:
        """A disk that takes its time."""
        time.sleep(float(os.environ["SLOW_FSYNC_SECONDS"]))
        fsync(descriptor)

    os.fsync = slow_fsync

if "STUCK_CUDA_SECONDS" in os.environ and "SOUNDPOST_EVENTS" in os.environ:  # in an engine, and in nothing else
    import torch

    def stuck() -> bool:
        """A driver that does not come back."""
        time.sleep(float(os.environ["STUCK_CUDA_SECONDS"]))
        return False

    torch.cuda.is_available = stuck
