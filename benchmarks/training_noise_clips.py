"""Clips whose labels are wrong in known ways, made of ESC-10 by make_fat_shaped.py; see training_noise.py."""

import sys
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from scipy import fft
from training_at_hand import DATA, ESC10, keep

OUTSIDE = ("Baby_cry", "Helicopter")  # the two classes of the fewest recordings are the sounds that have no label
TRAINED, TESTED = ("1", "2", "3"), "4"  # folds
EACH = 12  # curated clips a class
RIGHT, SWAPPED, FOREIGN, INCOMPLETE = "right", "swapped", "out_of_vocabulary", "incomplete"
WRONG = (SWAPPED, FOREIGN)
SHARES = {RIGHT: 0.5, SWAPPED: 0.25, FOREIGN: 0.15, INCOMPLETE: 0.1}
N_NOISY, N_TEST = 800, 200
CUT_HZ = 6000.0  # above which nothing of a noisy clip is heard
NOISE_DB = (-45.0, -25.0)  # noise under a noisy clip, against its loudest sample
TRIES = 50  # clips that are made until one has two labels


@cache
def _shaper() -> Any:
    """The module make_fat_shaped, which is not a package."""
    spec = util.spec_from_file_location("make_fat_shaped", DATA / "make_fat_shaped.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its decorators look for it
    spec.loader.exec_module(module)
    module.load = cache(module.load.__wrapped__)  # it keeps fewer recordings than there are
    return module


def write_test(out: Path) -> pd.DataFrame:
    """Clean contest-shaped clips of the fold that nobody hears; the same for every seed."""
    folder = out / "test"
    if not (folder / "done.csv").is_file():
        shaper = _shaper()
        sources = shaper.find_sources(ESC10.folder, ESC10.csv, [TESTED])
        maker = shaper.Maker(sources[[row[0] not in OUTSIDE for row in sources["labels"]]].reset_index(drop=True))
        folder.mkdir(parents=True, exist_ok=True)
        lengths, rows = shaper.draw_lengths(N_TEST, np.random.default_rng(1000)), []
        for number, length in enumerate(lengths):
            first = maker.classes[number % len(maker.classes)]
            sound, labels, _ = maker.compose(int(length), first, np.random.default_rng([1000, number]))
            soundfile.write(folder / f"t{number:03d}.wav", shaper.to_int16(sound), shaper.RATE, subtype="PCM_16")
            rows.append({"fname": f"t{number:03d}.wav", "labels": ",".join(sorted(labels)), "fold": "test"})
        pd.DataFrame(rows).to_csv(folder / "done.csv", index=False)
    return pd.read_csv(folder / "done.csv", dtype=str)


def write_seed(folder: Path, test: pd.DataFrame, seed: int) -> None:
    """curated/, noisy/, their csvs, and kinds.json: noisy file -> what became of its label."""
    if (folder / "kinds.json").is_file():
        return
    shaper, random = _shaper(), np.random.default_rng(seed)
    sources = shaper.find_sources(ESC10.folder, ESC10.csv, list(TRAINED))
    curated = _curated(sources, random)
    (folder / "noisy").mkdir(parents=True, exist_ok=True)
    (folder / "curated").mkdir(exist_ok=True)
    rows = [{"fname": path.name, "labels": label, "fold": "train"} for path, label in curated]
    linked = [*(path for path, _ in curated), *(folder.parents[1] / "test" / name for name in test["fname"])]
    for path in linked:
        (folder / "curated" / path.name).unlink(missing_ok=True)
        (folder / "curated" / path.name).symlink_to(path.resolve())
    pd.concat([pd.DataFrame(rows), test]).to_csv(folder / "curated.csv", index=False)
    heard = {_recording(path, label) for path, label in curated}
    recordings = [_recording(path, row[0]) for path, row in zip(sources["path"], sources["labels"], strict=True)]
    others = sources[[recording not in heard for recording in recordings]]
    kinds = _write_noisy(shaper, others, folder, random)
    keep(folder / "kinds.json", kinds)


def _recording(path: Path, label: str) -> tuple[str, str]:
    """What a clip was cut from: ESC's names are fold-recording-take."""
    return path.name.split("-")[1], label


def _curated(sources: pd.DataFrame, random: np.random.Generator) -> list[tuple[Path, str]]:
    """Twelve clips a class, recordings taken whole as far as there is room."""
    chosen = []
    for label in sorted({row[0] for row in sources["labels"]} - set(OUTSIDE)):
        takes = defaultdict(list)
        for path, row in zip(sources["path"], sources["labels"], strict=True):
            if row[0] == label:
                takes[_recording(path, label)].append(path)
        names = sorted(takes)
        in_order = [path for number in random.permutation(len(names)) for path in takes[names[number]]]
        chosen += [(path, label) for path in in_order[:EACH]]
    return chosen


def _write_noisy(shaper: Any, sources: pd.DataFrame, folder: Path, random: np.random.Generator) -> dict[str, str]:
    is_foreign = np.array([row[0] in OUTSIDE for row in sources["labels"]])
    own, foreign = (shaper.Maker(sources[rows].reset_index(drop=True)) for rows in (~is_foreign, is_foreign))
    counts = [round(share * N_NOISY) for share in SHARES.values()]
    planned = np.repeat(list(SHARES), counts)[random.permutation(N_NOISY)]
    lengths = shaper.draw_lengths(N_NOISY, random)
    rows, kinds = [], {}
    for number, (kind, length) in enumerate(zip(planned.tolist(), lengths.tolist(), strict=True)):
        sound, labels = _clip(shaper, foreign if kind == FOREIGN else own, kind, length, number, random)
        name = f"n{number:03d}.wav"
        soundfile.write(folder / "noisy" / name, shaper.to_int16(_far_away(sound, shaper.RATE, random)), shaper.RATE)
        rows.append({"fname": name, "labels": ",".join(sorted(_label(kind, labels, own.classes, random)))})
        kinds[name] = kind
    pd.DataFrame(rows).to_csv(folder / "noisy.csv", index=False)
    return kinds


def _clip(
    shaper: Any, maker: Any, kind: str, length: int, number: int, random: np.random.Generator
) -> tuple[np.ndarray, set[str]]:
    """A clip, at least two labels long where one of them is to be lost."""
    first = maker.classes[number % len(maker.classes)]
    for _ in range(TRIES):
        sound, labels, _ = maker.compose(length, first, random)
        if kind != INCOMPLETE or len(labels) > 1:
            break
        length = max(length, shaper.RATE)
    return sound, labels


def _label(kind: str, labels: set[str], classes: Sequence[str], random: np.random.Generator) -> set[str]:
    """What the noisy table says of a clip."""
    if kind == RIGHT:
        return labels
    if kind == INCOMPLETE:
        return labels - {str(random.choice(sorted(labels)))}
    return {str(random.choice([name for name in classes if name not in labels]))}


def _far_away(sound: np.ndarray, rate: int, random: np.random.Generator) -> np.ndarray:
    """Low-passed, with steady noise under it: another world than the curated clips'."""
    size = fft.next_fast_len(len(sound), real=True)
    spectrum = fft.rfft(sound, size)
    spectrum[fft.rfftfreq(size, 1 / rate) > CUT_HZ] = 0
    found = fft.irfft(spectrum, size)[: len(sound)]
    level = np.abs(found).max(initial=1e-3) * 10 ** (random.uniform(*NOISE_DB) / 20)
    return np.clip(found + level * random.standard_normal(len(found)), -1, 1)
