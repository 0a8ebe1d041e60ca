"""Shapes of contests by name: how a sample submission looks and what is written for it. A new shape is one file.

The first one whose `fits` is true is taken, in this order; [contest] shape = "..." of a submission.toml names one.
"""

from soundpost.contest.shapes.ranked_clips import RankedClips
from soundpost.contest.shapes.shape import Shape
from soundpost.contest.shapes.wide_clips import WideClips
from soundpost.contest.shapes.wide_windows import WideWindows
from soundpost.contest.shapes.window_booleans import WindowBooleans
from soundpost.contest.shapes.window_labels import WindowLabels

SHAPES: dict[str, type[Shape]] = {
    "ranked_clips": RankedClips,
    "window_booleans": WindowBooleans,
    "window_labels": WindowLabels,
    "wide_windows": WideWindows,
    "wide_clips": WideClips,
}
