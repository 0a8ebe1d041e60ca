"""Clips that effects or crops leave too short for the network are filled with zeros."""

from pathlib import Path

import pytest
import torch
from trained import WAVEFORMS, make_folder, top_level, words

from soundpost.front_ends import FRONT_ENDS
from soundpost.registry import build
from soundpost.training.__main__ import main
from soundpost.training.plan import find_plan, plan_names, read_plan

COMPACT = """name = "compact"
bins = 16
widths = [4, 6]
strides = [2, 2]
"""
FOUR_BLOCKS = """name = "ex4sperans_1d"
bins = 16
blocks = 4
base = 4
"""


def test_waveforms_shorter_than_the_plan_allows_are_filled(tmp_path: Path) -> None:
    """A crop leaves two frames for four halvings; the plan's audio asks for sixteen, and training comes to its end."""
    folder = make_folder(tmp_path)
    audio = 'sample_rate = 8000\nlength_rule = "at_least"\nlength_samples = 2400\n'
    plan = top_level(WAVEFORMS).replace("sample_rate = 8000\n", audio, 1).replace("frames = 2400", "frames = 200")
    assert COMPACT in plan
    (folder / "waveforms.toml").write_text(plan.replace("samples = 800", "samples = 100").replace(COMPACT, FOUR_BLOCKS))
    assert main(words(folder, "waveforms", "out")) == 0


EX4SPERANS = [name for name in plan_names() if name.startswith("ex4sperans/")]


@pytest.mark.parametrize("name", EX4SPERANS)
def test_plan_of_ex4sperans_has_room_for_its_blocks(name: str) -> None:
    """The shortest clip that its audio lets through has a frame left behind the last block."""
    plan = read_plan(find_plan(name))
    front_end = build(FRONT_ENDS, plan.front_end["name"], plan.front_end, "front end")
    frames = front_end(torch.zeros(1, plan.audio["length_samples"])).shape[-1]
    assert frames >= 2 ** plan.model["blocks"]
