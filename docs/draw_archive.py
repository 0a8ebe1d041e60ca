"""Draws docs/archive.png, how often each label is heard in an archive: python docs/draw_archive.py TAGS.parquet."""

import sys
from pathlib import Path

import matplotlib as mpl
import pandas as pd

mpl.use("agg")
import matplotlib.pyplot as plt

THRESHOLD = 0.5
PAGE = Path(__file__).resolve().parent / "archive.png"


def main() -> int:
    """Count rows whose probability of a label reaches the threshold."""
    tags = pd.read_parquet(sys.argv[1])
    probabilities = tags.select_dtypes("float32")
    counts = (probabilities >= THRESHOLD).sum().sort_values()
    figure, axes = plt.subplots(figsize=(6, 0.28 * len(counts) + 0.8), layout="constrained")
    axes.barh(counts.index, counts, color="#4477aa")
    axes.bar_label(axes.containers[0], padding=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(f"rows with a probability of {THRESHOLD:g} or more, of {len(tags):,}")
    figure.savefig(PAGE, dpi=110)
    return 0


if __name__ == "__main__":
    sys.exit(main())
