"""Rows that are windows of recordings: what networks of timm cost, what a time limit costs, what one scale is worth.

    python benchmarks/soundscapes.py speed [--recordings 6] [--networks tf_efficientnetv2_s ...]
    python benchmarks/soundscapes.py scores FOLDER [--limits 10 30 60] [--members compact/1] [--picture FILE.png]
    python benchmarks/soundscapes.py partial FOLDER [--shares 0.3 0.5 0.8] [--skew 1.0] [--repeats 1]

speed makes noise of a minute each and random weights. "bare" is the forward pass of the windows alone, on all cores;
"loop" is what public notebooks do: decode, pictures and forward of one recording after the other; both in this process,
with their imports not counted, as the run's start is not. "Features" are the CPU seconds that the run's workers spent
on decoding and pictures, spread over all cores: the least that a run of any program adds to the forward pass. FOLDER
is a contest with truth.csv, as a maker of soundscapes writes it. partial says what one scale is worth when time ends
early, see partial_answers.py.
"""

import argparse
import csv
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import partial_answers
import soundfile
from measuring import ROOT, run

NETWORKS = ("tf_efficientnetv2_s", "efficientnet_b0", "hgnetv2_b0", "eca_nfnet_l0")
RATE, SECONDS, CLASSES = 32000, 60, 206
FRONT_END = {"level": "peak", "n_mels": 128, "fmin": 20.0, "steps": ["standardise", "min_max"]}
TIMM_SITE = ROOT / "tests" / "timm_site"
KAGGLE_SECONDS, KAGGLE_CORES = 90 * 60, 4


def make_contest(folder: Path, recordings: int) -> None:
    """Recordings of noise and a stub sample."""
    (folder / "test").mkdir(parents=True)
    for number in range(recordings):
        noise = np.random.default_rng(number).normal(0, 0.1, SECONDS * RATE)
        soundfile.write(folder / "test" / f"r{number:03}.ogg", noise, RATE)
    header = ["row_id", *(f"c{i}" for i in range(CLASSES))]
    with (folder / "sample_submission.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, ["stub_5", *[0] * CLASSES], ["stub_10", *[0] * CLASSES]])


def make_weights(folder: Path, name: str) -> Any:
    """A recipe of one fold with random weights; the network that it holds."""
    import tomli_w
    import torch

    from soundpost.ensemble.recipe_folder import NewMember, write_recipe
    from soundpost.models.timm_body import TimmNetwork, TimmSettings

    torch.manual_seed(0)
    model = {"timm": name, "head": "classifier", "in_chans": 1}
    network = TimmNetwork(TimmSettings(**model), CLASSES).eval()
    table = {"audio": {"sample_rate": RATE}, "front_end": {"name": "window_picture", **FRONT_END}}
    table |= {"model": {"name": "timm", **model}, "views": [{"name": "whole"}]}
    arrays = {key: value.numpy() for key, value in network.state_dict().items()}
    write_recipe(folder / "birds", "birds", table, [f"c{i}" for i in range(CLASSES)], [NewMember("0", arrays)])
    (folder / "submission.toml").write_text(tomli_w.dumps({"format": 1, "blend": "mean", "recipes": ["birds"]}))
    return network


def bare_and_loop(network: Any, contest: Path) -> tuple[float, float]:
    """Seconds for a recording: the forward pass alone, and the loop of a notebook."""
    import torch

    from soundpost.front_ends.window_picture import WindowPicture, WindowPictureSettings

    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in FRONT_END.items()}
    front_end = WindowPicture(WindowPictureSettings(**settings))  # type: ignore[arg-type]
    paths = sorted((contest / "test").iterdir())

    def pictures(path: Path) -> Any:
        waveform, _ = soundfile.read(path, dtype="float32")
        return front_end(torch.from_numpy(waveform[: SECONDS * RATE].reshape(-1, 5 * RATE)))

    torch.set_num_threads(os.cpu_count() or 1)
    with torch.inference_mode():
        made = pictures(paths[0])
        network(made)
        bare = _seconds(lambda: network(made), len(paths))
        began = time.perf_counter()
        for path in paths:
            network(pictures(path)).sigmoid()
        return bare, (time.perf_counter() - began) / len(paths)


def _seconds(call: Callable[[], Any], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return float(np.median(times))


@dataclass(frozen=True)
class Whole:
    """One run."""

    seconds: float  # behind its start
    feature_seconds: float  # spent by the cores on decoding and pictures


def whole_run(contest: Path, weights: Path, out: Path, *options: str) -> Whole:
    """Run it to its end."""
    command = [sys.executable, "-m", "soundpost.launch.main", "--assets", str(weights), "--device", "cpu"]
    command += ["--test-dir", str(next(contest.glob("test*/"))), "--progress", "lines", "--out", str(out), *options]
    command += ["--sample-submission", str(contest / "sample_submission.csv")]
    paths = os.pathsep.join([str(TIMM_SITE), str(ROOT / "src")])
    usage = run(command, environment={"PYTHONPATH": paths})
    if usage.status not in (0, 3):
        sys.exit(usage.output)
    said = r"seconds: start ([\d.,]+), decode \(CPU\) ([\d.,]+), features \(CPU\) ([\d.,]+),.* in all ([\d.,]+)"
    if not (found := re.search(said, usage.output)):
        sys.exit(f"no seconds in the log:\n{usage.output}")
    start, decode, features, in_all = (float(text.replace(",", "")) for text in found.groups())
    return Whole(in_all - start, decode + features)


def speed(options: argparse.Namespace) -> None:
    """A line for each network, and what fits in the contest's time by the same arithmetic as the dry run's."""
    print("| network | s a recording | bare forward | over bare | over bare and features | loop over it | in 90 min |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        contest = Path(folder) / "contest"
        make_contest(contest, options.recordings)
        for name in options.networks:
            weights = Path(folder) / name
            weights.mkdir()
            network = make_weights(weights, name)
            bare, loop = bare_and_loop(network, contest)
            given = ("--precision", "float32")
            found = whole_run(contest, weights, Path(folder) / "submission.csv", *given)
            cores = os.cpu_count() or 1
            whole, features = found.seconds / options.recordings, found.feature_seconds / options.recordings / cores
            fits = int(KAGGLE_SECONDS / (whole * cores / KAGGLE_CORES))
            print(
                f"| {name} | {whole:.3f} | {bare:.3f} | {whole / bare:.2f} | {whole / (bare + features):.2f} "
                f"| {loop / whole:.2f} | {fits:,} (estimate) |",
                flush=True,
            )


def read_table(path: Path, columns: Sequence[str], rows: Sequence[str]) -> np.ndarray:
    """(rows, columns) of a csv with row ids, in the order that is asked for."""
    with path.open(newline="") as file:
        header, *lines = csv.reader(file)
    place = [header.index(column) for column in columns]
    found = {line[0]: [float(line[i]) for i in place] for line in lines}
    return np.array([found[row] for row in rows])


def read_truth(folder: Path) -> tuple[list[str], list[str], np.ndarray]:
    """Row ids, classes and truth of a made contest."""
    with (folder / "truth.csv").open(newline="") as file:
        header, *lines = csv.reader(file)
    return [line[0] for line in lines], header[1:], np.array([line[1:] for line in lines], float) > 0


def scores(options: argparse.Namespace) -> None:
    """Macro ROC-AUC over rows, and lwlrap over rows with a label, for every limit."""
    from soundpost.evaluation.contest_metrics import macro_roc_auc
    from soundpost.evaluation.metrics import lwlrap

    rows, columns, truth = read_truth(options.folder)
    print("| time limit | seconds | rows that differ | macro ROC-AUC | lwlrap |\n|---|---|---|---|---|")
    found: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "submission.csv"
        for limit in [*options.limits, 0]:
            given = ["--time-limit", f"{limit}s" if limit else "55m", "--members", options.members]
            began = time.perf_counter()
            whole_run(options.folder, ROOT / "weights", out, *given)
            took = time.perf_counter() - began
            table, heard = read_table(out, columns, rows), truth.any(axis=1)
            answered = len(np.unique(table, axis=0))
            found.append((took, macro_roc_auc(truth, table)))
            print(
                f"| {f'{limit} s' if limit else 'none'} | {took:.0f} | {min(answered, len(rows)):,} of {len(rows):,} "
                f"| {found[-1][1]:.3f} | {lwlrap(truth[heard], table[heard]):.3f} |",
                flush=True,
            )
    if options.picture:
        _draw(found, options.picture)


def _draw(found: Sequence[tuple[float, float]], out: Path) -> None:
    """The curve of seconds taken and macro ROC-AUC."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    axes.plot(*zip(*found, strict=True), marker="o")
    axes.set(xlabel="seconds that a run took", ylabel="macro ROC-AUC over rows", title="More time, better answer")
    axes.grid(alpha=0.3)
    figure.savefig(out, dpi=110)


def partial(options: argparse.Namespace) -> None:
    """Both tables of partial_answers.py."""
    partial_answers.partial(options, read_truth)


def main() -> None:
    """Run the part that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(required=True)
    part = parts.add_parser("speed")
    part.add_argument("--recordings", type=int, default=6)
    part.add_argument("--networks", nargs="+", default=list(NETWORKS))
    part.set_defaults(part=speed)
    part = parts.add_parser("scores")
    part.add_argument("folder", type=Path)
    part.add_argument("--limits", type=int, nargs="*", default=[10, 30, 60])
    part.add_argument("--members", default="compact/1")
    part.add_argument("--picture", type=Path, help="draw the curve there")
    part.set_defaults(part=scores)
    part = parts.add_parser("partial")
    part.add_argument("folder", type=Path)
    part.add_argument("--folds", default="1,2,3,4", help="of the compact network, one member each")
    part.add_argument("--shares", type=float, nargs="+", default=[0.3, 0.5, 0.8])
    part.add_argument("--skew", type=float, default=1.0, help="deviation of what is added to each class's logits")
    part.add_argument("--repeats", type=int, default=1, help="how often members are calibrated anew")
    part.set_defaults(part=partial)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests"))
    __import__("torchvision_beside_cpu_torch")
    with redirect_stdout(sys.stderr):  # what its packages say of each other is no part of a table
        __import__("timm")
    options.part(options)


if __name__ == "__main__":
    main()
