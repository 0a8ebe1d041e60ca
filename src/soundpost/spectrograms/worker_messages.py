"""What the engine and a worker say to each other over their pipe, in a few small messages; arrays never travel.

engine -> worker   Task                               worker -> engine   Wanted(shape): room, please
engine -> worker   Slot, or None: there is none       worker -> engine   Stored | Refused(disk full) | Failed
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from soundpost.spectrograms.cache.slots import Shape


@dataclass(frozen=True)
class Task:
    """One clip under one front end."""

    clip: int
    path: str
    digest: str
    audio: Mapping[str, Any]  # AudioSettings
    front_end: str  # name in FRONT_ENDS
    front_end_settings: Mapping[str, Any]
    max_seconds: float  # no more audio than this is read; a longer clip is cut, with a remark
    rows: "RowsWanted | None" = None  # rows of a stretch of a recording; None: the clip is one row
    stretch: tuple[float, float] | None = None  # begin and length in seconds of what is wanted of it; None: all


@dataclass(frozen=True)
class RowsWanted:
    """Windows of a recording that follow one another."""

    windows: Mapping[str, Any]  # WindowSettings
    first: int  # number of the first one in the recording
    count: int
    total: int  # how many the recording has


@dataclass(frozen=True)
class Wanted:
    """The clip is decoded; its spectrogram will have this shape."""

    shape: Shape
    remarks: tuple[str, ...]
    seconds: float  # length of the waveform
    decode_cpu_seconds: float
    silent: str = ""  # a sentence where nothing can be heard
    second_reader: str = ""  # a sentence where ffmpeg had to read the clip


@dataclass(frozen=True)
class Stored:
    """The spectrogram is in its slot."""

    checksum: int
    features_cpu_seconds: float


@dataclass(frozen=True)
class Refused:
    """The disk had no room for the slot; another one, please."""

    reason: str


@dataclass(frozen=True)
class Failed:
    """The clip cannot be read; the reason is a sentence."""

    reason: str


@dataclass(frozen=True)
class Died:
    """The worker is gone."""

    reason: str


Message = Wanted | Stored | Refused | Failed | Died
