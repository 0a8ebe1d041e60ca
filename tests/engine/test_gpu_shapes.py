"""How many shapes a GPU meets in a run of 3,361 clips, for every view of the recipes of Freesound contests."""

from collections import Counter

import numpy as np
import pytest

from soundpost.engine.batching import Groups, Unit
from soundpost.engine.clip_states import MAX_UNITS
from soundpost.engine.try_out import GPU_FRAMES
from soundpost.front_ends import FRONT_ENDS
from soundpost.importers.recipe_files import TEMPLATES, template
from soundpost.registry import build
from soundpost.views import VIEWS

CLIPS = 3361  # as many as the hidden set has
MOST_SHAPES = 200
FREESOUND = [
    path.stem
    for path in sorted(TEMPLATES.glob("*.toml"))
    if not path.stem.startswith("birdclef") and template(path.stem)["front_end"]["name"] != "first_level"
]
WHOLE = {"ex4sperans_1d", "ex4sperans_2d"}  # show whole clips, each length of which is a shape


def lengths_of(name: str, view_number: int) -> list[list[int]]:
    """Frames of the windows of every clip of a run; seconds are drawn as the contest's are spread."""
    table = template(name)
    front = {key: value for key, value in table["front_end"].items() if key != "name"}
    front_end = build(FRONT_ENDS, table["front_end"]["name"], front, "front end")
    chosen = {key: value for key, value in table["views"][view_number].items() if key != "name"}
    view = build(VIEWS, table["views"][view_number]["name"], chosen, "view")
    rate = table.get("audio", {}).get("sample_rate", 44100) or 44100
    seconds = np.clip(np.random.default_rng(0).lognormal(1.6, 0.9, CLIPS), 0.3, 30)
    return [[w.frames for w in view.windows(front_end.shape(int(s * rate))[2])] for s in seconds]


def shapes_of(clips: list[list[int]]) -> set[tuple[int, int]]:
    """(windows, frames) of all batches, as clips come and the device is at times hungry and changes its speed."""
    random, seen, left = np.random.default_rng(1), set(), 0
    groups = Groups(GPU_FRAMES, MAX_UNITS, is_round=True)
    groups.expect(Counter(), len(clips))
    for number, frames in enumerate(clips):
        groups.add([Unit(number, i, n) for i, n in enumerate(frames)], known=False)
        groups.follow(int(GPU_FRAMES * random.uniform(0.1, 1.2)), GPU_FRAMES)
        while batch := groups.take(hungry=bool(random.random() < 0.3)):
            seen.add((len(batch), batch[0].frames))
            left += len(batch)
    while batch := groups.take(hungry=True):
        seen.add((len(batch), batch[0].frames))
        left += len(batch)
    assert left == sum(map(len, clips))
    return seen


@pytest.mark.parametrize(
    ("name", "number"), [(n, i) for n in FREESOUND if n not in WHOLE for i in range(len(template(n)["views"]))]
)
def test_views_of_one_length_meet_at_most_200_shapes(name: str, number: int) -> None:
    """Over all clips of a contest, however they come."""
    assert len(shapes_of(lengths_of(name, number))) <= MOST_SHAPES


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_views_of_whole_clips_meet_a_shape_or_two_for_each_length(name: str) -> None:
    """Nothing may be padded, so that lengths bound them, not 200; see docs/speed.md for what bounds their memory."""
    clips = lengths_of(name, 0)
    lengths = {frames for windows in clips for frames in windows}
    shapes = shapes_of(clips)
    assert MOST_SHAPES < len(lengths) <= len(shapes) <= 2 * len(lengths)


def test_recipes_that_show_whole_clips_are_those_that_are_named_here() -> None:
    """A template that is new is counted with one or the other."""
    whole = {name for name in FREESOUND if any(view["name"] == "whole" for view in template(name)["views"])}
    assert whole == WHOLE
