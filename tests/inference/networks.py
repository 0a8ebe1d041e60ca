"""Small networks and spectrograms that the tests of inference share."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import LABELS, compact_arrays
from fakes_by_name import FAKE_MODELS
from torch import Tensor

from soundpost.contest.submission import check, read_sample
from soundpost.engine import run as run_module
from soundpost.engine.provision import provisioned
from soundpost.ensemble.recipes import Member, Named, Recipe
from soundpost.inference.predictor import Predictor
from soundpost.models import MODELS
from soundpost.settings import RunSettings
from soundpost.views.whole import Whole, WholeSettings

# Largest change of a probability. Another batch size lets the kernels add in another order and choose other
# instructions: float32 rounds at 2^-24 = 6e-8, and ten layers pass it on. A batch mate that mattered would move answers
# by 1e-3 and more.
SAME_ANSWER = 2e-6

SETTINGS = {"bins": 16, "widths": (4, 6), "strides": (2, 2)}
WHOLE = Whole(WholeSettings())
TILES = {"views": [{"name": "tiles", "frames": 40, "step": 20, "derivatives": False, "divisor": 1.0}]}


def recipe(
    model: str = "compact", average: str = "probability", activation: str = "sigmoid", **settings: object
) -> Recipe:
    """A recipe of a small network without members."""
    return Recipe(
        name="tiny",
        labels=LABELS,
        audio={},
        front_end=Named("log_mel", {}),
        model=Named(model, {**SETTINGS, **settings}),
        views=(Named("whole", {}),),
        members=(),
        priors=(0.25,) * 4,
        average=average,
        activation=activation,
    )


def predictor(precision: str = "float32", seed: int = 1, **changed: object) -> Predictor:
    """Its first fold on the CPU, with random weights; what is changed is the recipe's."""
    made = recipe(**changed)
    return Predictor(made, Member("tiny", "1", "", ""), compact_arrays(seed), "cpu", precision)


def spectrograms(count: int, frames: int = 80, seed: int = 0) -> Tensor:
    """Such as a front end makes: (clips, 1, bins, frames), dB, loud and quiet ones."""
    random = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, 1, 16, frames, generator=random) * 6
    return noise - 60 * torch.rand(count, 1, 1, 1, generator=random) + torch.linspace(5, -25, 16)[:, None]


def let_recipes_ask_for_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks that misbehave are models while a test runs."""
    for name, place in FAKE_MODELS.items():
        monkeypatch.setitem(MODELS, name, place)


def run_once(settings: RunSettings, counts: Counter[str] | None = None) -> np.ndarray:
    """The submission of a run in this process, (clips, columns); counts gets what the cache counted."""
    with provisioned(settings) as session:
        assert run_module.Run(session).run() == 0
        if counts is not None:
            counts.update(session.cache.counts)
        assert session.cache.check() == []
    sample = read_sample(Path(settings.sample_submission))
    assert check(Path(settings.out), sample) == []
    columns = range(1, 1 + len(sample.columns))
    return np.loadtxt(settings.out, delimiter=",", skiprows=1, usecols=columns, ndmin=2)
