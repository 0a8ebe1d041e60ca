"""Every published system at full size, from training to lwlrap: one row of docs/systems.md for each.

    python benchmarks/published.py [SYSTEM ...]                      such as argus qrfaction
    python benchmarks/published.py --blend RECIPE RECIPE ...         one submission of several systems

A system is a file of importers/templates/submissions. Its recipes are trained where they were not (see
published_training.py), its kernel is built with all weights apart, as a dataset, and runs on 60 contest-shaped clips of
the fold that no member heard: without limit, within 30 s, within 120 s. What has been measured is printed again, not
measured again; everything lies under runs/published.
"""

import argparse
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tomli_w
from contest import score
from measuring import ROOT, run
from published_training import CLIPS, HELD_OUT, OUT, table_of, trained

from soundpost.evaluation.metrics import lwlrap
from soundpost.importers.recipe_files import TEMPLATES
from soundpost.training.recipe_fit import make_network

RUNS = OUT.parent
FOLDER = RUNS / "clips"  # contest-shaped
N_CLIPS = 60
LIMITS = {"none": None, "30 s": 30, "120 s": 120}
BLEND_LIMIT = 120  # s
STATUS_TOO_LATE = 3  # the time ended before any clip was predicted; the submission holds class priors
DRAWS = 200  # how many random answers are drawn, whose mean lwlrap is chance
N_CLASSES = 10
# Test file of each system's golden cases, and what the names of those about networks hold.
GOLDEN = {
    "argus": ("test_argus.py", "network_of"),
    "qrfaction": ("test_qrfaction.py", "network_of"),
    "ex4sperans": ("test_ex4sperans.py", "network_of"),
    "erc2019": ("test_erc2019.py", "network_of_erc2019_gives"),
    "seventh": ("test_erc2019.py", "inception_of_the_seventh"),
    "simongrest": ("test_simongrest.py", "network_of"),
    "filipmu": ("test_filipmu.py", "network_of"),
    "hires_spectrogram": ("test_hires_spectrogram.py", "network_of"),
}


@dataclass(frozen=True)
class Measured:
    """One run of a kernel."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    lwlrap: float
    passes: str  # complete, of how many


def clips() -> Path:
    """The folder of contest-shaped clips, made once."""
    if not (FOLDER / "truth.csv").is_file():
        command = [sys.executable, str(CLIPS.parent / "make_fat_shaped.py"), "--clips", str(CLIPS / "clips")]
        command += ["--classes", str(CLIPS / "clips.csv"), "--folds", HELD_OUT]
        subprocess.run([*command, "--out", str(FOLDER), "--n", str(N_CLIPS)], check=True)
    return FOLDER


def chance() -> float:
    """Mean lwlrap of random answers."""
    columns = list(pd.read_csv(clips() / "sample_submission.csv").columns[1:])
    rows = pd.read_csv(clips() / "truth.csv", dtype=str)["labels"]
    truth = np.array([[column in row.split(",") for column in columns] for row in rows])
    random = np.random.default_rng(0)
    return float(np.mean([lwlrap(truth, random.random(truth.shape)) for _ in range(DRAWS)]))


def built(name: str, submission: dict[str, Any]) -> Path:
    """The folder of a kernel and, beside it, of the dataset that holds all its weights."""
    (OUT / f"{name}.toml").write_text(tomli_w.dumps(submission), "utf-8")
    recipes = [*submission["recipes"], *submission.get("second_level", [])]
    for recipe in recipes:
        trained(recipe)
    folder = RUNS / name
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "build_kernel.py", "--submission", str(OUT / f"{name}.toml"), "--dist", str(folder)]
    command += ["--out", str(folder / "kernel.py"), "--apart", ",".join(f"{recipe}/{HELD_OUT}" for recipe in recipes)]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return folder


def measure(folder: Path, limit: int | None) -> tuple[Measured, str]:
    """One run, whose submission is checked; and its log.

    Raises:
        AssertionError: not a valid submission, or not within its limit.
    """
    sample, out = clips() / "sample_submission.csv", folder / "submission.csv"
    command = [sys.executable, str(folder / "kernel.py"), "--test-dir", str(clips() / "test"), "--progress", "lines"]
    command += ["--sample-submission", str(sample), "--out", str(out), "--input-root", str(folder)]
    usage = run([*command, *(["--time-limit", str(limit)] if limit else [])], timeout_seconds=3600)
    assert usage.status in (0, STATUS_TOO_LATE), usage.output
    assert limit is None or usage.wall_seconds <= limit, f"{usage.wall_seconds} of {limit} s\n{usage.output}"
    wanted, given = pd.read_csv(sample), pd.read_csv(out)
    assert list(given.columns) == list(wanted.columns)
    assert list(given["fname"]) == list(wanted["fname"])
    assert np.isfinite(given.iloc[:, 1:].to_numpy()).all()
    assert given.iloc[:, 1:].to_numpy().min() >= 0
    assert given.iloc[:, 1:].to_numpy().max() <= 1
    passes = re.search(r"(\d+ of \d+) passes complete", usage.output)
    truth = clips() / "truth.csv"
    figures = usage.wall_seconds, usage.cpu_seconds, usage.peak_bytes, score(out, truth)
    return Measured(*figures, passes[1] if passes else "no clip"), usage.output


def parity(system: str) -> list[float]:
    """Largest error of a system's golden cases about networks, and largest share of what a case allows."""
    file, names = GOLDEN[system]
    command = [sys.executable, str(Path(__file__).with_name("published_parity.py")), file, names]
    result = run(command)
    assert result.status == 0, result.output
    return [float(number) for number in result.output.splitlines()[-1].split()]


def parameters(recipes: Sequence[str]) -> int:
    """Trainable numbers of one fold of every recipe, at ten classes."""
    networks = (make_network(table_of(recipe), N_CLASSES) for recipe in recipes)
    return sum(parameter.numel() for network in networks for parameter in network.parameters())


def results(name: str, submission: dict[str, Any]) -> dict[str, Any]:
    """Everything measured about a submission; what is known already is not measured again."""
    path = RUNS / f"{name}.json"
    found = json.loads(path.read_text()) if path.is_file() else {}
    for key, limit in LIMITS.items():
        if key not in found:
            measured, log = measure(built(name, submission), limit)
            (RUNS / f"{name}, {key}.log").write_text(log)
            found[key] = asdict(measured)
            path.write_text(json.dumps(found, indent=1))
    if "parity" not in found:
        found["parity"] = parity(name)
    recipes = [*submission["recipes"], *submission.get("second_level", [])]
    found |= {"parameters": parameters(recipes), "recipes": len(recipes)}
    path.write_text(json.dumps(found, indent=1))
    return found


def row(name: str, found: dict[str, Any]) -> str:
    """One line of the table."""
    free = found["none"]
    cells = [name, str(found["recipes"]), f"{found['parameters'] / 1e6:.1f} M"]
    cells += [f"{free[key] / N_CLIPS * 100:.0f}" for key in ("cpu_seconds", "wall_seconds")]
    cells += [f"{free['peak_bytes'] / 1e6:,.0f} MB"]
    cells += [f"{found[key]['lwlrap']:.3f} ({found[key]['passes']})" for key in LIMITS]
    cells += [f"{found['30 s']['wall_seconds']:.1f}, {found['120 s']['wall_seconds']:.1f}"]
    return "| " + " | ".join([*cells, "{:.1e}, {:.0%}".format(*found["parity"])]) + " |"


def main() -> int:
    """Print the table of the systems that the command line names, or of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="*", default=list(GOLDEN), metavar="SYSTEM", help=f"of {', '.join(GOLDEN)}")
    parser.add_argument("--blend", nargs="+", metavar="RECIPE", help="recipes of which one submission is made")
    options = parser.parse_args()
    print(f"chance: {chance():.3f}")
    if options.blend:
        measured, log = measure(built("blend", {"format": 1, "recipes": options.blend, "blend": "mean"}), BLEND_LIMIT)
        print(log, measured, sep="\n")
        return 0
    print(
        "| system | networks | parameters | CPU s per 100 clips | wall s per 100 clips | peak memory "
        "| lwlrap, no limit (passes) | 30 s | 120 s | wall s of both | parity: error, of what is allowed |"
    )
    print("|---" * 11 + "|")
    for system in options.systems:
        submission = tomllib.loads((TEMPLATES / "submissions" / f"{system}.toml").read_text())
        print(row(system, results(system, submission)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
