"""Submissions of six shapes over made recordings: are they valid, and how well do they tell who is heard?

    python benchmarks/soundscape_shapes.py [--recordings 20] [--seconds 60] [--members compact/1] [--folds 1]

Recordings are made by ../shared/data/make_soundscapes.py out of clips of --folds, which --members have not heard, in
the names and tables of every year from 2020 on. The two shapes of clip contests (2018, 2019) are asked for over the
recordings of 2026, a clip each; a label that is true in any of its windows is the clip's. Macro ROC-AUC and lwlrap are
those of what stands in the file over all rows and over rows with a label: where a file has words or True and False in
place of numbers, of ones and zeros, which is why they are lower there.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from measuring import ROOT
from soundscapes import read_table, read_truth, whole_run

DATA = ROOT.parent / "shared" / "data"
YEARS = {
    "2020": "words, whole files too",
    "2021": "words",
    "2022": "booleans",
    "2023": "windows",
    "2024": "windows, ids without a prefix",
    "2025": "windows",
    "2026": "windows",
}
Truth = dict[str, np.ndarray]  # row -> (classes,)


def make(year: str, out: Path, options: argparse.Namespace) -> None:
    """A contest of that year's shape, as its maker writes it."""
    command = [sys.executable, str(DATA / "make_soundscapes.py"), "--clips", str(DATA / "esc10" / "clips")]
    command += ["--classes", str(DATA / "esc10" / "clips.csv"), "--folds", options.folds, "--out", str(out)]
    command += ["--grammar", year, "--n", str(options.recordings), "--seconds", str(options.seconds)]
    subprocess.run(command, check=True, capture_output=True, text=True)


def cells_of(path: Path) -> list[list[str]]:
    """Lines of a csv, its header first."""
    with path.open(newline="") as file:
        return list(csv.reader(file))


def clips_of(truth: Truth, files: Sequence[str]) -> Truth:
    """For each recording what is true in any of its windows."""
    return {
        file: np.any([heard for row, heard in truth.items() if row.rpartition("_")[0] == Path(file).stem], axis=0)
        for file in files
    }


def words(path: Path, classes: Sequence[str], rows: Sequence[str]) -> np.ndarray:
    """(rows, classes) of a submission with labels in a cell; an earlier label counts more."""
    found = {line[0]: line[1].split() for line in cells_of(path)[1:]}
    return np.array(
        [[1 / (1 + found[row].index(name)) if name in found[row] else 0 for name in classes] for row in rows]
    )


def booleans(path: Path, classes: Sequence[str], rows: Sequence[str]) -> np.ndarray:
    """(rows, classes) of a submission with a line for each recording, class and window."""
    found = {line[0]: line[1] == "True" for line in cells_of(path)[1:]}
    split = [row.rpartition("_") for row in rows]
    return np.array([[found[f"{stem}_{name}_{end}"] for name in classes] for stem, _, end in split], float)


def line(
    name: str, folder: Path, read: Callable[..., np.ndarray], truth: Truth, classes: Sequence[str], members: str
) -> None:
    """Answer one contest and print its line of the table."""
    from soundpost.contest.check import check_submission
    from soundpost.evaluation.contest_metrics import macro_roc_auc
    from soundpost.evaluation.metrics import lwlrap

    test_dir, sample, out = next(folder.glob("test_*/")), folder / "sample_submission.csv", folder / "answer.csv"
    whole_run(folder, ROOT / "weights", out, "--members", members, "--precision", "float32")
    verdict = check_submission(out, sample, test_dir)
    wanted, found = np.array(list(truth.values())), read(out, classes, list(truth))
    heard = wanted.any(axis=1)
    print(
        f"| {name} | {verdict.shape} | {len(wanted):,} | {'yes' if verdict.is_valid else verdict.refusals[0]} "
        f"| {macro_roc_auc(wanted, found):.3f} | {lwlrap(wanted[heard], found[heard]):.3f} |",
        flush=True,
    )


def as_clips(folder: Path, year: str, classes: Sequence[str]) -> None:
    """Put the sample submission of a clip contest over the recordings of a folder in place of its own."""
    files = sorted(path.name for path in next(folder.glob("test_*/")).iterdir())
    columns = classes if year == "2019" else ["label"]
    stub = ["0"] * len(classes) if year == "2019" else [" ".join(classes[:3])]
    with (folder / "sample_submission.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["fname", *columns], *([name, *stub] for name in files)])


READERS: Mapping[str, Callable[..., np.ndarray]] = {"2020": words, "2021": words, "2022": booleans}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=60, help="of each recording (60)")
    parser.add_argument("--members", default="compact/1")
    parser.add_argument("--folds", default="1", help="whose clips are heard, with commas (1)")
    options = parser.parse_args()
    print("| contest | shape | rows | valid | macro ROC-AUC | lwlrap |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        for year, name in YEARS.items():
            folder = Path(place) / year
            make(year, folder, options)
            rows, classes, heard = read_truth(folder)
            truth = dict(zip(rows, heard, strict=True))
            line(f"{year}: {name}", folder, READERS.get(year, read_table), truth, classes, options.members)
        for year, read in {"2018": words, "2019": read_table}.items():
            as_clips(folder, year, classes)
            truth_of_clips = clips_of(truth, [row[0] for row in cells_of(folder / "sample_submission.csv")[1:]])
            line(f"{year}: clips", folder, read, truth_of_clips, classes, options.members)


if __name__ == "__main__":
    main()
