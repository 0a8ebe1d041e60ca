"""What a batch costs, and the largest one that runs: a size that failed is never accepted, other errors are raised."""

import pytest
import torch
from networks import WHOLE, let_recipes_ask_for_fakes, predictor
from torch import Tensor

from soundpost.inference.predictor import Predictor
from soundpost.inference.profiling import Probed, fit_worst_batch, paying_bytes, probe
from soundpost.resources.memory_budget import LANE_BYTES
from soundpost.views.tiles import Tiles, TilesSettings
from soundpost.views.view import View

FRAMES = 400
SHAPE = (1, 16, FRAMES)
PLAIN_TILES = Tiles(TilesSettings(frames=200, derivatives=False, divisor=1.0))  # whose windows cannot be shown in parts
NO_ENGINE = "GET was unable to find an engine to execute this computation"


@pytest.fixture(autouse=True)
def fakes_are_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes may ask for the networks that misbehave."""
    let_recipes_ask_for_fakes(monkeypatch)


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> list[tuple[int, int]]:
    """Every rehearsal ends in this error; returns the (windows, frames) of those that were tried."""
    tried: list[tuple[int, int]] = []

    def rehearse(self: Predictor, batch: Tensor, view: View) -> None:
        tried.append((len(batch), batch.shape[-1]))
        raise error

    monkeypatch.setattr(Predictor, "rehearse", rehearse)
    return tried


@pytest.mark.parametrize(("most", "budget"), [(8, 8 * FRAMES), (3, 2 * FRAMES), (1, FRAMES)])
def test_largest_batch_is_halved_until_it_runs(most: int, budget: int) -> None:
    """Eight windows are wished for."""
    assert fit_worst_batch(predictor(model="hungry", most=most), WHOLE, SHAPE, 8 * FRAMES) == budget


def test_largest_batch_is_shorter_than_one_window_that_failed() -> None:
    """A window of 400 frames has no room and one of 100 has: later batches have no more than the latter."""
    hungry = predictor(model="hungry", most=8, most_frames=150)
    assert fit_worst_batch(hungry, WHOLE, SHAPE, 8 * FRAMES) == 100


def test_largest_batch_of_windows_that_cannot_be_shown_in_parts_is_none_that_failed() -> None:
    """Single windows travel alone whatever the budget, and two never do."""
    hungry = predictor(model="hungry", most=8, most_frames=150)
    assert fit_worst_batch(hungry, PLAIN_TILES, SHAPE, 1000) < 200


@pytest.mark.parametrize("text", ["cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", "shapes cannot be multiplied"])
def test_error_that_is_no_lack_of_memory_is_raised_by_the_largest_batch(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says nothing about the size, so no size is the answer."""
    tried = failing(monkeypatch, RuntimeError(text))
    with pytest.raises(RuntimeError, match=text):
        fit_worst_batch(predictor(), WHOLE, SHAPE, 8 * FRAMES)
    assert tried == [(8, FRAMES)]


@pytest.mark.parametrize("view", [WHOLE, PLAIN_TILES], ids=["whole", "tiles"])
def test_workspace_error_down_to_the_least_piece_is_raised(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails with one short window, too, does not fail for its size: the device is broken."""
    tried = failing(monkeypatch, RuntimeError(NO_ENGINE))
    with pytest.raises(RuntimeError, match="unable to find an engine"):
        fit_worst_batch(predictor(), view, SHAPE, 8 * FRAMES)
    assert tried[-1] == ((1, 100) if view is WHOLE else (1, 200))
    with pytest.raises(RuntimeError, match="unable to find an engine"):
        probe(predictor(), view, SHAPE)


def test_lack_of_memory_down_to_the_least_piece_leaves_a_budget_for_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plainly full device is not taken for broken; what travels is made to fit, or answered by the CPU."""
    tried = failing(monkeypatch, torch.OutOfMemoryError("CUDA out of memory"))
    assert fit_worst_batch(predictor(), WHOLE, SHAPE, 2 * FRAMES) < tried[-1][1]


def test_probe_of_a_network_without_room_for_one_window_says_so() -> None:
    """On a CPU there is nobody else to ask."""
    with pytest.raises(MemoryError, match="tiny/1: one window of 100 frames does not fit"):
        probe(predictor(model="hungry", most=8, most_frames=63), WHOLE, SHAPE)


def test_probe_raises_what_is_no_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A smaller batch would not help."""
    tried = failing(monkeypatch, RuntimeError("nvrtc: error: invalid value for --gpu-architecture (-arch)"))
    with pytest.raises(RuntimeError, match="nvrtc"):
        probe(predictor(), WHOLE, SHAPE)
    assert len(tried) == 1


@pytest.mark.parametrize(
    ("call_seconds", "window_seconds", "windows"), [(0.030, 0.010, 8), (0.0001, 0.010, 1)], ids=["pays", "pays not"]
)
def test_batch_on_a_core_is_larger_where_that_is_quicker_a_window(
    call_seconds: float, window_seconds: float, windows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LANE_BYTES hold one window of this network, and the clock says what each call costs beside its windows."""
    now = 0.0

    def rehearse(self: Predictor, batch: Tensor, view: View) -> None:
        nonlocal now
        now += call_seconds + window_seconds * len(batch)

    monkeypatch.setattr(Predictor, "rehearse", rehearse)
    monkeypatch.setattr("soundpost.inference.profiling.time.perf_counter", lambda: now)
    probed = Probed(LANE_BYTES / FRAMES, window_seconds / FRAMES)
    found = paying_bytes(predictor(), WHOLE, SHAPE, probed, most=8 * LANE_BYTES)
    assert found // LANE_BYTES == windows


def test_batch_on_a_core_is_not_tried_larger_where_many_windows_fit_or_one_takes_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Eight windows make good what a call costs, and a try of seconds would cost more than it wins."""
    tried = failing(monkeypatch, AssertionError("it was tried"))
    for probed in (Probed(LANE_BYTES / FRAMES / 8, 0.01 / FRAMES), Probed(LANE_BYTES / FRAMES, 0.4 / FRAMES)):
        assert paying_bytes(predictor(), WHOLE, SHAPE, probed, most=8 * LANE_BYTES) == LANE_BYTES
    assert tried == []
