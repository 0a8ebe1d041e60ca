"""A picture of a training: loss, score and rate of every epoch of every member, from its history files."""

import csv
from collections.abc import Sequence
from pathlib import Path

PICTURE = "history.png"
PANELS = (("loss", "linear"), ("score", "linear"), ("rate", "log"))


def history_file(out: Path, fold: str) -> Path:
    """Where the epochs of a member are listed."""
    return out / f"history_{fold}.csv"


def draw_histories(out: Path, folds: Sequence[str]) -> str:
    """Write history.png where matplotlib is installed; the line that says so, or what to install."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return "no picture of the histories without matplotlib; pip install 'soundpost[train]' brings it"
    figure = Figure(figsize=(9, 7), layout="constrained")
    axes = figure.subplots(len(PANELS), 1, sharex=True)
    borders: set[int] = set()
    for fold in folds:
        rows = read_history(out, fold)
        for axis, (column, scale) in zip(axes, PANELS, strict=True):
            values = [float(row[column]) for row in rows]
            # A score that was not looked at is none; crosses show one that stands alone.
            axis.plot(range(1, len(rows) + 1), values, marker="." if len(rows) < 3 else "", label=f"fold {fold}")
            axis.set_yscale(scale)
            axis.set_ylabel(column)
        borders |= {number for number in range(1, len(rows)) if rows[number]["stage"] != rows[number - 1]["stage"]}
    for axis in axes:
        for number in borders:
            axis.axvline(number + 0.5, color="grey", linewidth=0.5)
    axes[0].legend(fontsize="small")
    axes[0].set_title(f"{out.name}: every epoch of every member, stages apart")
    axes[-1].set_xlabel("epoch")
    figure.savefig(out / PICTURE, dpi=110)
    return f"{out / PICTURE}: loss, score and rate of every epoch"


def read_history(out: Path, fold: str) -> list[dict[str, str]]:
    """Every epoch of a member, as the file has it."""
    with history_file(out, fold).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
