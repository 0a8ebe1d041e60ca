"""What every model and view of the registries promises, and that a front end's settings alone name its spectrograms.

What front ends and blends promise beside that is asked of all of theirs in test_front_ends.py and test_blend.py.
"""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from soundpost.ensemble.recipes import Named, Recipe
from soundpost.front_ends import FRONT_ENDS
from soundpost.functional.qrfaction_layout import side_columns
from soundpost.inference.embedding import class_layer
from soundpost.inference.fuse_batch_norm import BOUND, fold_batch_norms
from soundpost.models import MODELS
from soundpost.registry import pick, settings_from
from soundpost.views import VIEWS

N_CLASSES = 5
PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"
# Part of a logit, relative to the largest: what rounding moves between batch sizes, see SAME_ANSWER in test_predict.py.
SAME_LOGIT = 1e-5


@dataclasses.dataclass(frozen=True)
class Case:
    """Small settings of a network, and inputs that it takes."""

    settings: dict[str, Any]
    shape: Callable[[int], tuple[int, ...]]  # frames -> one input
    lengths: tuple[int, ...]  # in frames; one for networks of a fixed size


def planes(channels: int, bins: int) -> Callable[[int], tuple[int, ...]]:
    return lambda frames: (channels, bins, frames)


ARGUS = {"base_size": 4, "ratio": 4, "last_fc": 4, "last_filters": 4}
TWICE_SQUEEZED = {"widths": [4, 4, 8, 8], "hidden": 8}
# Somebody's own network: any class will do, such as one of torch's that takes (batch, frames).
OWN = {
    "module": "torch.nn",
    "attribute": "Linear",
    "arguments": {"in_features": 12, "out_features": N_CLASSES},
    "axes": ["batch", "frames"],
}
CASES = {
    "argus_aux_skip_attention": Case(ARGUS, planes(3, 32), (16, 48, 75)),
    "argus_fcnet": Case({"in_channels": 3 * N_CLASSES, "base_size": 8}, lambda _: (3, N_CLASSES), (1,)),
    "argus_rnn_aux_skip_attention": Case(ARGUS, planes(3, 32), (16, 48, 75)),
    "argus_skip_attention": Case(ARGUS, planes(3, 32), (16, 48, 75)),
    "compact": Case({"bins": 16, "widths": [4, 6], "strides": [2, 2]}, planes(1, 16), (1, 40, 131)),
    "erc2019_dcase": Case({"widths": [16, 16, 16, 16, 16], "hidden": 8}, planes(1, 128), (128,)),
    "erc2019_plain": Case(TWICE_SQUEEZED, planes(1, 32), (16, 40, 77)),
    "erc2019_pyramid": Case(TWICE_SQUEEZED, planes(1, 32), (16, 40, 77)),
    "ex4sperans_1d": Case({"blocks": 3, "base": 4, "start": 0, "bins": 24}, planes(1, 24), (8, 40, 91)),
    "ex4sperans_2d": Case({"blocks": 3, "base": 4, "growth": 1.5, "start": 1}, planes(1, 24), (8, 40, 91)),
    "ex4sperans_backbone": Case({"backbone": "resnet18"}, planes(1, 32), (32, 40, 70)),
    "inception": Case({"width_ratio": 0.125}, planes(1, 80), (75, 90, 120)),
    "own": Case(OWN, planes(1, 1), (12,)),
    "qrfaction": Case({"network": "msc", "width_ratio": 0.125, "rnn_unit": 8}, planes(1, 16), (16 + side_columns(16),)),
    "qrfaction_stacker": Case({"n_inputs": 3}, lambda _: (3, N_CLASSES), (1,)),
    "resnet": Case({"layers": [1, 1, 1, 1], "stem": 8, "hidden": 16}, planes(3, 32), (32, 40, 75)),
    "simongrest": Case({"base": 2, "cap": 8, "blocks": 4}, planes(1, 20), (16, 20, 31)),
}
EVERY_LENGTH = [(name, frames) for name in MODELS for frames in CASES.get(name, Case({}, planes(1, 1), (0,))).lengths]


def network(name: str) -> nn.Module:
    """In evaluation mode, with statistics as if it had been trained."""
    assert name in CASES, f"model {name} has no Case here. Give it small settings and inputs that it takes."
    torch.manual_seed(3)
    model_class = pick(MODELS, name, "model")
    model = model_class(settings_from(model_class.Settings, CASES[name].settings, name), N_CLASSES)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


@torch.inference_mode()
def logits(model: nn.Module, batch: Tensor) -> Tensor:
    output = model(batch)
    return output[0] if isinstance(output, tuple) else output


def inputs(name: str, frames: int, count: int = 3) -> Tensor:
    return torch.rand(count, *CASES[name].shape(frames), generator=torch.Generator().manual_seed(frames))


@pytest.mark.parametrize(("name", "frames"), EVERY_LENGTH)
def test_model_gives_a_row_of_logits_that_no_batch_mate_changes(name: str, frames: int) -> None:
    """(batch, ...) -> (batch, classes) at every length that it takes, the same row alone and in any order."""
    model, batch = network(name), inputs(name, frames)

    together = logits(model, batch)

    assert together.shape == (3, N_CLASSES)
    assert torch.isfinite(together).all()
    bound = SAME_LOGIT * float(together.abs().max().clamp(min=1))
    for row in range(3):
        torch.testing.assert_close(logits(model, batch[row : row + 1])[0], together[row], rtol=0, atol=bound)
    torch.testing.assert_close(logits(model, batch.flip(0)), together.flip(0), rtol=0, atol=bound)


@pytest.mark.parametrize("name", MODELS)
def test_model_keeps_no_state_and_draws_nothing(name: str) -> None:
    """The second call gives the same bits, input and random generator stay as they were."""
    model, batch = network(name), inputs(name, CASES[name].lengths[-1])
    before, state = batch.clone(), torch.get_rng_state()

    first = logits(model, batch)

    assert torch.equal(first, logits(model, batch))
    assert torch.equal(before, batch)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("name", MODELS)
def test_model_with_folded_batch_norms_answers_as_before(name: str) -> None:
    """What prediction does to every network leaves its logits within the stated bound, at every length."""
    model = network(name)
    folded = fold_batch_norms(model, inputs(name, CASES[name].lengths[-1])[:1])
    for frames in CASES[name].lengths:
        batch = inputs(name, frames)
        expected = logits(model, batch)
        bound = BOUND * float(expected.abs().max().clamp(min=1))
        torch.testing.assert_close(logits(folded, batch), expected, rtol=0, atol=bound)


@pytest.mark.parametrize("name", MODELS)
def test_model_is_built_from_settings_and_the_number_of_classes_alone(name: str) -> None:
    """Two networks of the same settings hold arrays of the same names and shapes, so that weights fit."""
    first, second = network(name).state_dict(), network(name).state_dict()
    assert {key: value.shape for key, value in first.items()} == {key: value.shape for key, value in second.items()}
    assert dataclasses.is_dataclass(pick(MODELS, name, "model").Settings)


# ---------------------------------------------------------------- views
def view(name: str) -> Any:
    view_class = pick(VIEWS, name, "view")
    return view_class(view_class.Settings())


def lengths(name: str) -> tuple[int, ...]:
    """Frames of the clips to show; segments come in whole numbers of them, with the columns of the whole clip."""
    return (431 + 25, 3 * 431 + 25) if name == "segments" else (1, 9, 100, 300, 4000)


def spectrogram(frames: int) -> Tensor:
    """(1, 96, frames), such as pictures are: from 0 to 255."""
    return torch.rand(1, 96, frames, generator=torch.Generator().manual_seed(frames)) * 255


@pytest.mark.parametrize("name", VIEWS)
def test_view_has_windows_of_the_same_kind_at_every_call(name: str) -> None:
    """At least one window for any clip, each with frames and weight, known before any tensor exists."""
    made = view(name)
    for frames in lengths(name):
        windows = made.windows(frames)
        assert windows
        assert windows == made.windows(frames)
        assert len(set(windows)) == len(windows), "a window twice would count twice"
        assert all(window.frames > 0 and window.weight > 0 for window in windows)


@pytest.mark.parametrize("name", VIEWS)
def test_view_cuts_what_it_declared_and_leaves_the_clip_alone(name: str) -> None:
    """Frames as declared, finite, the same at the second call; neither clip nor random generator changes."""
    made = view(name)
    for frames in lengths(name):
        clip = spectrogram(frames)
        before, state = clip.clone(), torch.get_rng_state()
        for window in made.windows(frames):
            piece = made.cut(clip, window)
            assert piece.shape == (1, 96, window.frames)
            assert torch.isfinite(piece).all()
            assert torch.equal(piece, made.cut(clip, window))
        assert torch.equal(before, clip)
        assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("name", VIEWS)
def test_view_prepares_each_window_by_itself(name: str) -> None:
    """What is done to a batch on the device is the same for a row alone, and does not change what it was given."""
    made, frames = view(name), lengths(name)[-1]
    batch = torch.stack([made.cut(spectrogram(frames), window) for window in made.windows(frames)[:3]])
    before = batch.clone()

    prepared = made.prepare(batch)

    assert len(prepared) == len(batch)
    assert torch.isfinite(prepared).all()
    for row in range(len(batch)):
        torch.testing.assert_close(made.prepare(batch[row : row + 1])[0], prepared[row], rtol=0, atol=1e-6)
    assert torch.equal(before, batch)


# ---------------------------------------------------------------- front ends
@pytest.mark.parametrize("name", FRONT_ENDS)
def test_front_end_is_named_by_its_settings_alone(name: str) -> None:
    """Any setting that changes gives another digest, so that no member reads another's spectrograms."""

    def digest(**settings: Any) -> str:
        front_end, model = Named(name, settings), Named("compact", {})
        return Recipe("x", ("Bark",), {}, front_end, model, (), (), (0.5,)).digest()

    fields = dataclasses.fields(pick(FRONT_ENDS, name, "front end").Settings)
    digests = {field.name: digest(**{field.name: "changed"}) for field in fields}
    assert len({*digests.values(), digest()}) == 1 + len(fields)


@pytest.mark.parametrize("name", [name for name in CASES if name != "own"])  # whose layers nobody knows beforehand
def test_model_has_the_class_layer_that_the_page_names(name: str) -> None:
    """A clip's embedding is what that layer reads; docs/python.md says which it is and how wide by default."""
    rows = re.findall(rf"^\| {name} \| (\S+) \| (\d+) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    batch = inputs(name, CASES[name].lengths[-1])
    with torch.inference_mode():
        layer, vectors = class_layer(network(name), batch, N_CLASSES)
    model_class = pick(MODELS, name, "model")
    by_default = dict(model_class(model_class.Settings(), 80).named_modules())[layer]

    assert rows == [(layer, str(by_default.in_features))]
    assert len(vectors) == len(batch)
