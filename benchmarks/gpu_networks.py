"""Networks of published recipes with drawn weights, and windows for them, for what is measured on a device."""

from typing import Any

import torch
from torch import Tensor

from soundpost.ensemble.recipes import Member, Named, Recipe
from soundpost.front_ends import FRONT_ENDS
from soundpost.importers.recipe_files import template
from soundpost.inference.network import build as build_network
from soundpost.inference.predictor import Predictor
from soundpost.registry import build
from soundpost.training.recipe_fit import make_network
from soundpost.views import VIEWS
from soundpost.views.batch import stack

LABELS = tuple(f"class_{i}" for i in range(80))


def recipe_of(name: str) -> Recipe:
    """A published recipe of one member, without weights."""
    table = template(name)

    def named(entry: dict[str, Any]) -> Named:
        return Named(entry["name"], {key: value for key, value in entry.items() if key != "name"})

    return Recipe(
        name=name, labels=LABELS, audio=table.get("audio", {}), front_end=named(table["front_end"]),
        model=named(table["model"]), views=tuple(named(view) for view in table["views"]),
        members=(Member(name, "0", "", ""),), priors=(0.5,) * len(LABELS),
        average=table.get("average", "probability"), activation=table.get("activation", "sigmoid"),
    )  # fmt: skip


def predictor_of(name: str, device: str, precision: str) -> Predictor:
    """The recipe's network with drawn weights, the same on every device."""
    torch.manual_seed(0)
    network = make_network(template(name), len(LABELS))
    arrays = {key: tensor.numpy() for key, tensor in network.state_dict().items()}
    recipe = recipe_of(name)
    build_network(recipe, recipe.members[0], arrays)
    return Predictor(recipe, recipe.members[0], arrays, device, precision)


def batch_of(name: str, windows: int) -> tuple[Tensor, Any]:
    """Windows of a drawn clip as the recipe cuts them, and the view."""
    recipe = recipe_of(name)
    front_end = build(FRONT_ENDS, recipe.front_end.name, recipe.front_end.settings, "front end")
    rate = int(recipe.audio.get("sample_rate", 44100)) or 44100
    view = build(VIEWS, recipe.views[0].name, recipe.views[0].settings, "view")
    clip = (torch.randn(front_end.shape(8 * rate), generator=torch.Generator().manual_seed(1)) * 10 - 20).numpy()
    cut = list(view.windows(clip.shape[2]) * windows)[:windows]
    return stack([clip] * len(cut), cut, view), view


def wait(name: str) -> None:
    """Until a device has done all that it was given."""
    if name != "cpu":
        torch.cuda.synchronize(name)
