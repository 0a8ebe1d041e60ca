"""Shapes of contests by name: how a sample submission looks and what is written for it. A new shape is one file.

The first one whose `fits` is true is taken, in this order; [contest] shape = "..." of a submission.toml names one.
"""

SHAPES: dict[str, str] = {
    "ranked_clips": "soundpost.contest.shapes.ranked_clips:RankedClips",
    "window_booleans": "soundpost.contest.shapes.window_booleans:WindowBooleans",
    "window_labels": "soundpost.contest.shapes.window_labels:WindowLabels",
    "wide_windows": "soundpost.contest.shapes.wide_windows:WideWindows",
    "wide_clips": "soundpost.contest.shapes.wide_clips:WideClips",
}
