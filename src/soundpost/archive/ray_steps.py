"""What Ray's tasks and actors do: clips to spectrograms on cores, spectrograms to answers wherever the ensemble is.

Nothing here knows Ray: tables of pyarrow in, tables of pyarrow out.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import torch

from soundpost.archive import addresses
from soundpost.archive.plan import Plan, Row, rows_of
from soundpost.audio.decode import AudioSettings, decode
from soundpost.ensemble.recipes import Recipe
from soundpost.errors import ClipError, DeviceError
from soundpost.front_ends import FRONT_ENDS
from soundpost.registry import build, settings_from
from soundpost.resources.engine_environment import settle
from soundpost.resources.memory import MIB
from soundpost.tagger import Heard, load

TOGETHER_BYTES = 8 * MIB  # rows of a task that leave it in one table
# What a row says of itself from the first step to the last.
TOLD = pa.schema(
    [
        ("clip", pa.int64()),
        ("number", pa.int64()),
        ("count", pa.int64()),
        ("id", pa.string()),
        ("path", pa.string()),
        ("start", pa.float64()),
        ("end", pa.float64()),
        ("unreadable", pa.string()),
        ("mended", pa.string()),
        ("silent", pa.string()),
    ]
)


@dataclass(frozen=True)
class Steps:
    """What both steps need to know of the plan, without its clips."""

    recipes: tuple[Recipe, ...]  # one for each front end that differs
    window_seconds: float
    hop_seconds: float
    members: tuple[str, ...]
    views: int
    embedding: str
    device: str  # "cuda", the one that Ray gives an actor, or "cpu"

    @staticmethod
    def of(plan: Plan, device: str) -> "Steps":
        """The plan's, for actors on a device."""
        recipes = {recipe.digest(): recipe for recipe, _ in plan.chosen}
        members = tuple(member.name for _, member in plan.chosen)
        return Steps(
            tuple(recipes.values()), plan.window_seconds, plan.hop_seconds, members, plan.views, plan.embedding,
            device,
        )  # fmt: skip


def hear(clips: pa.Table, steps: Steps) -> Iterator[pa.Table]:
    """Clips -> rows with the spectrograms of every front end, as many at a time as TOGETHER_BYTES hold.

    Args:
        clips: columns clip, id, path, start, end.
        steps: what both steps know of the plan.
    """
    settle()
    torch.set_num_threads(1)
    together: list[pa.Table] = []
    n_bytes = 0
    for clip in clips.to_pylist():
        with TemporaryDirectory(prefix="soundpost-archive-") as folder:
            try:
                local: Path | ClipError = addresses.fetch(clip["path"], Path(folder))
            except ClipError as error:
                local = error
            for row in rows_of(clip["clip"], clip, local, steps.window_seconds, steps.hop_seconds):
                together.append(_heard(row, steps))
                n_bytes += together[-1].nbytes
                if n_bytes >= TOGETHER_BYTES:
                    yield _joined(together)
                    together, n_bytes = [], 0
    if together:
        yield _joined(together)


def _joined(tables: list[pa.Table]) -> pa.Table:
    """One table in one piece: every further step handles pieces one by one."""
    return pa.concat_tables(tables).combine_chunks()


def _heard(row: Row, steps: Steps) -> pa.Table:
    """One row of a table: what it is, and its spectrogram by each front end."""
    remarks: dict[str, None] = {}
    spectrograms: list[np.ndarray] = []
    unreadable, silent = row.failure, ""
    try:
        for recipe in steps.recipes:
            if row.local is None:
                break
            decoded = decode(row.local, settings_from(AudioSettings, recipe.audio, "[audio]"), row.stretch)
            second = [decoded.second_reader] if decoded.second_reader else []
            remarks |= dict.fromkeys([*decoded.remarks, *second])
            silent = decoded.silent or silent
            front_end = build(FRONT_ENDS, recipe.front_end.name, recipe.front_end.settings, "front end")
            with torch.inference_mode():
                spectrograms.append(front_end(torch.from_numpy(decoded.waveform)[None])[0].numpy())
    except ClipError as error:
        unreadable = str(error)
    except Exception as error:  # noqa: BLE001  whatever a decoder or front end raises costs this clip
        name = row.local.name if row.local else row.id
        unreadable = f"{name}: {type(error).__name__}: {error}. Look at the clip; its row is filled."
    told = [row.clip, row.number, row.count, row.id, row.path, row.start, row.end]
    told += [unreadable, "; ".join(remarks), "" if unreadable else silent]
    table = pa.table([[value] for value in told], schema=TOLD)
    for number in range(len(steps.recipes)):
        there = not unreadable
        array = np.ascontiguousarray(spectrograms[number], np.float32) if there else None
        table = table.append_column(
            f"spectrogram{number}", pa.array([array.tobytes() if array is not None else None], pa.large_binary())
        )
        shape = list(array.shape) if array is not None else None
        table = table.append_column(f"shape{number}", pa.array([shape], pa.list_(pa.int64())))
    return table


class Ensemble:
    """An actor that holds the members.

    Args:
        steps: what both steps know of the plan.
        weights: gives the files of the folder of weights, as packed has them.

    Raises:
        DeviceError: the GPU that it was promised is none for torch.
    """

    def __init__(self, steps: Steps, weights: Callable[[], Mapping[str, bytes]]) -> None:
        settle()
        torch.set_num_threads(1)  # parallel actors, not parallel kernels
        if steps.device == "cuda" and not torch.cuda.is_available():
            raise DeviceError(
                f"node {gethostname()} has a GPU by what Ray counts, and its torch {torch.__version__} finds none. "
                "Install a torch with CUDA there, or add --device cpu."
            )
        self._steps = steps
        with TemporaryDirectory(prefix="soundpost-weights-") as folder:
            for name, content in weights().items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            self._tagger = load(folder, steps.device, steps.members, steps.views)

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Rows with spectrograms -> the same rows with answers in their place."""
        heard: dict[str, Heard] = {}
        there: list[int] = []
        for number, recipe in enumerate(self._steps.recipes):
            contents, shapes = rows[f"spectrogram{number}"], rows[f"shape{number}"].to_pylist()
            there = [i for i, shape in enumerate(shapes) if shape is not None]
            arrays = [np.frombuffer(contents[i].as_buffer(), np.float32).reshape(shapes[i]).copy() for i in there]
            heard[recipe.digest()] = (there, arrays)
        answers: list[list[float] | None] = [None] * len(rows)
        vectors: list[list[float] | None] = [None] * len(rows)
        incomplete = [""] * len(rows)
        unreadable = rows["unreadable"].to_pylist()
        if there:
            table, left_out = self._tagger.blended(len(rows), heard)
            for i in there:
                lost = [who for who, spoilt in left_out.items() if spoilt[i]]
                if np.isnan(table[i]).any():
                    unreadable[i] = f"{rows['id'][i]}: no member answered"
                    continue
                answers[i] = table[i].astype(np.float32).tolist()
                if lost:
                    incomplete[i] = f"answers of {', '.join(lost)} are not finite and were left out"
            if self._steps.embedding:
                for i, vector in zip(there, self._tagger.vectors(heard, self._steps.embedding), strict=True):
                    vectors[i] = vector.tolist()
        told = rows.select(TOLD.names)
        told = told.set_column(TOLD.get_field_index("unreadable"), "unreadable", pa.array(unreadable, pa.string()))
        told = told.append_column("incomplete", pa.array(incomplete, pa.string()))
        told = told.append_column("probabilities", pa.array(answers, pa.list_(pa.float32())))
        return told.append_column("embedding", pa.array(vectors, pa.list_(pa.float32())))


def packed(folder: Path) -> dict[str, bytes]:
    """Every file of a folder of weights by its path below it, to travel to nodes that do not have the folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
