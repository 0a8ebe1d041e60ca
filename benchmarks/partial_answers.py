"""What one scale is worth when time ends early: macro ROC-AUC of the same answers raw, with zeros, and mapped.

    python benchmarks/soundscapes.py partial FOLDER [--shares 0.3 0.5 0.8] [--skew 1.0] [--repeats 1]

The members are the compact network's folds, calibrated apart as networks of different kinds are: each one's logits are
divided by a temperature of its own and moved by an amount drawn for each class, both written into its weights. The
first table has one member answer all rows and the others a share of them. The second one is made of real runs that
--time-limit ends; the limit is searched until the share of all answers that were given is near the one asked for. In
both, all columns are made of the very same answers.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from measuring import ROOT

NEAR = 0.05  # how near to the share that is asked for
TRIES = 6  # runs until the limit is found
TEMPERATURES = (0.5, 3.0)  # first and last member; those between lie at equal steps of their logarithm
COLUMNS = "| answered by all | as they are | zeros where nobody answered | on one scale | all answers |"
DRAWN = f"{COLUMNS}\n|---|---|---|---|---|"
CUT = f"| limit | answers given {COLUMNS}\n|---|---|---|---|---|---|---|"


def make_members(weights: Path, folds: Sequence[str], skew: float, seed: int) -> list[str]:
    """A recipe for each fold of the compact network, calibrated by itself; their members' names.

    Args:
        weights: an empty folder.
        folds: those of the compact network that become members.
        skew: deviation of what is added to the logits of each class, for every member anew.
        seed: decides what is drawn.
    """
    from safetensors.numpy import load_file

    from soundpost.ensemble.recipe_folder import NewMember, write_recipe

    source = ROOT / "weights" / "compact"
    table = tomllib.loads((source / "recipe.toml").read_text("utf-8"))
    files = {member["fold"]: member for member in table["members"]}
    labels = tuple(table["labels"])
    rest = {k: v for k, v in table.items() if k not in ("format", "name", "labels", "members", "gains")}
    rest["views"] = table["views"][:1]
    random, names = np.random.default_rng(seed), []
    temperatures = np.geomspace(*TEMPERATURES, len(folds))
    for fold, temperature in zip(folds, temperatures, strict=True):
        arrays = load_file(source / files[fold]["file"])
        for name in ("presence.weight", "presence.bias", "overall.weight", "overall.bias"):
            arrays[name] = arrays[name] / np.float32(temperature)  # logits are a sum of these two layers' answers
        arrays["overall.bias"] = arrays["overall.bias"] + random.normal(0, skew, len(labels)).astype(np.float32)
        name = f"apart{fold}"
        write_recipe(weights / name, name, rest, list(labels), [NewMember(fold, arrays, files[fold]["scores"])])
        names.append(name)
    (weights / "submission.toml").write_text(tomli_w.dumps({"format": 1, "blend": "mean", "recipes": names}))
    return [f"{name}/{fold}" for name, fold in zip(names, folds, strict=True)]


def answers(folder: Path, weights: Path, limit: float, members: Sequence[str], out: Path) -> dict[str, np.ndarray]:
    """One run in a process of its own: what it has blended, what it made of that, and who answered."""
    command = [sys.executable, __file__, str(folder), str(weights), str(limit), ",".join(members), str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    with np.load(out) as found:
        return {name: found[name] for name in found.files}


def record(folder: Path, weights: Path, limit: float, members: Sequence[str], out: Path) -> None:
    """What answers() starts: a run whose last table is kept before and after it was brought to one scale."""
    from soundpost.engine.finish_table import FinishTable
    from soundpost.engine.run import run
    from soundpost.settings import RunSettings

    finish, kept = FinishTable.__call__, {}

    def watched(self: FinishTable, values: np.ndarray) -> np.ndarray:
        result = finish(self, values)
        done = self._predictions.done()
        kept.update(raw=self.in_rows(values), mapped=result, answered=self.in_rows(done.any(axis=0)[:, None])[:, 0])
        kept.update(share=np.array(done.mean()), full=self.in_rows(done.all(axis=0)[:, None])[:, 0])
        return result

    FinishTable.__call__ = watched  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as scratch:  # a run goes on from the answers that it finds in its own
        settings = RunSettings(
            assets=str(weights), test_dir=str(next(folder.glob("test*/"))), scratch=scratch,
            sample_submission=str(folder / "sample_submission.csv"), out=str(out.with_suffix(".csv")), device="cpu",
            time_limit_seconds=limit, members=tuple(members), precision="float32", progress="none",
        )  # fmt: skip
        run(settings)
    lines = out.with_suffix(".csv").read_text().splitlines()
    np.savez(out, names=np.array([line.split(",")[0] for line in lines[1:]]), **kept)


def scored(
    found: dict[str, np.ndarray], truth: np.ndarray, columns: Sequence[str], classes: Sequence[str]
) -> list[float]:
    """Macro ROC-AUC of the answers as they are, with zeros where nobody answered, and on one scale."""
    from soundpost.evaluation.contest_metrics import macro_roc_auc

    order = [list(columns).index(name) for name in classes]
    zeros = np.where(found["answered"][:, None], found["raw"], 0.0)
    return [macro_roc_auc(truth, table[:, order]) for table in (found["raw"], zeros, found["mapped"])]


class PartOfTheAnswers:
    """What there would be if the first member had answered some rows and the others some of these."""

    def __init__(self, members: np.ndarray, share: float) -> None:
        self._members = members  # (members, rows, columns)
        count = members.shape[1]
        self._done = np.zeros(members.shape[:2], bool)
        order = np.random.default_rng(0).permutation(count)
        self._done[0, order[: round(min(1.0, share + 0.5) * count)]] = True
        self._done[1:, order[: round(share * count)]] = True

    def done(self) -> np.ndarray:
        """Who has answered what: (members, rows) bool."""
        return self._done

    def blended(
        self,
        blend: Any,  # noqa: ARG002  the mean, here
        maps: Any,  # noqa: ARG002
        priors: Any,
        clips: np.ndarray | None = None,
        of_members: np.ndarray | None = None,
    ) -> np.ndarray:
        """The mean of those who have answered, and the priors where nobody has."""
        rows = np.arange(self._members.shape[1]) if clips is None else clips
        chosen = np.ones(len(self._members), bool) if of_members is None else of_members
        there = self._done[:, rows] & chosen[:, None]
        sums = (self._members[:, rows] * there[:, :, None]).sum(axis=0)
        return np.where(there.any(axis=0)[:, None], sums / np.maximum(1, there.sum(axis=0))[:, None], priors)


def constructed(tables: np.ndarray, share: float) -> dict[str, np.ndarray]:
    """The answers of PartOfTheAnswers, as answers() gives those of a run."""
    from soundpost.engine.comparable import comparable

    made: Any = PartOfTheAnswers(tables, share)
    priors = np.full(tables.shape[2], 1.0 / tables.shape[2])
    raw = made.blended(None, None, priors)
    mapped = comparable(raw, made, made, {}, priors.tolist())
    return {"raw": raw, "mapped": mapped, "answered": made.done().any(axis=0)}


def partial(options: argparse.Namespace, read_truth: Callable[[Path], tuple[list[str], list[str], np.ndarray]]) -> None:
    """Both tables."""
    names, classes, truth = read_truth(options.folder)
    columns = (options.folder / "sample_submission.csv").read_text().splitlines()[0].split(",")[1:]
    by_name = {name: number for number, name in enumerate(names)}
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "answers.npz"
        for repeat in range(options.repeats):
            weights = Path(place) / f"weights{repeat}"
            weights.mkdir()
            members = make_members(weights, options.folds.split(","), options.skew, repeat)
            alone = [answers(options.folder, weights, 3600.0, [member], out) for member in members]
            truth_of = truth[[by_name[name] for name in alone[0]["names"]]]
            tables = np.stack([found["raw"] for found in alone])
            mean = tables.mean(axis=0)
            everything = {"raw": mean, "mapped": mean, "answered": np.ones(len(truth_of), bool)}
            best = scored(everything, truth_of, columns, classes)[0]
            each = ", ".join(f"{scored(found, truth_of, columns, classes)[0]:.3f}" for found in alone)
            print(
                f"\nmembers {repeat + 1}: macro ROC-AUC {each} alone, {best:.3f} together; shares are drawn\n\n{DRAWN}"
            )
            for share in options.shares:
                values = scored(constructed(tables, share), truth_of, columns, classes)
                print(f"| {share:.0%} | {' | '.join(f'{value:.3f}' for value in [*values, best])} |", flush=True)
            print(f"\nruns that --time-limit ended\n\n{CUT}", flush=True)
            for share in options.shares:
                limit, found = _cut(options.folder, weights, members, share, out)
                values = scored(found, truth_of, columns, classes)
                full, given = float(found["full"].mean()), float(found["share"])
                told = " | ".join(f"{value:.3f}" for value in [*values, best])
                print(f"| {limit:.1f} s | {given:.0%} | {full:.0%} | {told} |", flush=True)


def _cut(
    folder: Path, weights: Path, members: Sequence[str], share: float, out: Path
) -> tuple[float, dict[str, np.ndarray]]:
    """A limit under which a run gives about that share of all answers, and its answers; the nearest of a few tries."""
    low, high, best = 0.0, 0.0, None
    limit = 8.0
    for _ in range(TRIES):
        found = answers(folder, weights, limit, members, out)
        given = float(found["share"])
        if best is None or abs(given - share) < abs(float(best[1]["share"]) - share):
            best = limit, found
        if abs(given - share) <= NEAR:
            break
        low, high = (limit, high) if given < share else (low, limit)
        limit = (low + high) / 2 if high else 1.6 * limit
    assert best is not None
    return best


if __name__ == "__main__":
    record(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4].split(","), Path(sys.argv[5]))
