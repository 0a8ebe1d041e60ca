"""What is asked of an archive, the same for every engine; and the rows that a clip becomes."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from soundpost.archive.clip_list import fragment
from soundpost.audio.decode import probe
from soundpost.audio.stretches import cut
from soundpost.ensemble.recipes import Member, Recipe, Submission
from soundpost.ensemble.weights_folder import find_assets
from soundpost.errors import ClipError, SettingsError

OPEN_SECONDS = 1800.0  # s; a stretch without an end is heard so far, as a whole file is


@dataclass(frozen=True)
class Plan:
    """Which clips, by which members, into what."""

    clips: pa.Table  # as clip_list has it
    weights: Path  # folder of submission.toml
    members: tuple[str, ...] = ()  # recipe/fold; empty: all
    views: int = 0  # how many of each recipe, the cheapest first; 0: all
    window_seconds: float = 0.0  # every clip is cut into stretches of this length; 0: a clip is one row
    hop_seconds: float = 0.0  # from one stretch to the next; 0: the window
    top: int = 0  # labels of a row, the likeliest first; 0: a column for each label
    embedding: str = ""  # the member whose embeddings are wanted; empty: none are
    part_clips: int = 2000  # clips of a part file
    precision: str = "float32"  # "float32", "float16", "bfloat16", "auto"
    device: str = "auto"
    has_steps: bool = True  # whether [[after]] of the submission is applied

    @cached_property
    def _submission(self) -> Submission:
        return find_assets(self.weights).submission

    @property
    def after(self) -> tuple[Mapping[str, Any], ...]:
        """The steps on blended answers, as submission.toml has them."""
        return self._submission.after if self.has_steps else ()

    @cached_property
    def chosen(self) -> tuple[tuple[Recipe, Member], ...]:
        """The members that answer, with their recipes.

        Raises:
            SettingsError: a name that no member has, or embeddings of an ONNX file whose recipe names none.
            WeightsError: no weights there.
        """
        everyone = [(r, m) for r in self._submission.recipes for m in r.members]
        known = [member.name for _, member in everyone]
        asked = {*self.members, *([self.embedding] if self.embedding else [])}
        if unknown := sorted(asked - set(self.members or known)) or sorted(asked - set(known)):
            known_here = ", ".join(self.members or known)
            raise SettingsError(f"no member {', '.join(unknown)}; known: {known_here}. Correct the names.")
        for recipe, member in everyone:
            if member.name == self.embedding and recipe.is_graph and not recipe.model.settings.get("embedding"):
                raise SettingsError(
                    f"--embeddings {member.name}: it is an ONNX file, and its recipe names no embedding. Give the "
                    "output that holds it as embedding in [model], or name another member."
                )
        return tuple((r, m) for r, m in everyone if not self.members or m.name in self.members)

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label that a member knows, in order."""
        return tuple(dict.fromkeys(label for recipe, _ in self.chosen for label in recipe.labels))

    @property
    def n_parts(self) -> int:
        """How many part files there will be."""
        return -(-len(self.clips) // self.part_clips)

    def items(self, part: int) -> range:
        """Numbers of the clips of a part."""
        return range(part * self.part_clips, min(len(self.clips), (part + 1) * self.part_clips))

    def digest(self) -> str:
        """Equal for plans whose parts can lie in one archive: the same clips, weights and columns."""
        told = {
            "members": [(member.name, member.sha256) for _, member in self.chosen],
            "recipes": sorted({recipe.digest() for recipe, _ in self.chosen}),
            "settings": [self.views, self.window_seconds, self.hop_seconds, self.top, self.embedding],
            "part": [self.part_clips, self.precision],
            "after": [dict(step) for step in self.after],
        }
        found = hashlib.sha256(json.dumps(told).encode())
        for row in self.clips.to_batches(max_chunksize=10_000):
            found.update(json.dumps(row.to_pydict()).encode())
        return found.hexdigest()


@dataclass(frozen=True, slots=True)
class Row:
    """One row before it is answered."""

    clip: int  # number of its clip in the plan
    number: int  # among the rows of its clip
    count: int  # rows of its clip
    id: str
    path: str  # local path or address, as it was named
    start: float | None  # s
    end: float | None  # s
    local: Path | None  # where it can be decoded; None: it cannot be had
    failure: str = ""  # why it cannot be had

    @property
    def stretch(self) -> tuple[float, float] | None:
        """Begin and length in seconds of what is heard of the file; None: all of it."""
        if self.start is None and self.end is None:
            return None
        begin = self.start or 0.0
        return begin, (self.end - begin if self.end is not None else OPEN_SECONDS)

    @property
    def n_bytes(self) -> int:
        """What stands for its length when rows are ordered by it: the file's size, as far as it is heard."""
        try:
            size = self.local.stat().st_size if self.local else 0
        except OSError:
            return 0
        return size // max(1, self.count)


@dataclass(slots=True)
class Answer:
    """One row as it is written."""

    row: Row
    probabilities: np.ndarray | None = None  # (labels,) float; None where nothing could be heard
    embedding: np.ndarray | None = None  # (features,) float32
    unreadable: str = ""  # sentences, empty where there is nothing to say
    mended: str = ""
    silent: str = ""
    incomplete: str = ""  # why some members' answers are not in it


def rows_of(
    clip: int, told: Mapping[str, Any], local: Path | ClipError, window_seconds: float, hop_seconds: float
) -> list[Row]:
    """The rows of a clip: one, or one for each stretch where a window is asked for.

    Clips with offsets of their own stay as they are. So does one whose header cannot be read: it is heard whole, and
    what is wrong with it is said then.

    Args:
        clip: its number in the plan.
        told: its id, path, start and end.
        local: where it can be decoded, or why it cannot be had.
        window_seconds: length of a stretch; 0: all of the clip.
        hop_seconds: from one stretch to the next; 0: the window.
    """
    name, path, start, end = (told[column] for column in ("id", "path", "start", "end"))
    if isinstance(local, ClipError):
        return [Row(clip, 0, 1, name, path, start, end, None, str(local))]
    whole = Row(clip, 0, 1, name, path, start, end, local)
    if not window_seconds or whole.stretch is not None:
        return [whole]
    try:
        header = probe(local)
    except ClipError:
        return [whole]
    parts = cut(header.samples / max(1, header.sample_rate), window_seconds, hop_seconds)
    if len(parts) == 1:
        return [whole]
    return [
        Row(clip, number, len(parts), name + fragment(begin, begin + length), path, begin, begin + length, local)
        for number, (begin, length) in enumerate(parts)
    ]
