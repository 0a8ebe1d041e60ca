"""What a network learns from, and where its clips come from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Generator

from soundpost.audio.decode import AudioSettings, decode
from soundpost.front_ends import FRONT_ENDS
from soundpost.registry import build, settings_from
from soundpost.training.batch import Batch
from soundpost.training.clips import Clips
from soundpost.training.plan import Plan, StageSettings
from soundpost.training.sets.copies import copied
from soundpost.training.sixteen_bits import kept
from soundpost.training.store import Store, build_store
from soundpost.views import VIEWS
from soundpost.views.view import View


class Material(Protocol):
    """Epochs of batches; everything random in them comes from the generators that are given."""

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        ...

    def epoch(self, epoch: int, generator: Generator) -> Sequence[Any]:
        """What each batch of an epoch shows."""
        ...

    def batch(self, step: Any, epoch: int, generator: Generator) -> Batch:
        """One batch as the network takes it, on the device."""
        ...


@dataclass(frozen=True)
class Heard:
    """The clips of one stage of one member."""

    rows: tuple[int, ...]  # rows of the plan's clips
    truth: np.ndarray  # (rows, classes) float32, as this stage labels them
    sources: tuple[str, ...]  # name of each one's set


@dataclass(frozen=True)
class Shared:
    """What all members of a plan share."""

    plan: Plan
    clips: Clips
    device: torch.device
    folder: Path  # for features that are kept on the disk
    given: Sequence[np.ndarray] | None = None  # spectrograms of all clips, where they are known already
    is_time: Callable[[], bool] = field(default=lambda: False)  # whether to stop at the next step, or the next clip

    @cached_property
    def audio(self) -> AudioSettings:
        """How files become waveforms."""
        return settings_from(AudioSettings, self.plan.audio, "[audio]")

    @cached_property
    def front_end(self) -> Any:
        """Waveforms (batch, samples) -> (batch, channels, bins, frames)."""
        return build(FRONT_ENDS, self.plan.front_end["name"], self.plan.front_end, "front end")

    @cached_property
    def view(self) -> View:
        """The recipe's first view."""
        return build(VIEWS, self.plan.views[0]["name"], self.plan.views[0], "view")

    def waveform(self, row: int) -> np.ndarray:
        """A clip, or its copy, (samples,) float32."""
        stretch = self.clips.stretches[row] if self.clips.stretches else None
        waveform = decode(self.clips.paths[row], self.audio, stretch).waveform
        return copied(waveform, self.clips.copies[row], self.audio.sample_rate)

    @cached_property
    def spectrograms(self) -> Store | Sequence[np.ndarray]:
        """What the front end makes of every clip, (channels, bins, frames)."""
        if self.given is not None:
            return self.given

        def make(row: int) -> np.ndarray:
            waveform = torch.from_numpy(self.waveform(row)).to(self.device)
            found: np.ndarray = self.front_end(waveform[None])[0].cpu().numpy()
            return found.astype(self.plan.store, copy=False)

        front_end = repr((self.plan.store, sorted(self.plan.front_end.items())))
        key = self.key("spectrograms", front_end)
        return self.store(key, make)

    @cached_property
    def waveforms(self) -> Store:
        """Every clip as `sixteen_bits.kept` keeps it, (samples,)."""
        return self.store(self.key("waveforms"), lambda row: kept(self.waveform(row)))

    def store(self, key: Sequence[str], make: Callable[[int], np.ndarray]) -> Store:
        """What make gives for every clip, made by whichever call has time for it.

        Raises:
            Paused: it was time to stop.
        """
        return build_store(self.folder, key, make, len(self.clips.paths), self.is_time)

    def key(self, what: str, settings: str = "") -> list[str]:
        """Everything on which features of all clips depend: what they are, how they are made, and the files."""
        stretches = self.clips.stretches or (None,) * len(self.clips.paths)
        files = [
            f"{path}:{path.stat().st_size}:{path.stat().st_mtime_ns}:{copy}" + (f":{stretch}" if stretch else "")
            for path, copy, stretch in zip(self.clips.paths, self.clips.copies, stretches, strict=True)
        ]
        return [what, repr(sorted(self.plan.audio.items())), settings, *files]


class Input(Protocol):
    """A way to make batches of clips."""

    Settings: ClassVar[type]

    def ready(self) -> None:
        """Make the features that all members share, so that processes that begin together find them."""
        ...

    def material(self, heard: Heard, stage: StageSettings) -> Material:
        """What one stage of one member learns from."""
        ...
