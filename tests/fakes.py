"""Networks and front ends that misbehave on purpose; all but that is the compact network and the log-mel."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from soundpost.front_ends.log_mel import LogMel, LogMelSettings
from soundpost.models.compact import Compact, CompactSettings

FOREVER_SECONDS = 10_000.0


@dataclass(frozen=True)
class FakeSettings(CompactSettings):
    """Sizes of the compact network, and what goes wrong."""

    seconds: float = 0.0  # how much longer each forward pass takes
    most: int = 1  # windows in a batch that fits into memory
    most_frames: int = 100_000  # longest window that fits into memory
    scale: float = 1.0  # radians for each unit of a logit


class Fake(Compact):
    """Takes the weights of a compact network."""

    Settings: ClassVar[type] = FakeSettings

    def __init__(self, settings: FakeSettings, n_classes: int) -> None:
        super().__init__(settings, n_classes)
        self.settings = settings


class Slow(Fake):
    """Takes its time for each batch."""

    def forward(self, log_mels: Tensor) -> Tensor:
        """The compact network's logits, later."""
        time.sleep(self.settings.seconds)
        return super().forward(log_mels)


class FrameWise(Fake):
    """Answers frame by frame, as heads of event detection do."""

    def forward(self, log_mels: Tensor) -> Tensor:
        """The logits of every other pair of frames, (batch, frames / 4, classes)."""
        maps = torch.relu(self.stem_norm(self.stem(self.level(log_mels))) + self.place)
        maps = self.stages(maps)
        return self.presence(maps.mean(2) + maps.amax(2)).transpose(1, 2)


class NoNumber(Fake):
    """Has diverged: its answers are no numbers."""

    def forward(self, log_mels: Tensor) -> Tensor:
        """NaN in one class of every row."""
        logits = super().forward(log_mels).clone()
        logits[:, 0] = torch.nan
        return logits


class Hungry(Fake):
    """Runs out of memory with more than a few windows at a time, or with long ones."""

    def forward(self, log_mels: Tensor) -> Tensor:
        """The compact network's logits, for small batches."""
        if len(log_mels) > self.settings.most or log_mels.shape[-1] > self.settings.most_frames:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        return self.logits(log_mels)

    def logits(self, log_mels: Tensor) -> Tensor:
        """The answers to a batch that fits."""
        return super().forward(log_mels)


class HungryMean(Hungry):
    """Is as hungry, and means over frames are all that it knows."""

    def logits(self, log_mels: Tensor) -> Tensor:
        """A few bins' means."""
        return log_mels.mean((1, 3))[:, : len(self.overall.bias)] / 8


class Broken(Fake):
    """Raises whatever it is given beyond the first frames that it was tried out with."""

    def forward(self, log_mels: Tensor) -> Tensor:
        """No logits for clips of less than a second."""
        if log_mels.shape[-1] < 64:
            raise ValueError("a kernel that nobody has written")
        return super().forward(log_mels)


class Steep(Fake):
    """So steep that the rounding of half precision turns its answers."""

    def forward(self, log_mels: Tensor) -> Tensor:
        """A wave over the compact network's logits."""
        return torch.sin(super().forward(log_mels).float() * self.settings.scale)


class Choosy(Fake):
    """Looks at its numbers before it decides what to do."""

    def forward(self, log_mels: Tensor) -> Tensor:
        """The compact network's logits, either way."""
        logits = super().forward(log_mels)
        return logits if logits.sum() > 0 else logits + 0.0


class Endless(Fake):
    """Never comes to be, as weights on a dead disk."""

    def __init__(self, settings: FakeSettings, n_classes: int) -> None:
        super().__init__(settings, n_classes)
        time.sleep(FOREVER_SECONDS)


@dataclass(frozen=True)
class StallingSettings(LogMelSettings):
    """Settings of the log-mel, and which clips hang."""

    stalls_from: int = 0  # samples of a clip from which on it is never done


class Stalling(LogMel):
    """Hangs in long clips, as a read of a dead disk does."""

    Settings: ClassVar[type] = StallingSettings

    def __call__(self, waveforms: Tensor) -> Tensor:
        """The log-mel, or nothing ever."""
        if waveforms.shape[1] >= self.settings.stalls_from:
            time.sleep(FOREVER_SECONDS)
        return super().__call__(waveforms)


@dataclass(frozen=True)
class DeadlySettings(LogMelSettings):
    """Settings of the log-mel, and which clip kills."""

    samples: int = 0  # length of the clip that kills its worker
    mark: str = ""  # a file; once it is there the clip is harmless


class Deadly(LogMel):
    """Takes its process with it, as a decoder's segmentation fault does, or the kernel when memory is out."""

    Settings: ClassVar[type] = DeadlySettings

    def __call__(self, waveforms: Tensor) -> Tensor:
        """The log-mel, or the end."""
        if waveforms.shape[1] == self.settings.samples and not Path(self.settings.mark or "absent").exists():
            if self.settings.mark:
                Path(self.settings.mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(waveforms)
