"""A runtime in torch's place where windows overlap: who is faster with the work that torch does once answers them."""

import re
from collections import Counter

import numpy as np
import pytest
import torch
from conftest import LABELS
from tile_windows import tiles_for, windows_of
from torch import Tensor

from soundpost.ensemble.recipes import Member, Named, Recipe
from soundpost.graph_export.onnx_export import export
from soundpost.inference import predictor as predictor_module
from soundpost.inference.backends import choice as choice_module
from soundpost.inference.backends.candidates import Candidates
from soundpost.inference.backends.choice import BackendChoice
from soundpost.inference.backends.graph_network import GraphNetwork
from soundpost.inference.backends.graph_settings import GraphSettings
from soundpost.inference.fold_group import FoldGroup
from soundpost.inference.predictor import Predictor
from soundpost.inference.shared_windows import Sharing, shared_logits
from soundpost.models.ex4sperans import Ex4sperans2d, Ex4speransSettings

SETTINGS = {"blocks": 3, "base": 6, "start": 1, "bins": 16}
RECIPE = Recipe(
    name="lines",
    labels=LABELS,
    audio={"sample_rate": 16000},
    front_end=Named("log_mel", {"sample_rate": 16000, "n_fft": 512, "hop_length": 128, "n_mels": 16}),
    model=Named("ex4sperans_2d", SETTINGS),
    views=(Named("tiles", {"frames": 128, "step": 32, "derivatives": False, "divisor": 10.0}),),
    members=(),
    priors=(0.25,) * 4,
)
VIEW = tiles_for("lines", 32)
OVERLAPPING = windows_of(VIEW, (300,))  # seven tiles of one clip
LONE = torch.cat([windows_of(VIEW, (128,), seed=seed) for seed in range(3)])
SAME = 1e-5  # how far another order of sums may move a probability


class Work:
    """Stands in for the wall clock: who computes takes so many seconds a window, and is counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
        self.now = 0.0
        self.windows: Counter[str] = Counter()
        self._seconds = seconds
        monkeypatch.setattr(choice_module.time, "perf_counter", lambda: self.now)
        for who, owner, name in (("torch", Ex4sperans2d, "forward"), ("runtime", GraphNetwork, "forward")):
            monkeypatch.setattr(owner, name, self._counted(who, getattr(owner, name)))

        def shared(model: torch.nn.Module, inputs: Tensor, sharing: Sharing) -> Tensor:
            lone = len(inputs) - sharing.overlapping
            self.note("shared", sharing.overlapping)
            answers = shared_logits(model, inputs, sharing)  # lone windows are noted by the network itself
            assert lone >= 0
            return answers

        monkeypatch.setattr(predictor_module, "shared_logits", shared)

    def note(self, who: str, windows: int) -> None:
        self.now += self._seconds[who] * windows
        self.windows[who] += windows

    def of(self, predictor: Predictor | FoldGroup, batch: Tensor) -> tuple[Counter[str], np.ndarray]:
        """How many windows who computed for a batch, and its answers."""
        self.windows.clear()
        answers = predictor(batch, VIEW).numpy()
        return Counter(self.windows), answers

    def _counted(self, who: str, forward):  # noqa: ANN001, ANN202 - a method of either class
        def counted(network: torch.nn.Module, windows: Tensor) -> Tensor:
            self.note(who, len(windows))
            return forward(network, windows)

        return counted


def member(fold: str, choice: BackendChoice, precision: str = "float32") -> Predictor:
    """One fold with its exported graph, which ONNX Runtime may compute."""
    torch.manual_seed(int(fold))
    network = Ex4sperans2d(Ex4speransSettings(**SETTINGS), len(LABELS)).eval()
    arrays = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    made = Member("lines", fold, "", "")
    candidates = Candidates(export(RECIPE, made, arrays), GraphSettings(), len(LABELS), ("onnxruntime",), choice, 1)
    return Predictor(RECIPE, made, arrays, "cpu", precision, candidates=candidates)


@pytest.mark.parametrize("first", ["lone windows", "windows that overlap"])
def test_torch_answers_windows_that_overlap_where_a_runtime_is_faster_with_lone_ones_only(
    monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """1.5 times as fast a window is no gain where torch does a third of the work; the answers are the same."""
    said: list[str] = []
    predictor = member("1", BackendChoice(tell=said.append))
    with torch.inference_mode():
        expected = predictor.model(VIEW.prepare(OVERLAPPING)).sigmoid().numpy()
    work = Work(monkeypatch, torch=3.0, runtime=2.0, shared=1.0)
    work.of(predictor, LONE if first == "lone windows" else OVERLAPPING)
    work.of(predictor, OVERLAPPING)

    lone, _ = work.of(predictor, LONE)
    overlapping, answers = work.of(predictor, OVERLAPPING)

    assert lone == {"runtime": 3}
    assert overlapping == {"shared": 7}
    assert "lines/1: onnxruntime taken in place of torch: 1.50 times as fast" in said[1]
    assert said[2] == (
        "lines/1: windows of 128 frames every 32, whose common work torch does once: onnxruntime 0.50 times as fast; "
        "torch answers those"
    )
    assert len(said) == 3, "it was measured more than once"
    np.testing.assert_allclose(answers, expected, rtol=0, atol=SAME)


def test_runtime_that_beats_the_shared_work_answers_every_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is faster even where torch shares is taken for all of it."""
    said: list[str] = []
    predictor = member("1", BackendChoice(tell=said.append))
    work = Work(monkeypatch, torch=3.0, runtime=1.0, shared=1.5)
    work.of(predictor, OVERLAPPING)

    assert work.of(predictor, OVERLAPPING)[0] == {"runtime": 7}
    assert work.of(predictor, LONE)[0] == {"runtime": 3}
    assert said[-1].endswith("onnxruntime 1.50 times as fast; onnxruntime answers those")


def test_batch_of_both_kinds_goes_to_who_is_faster_over_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two windows that overlap amid many lone ones are no reason to leave the runtime; many amid one are."""
    predictor = member("1", BackendChoice())
    work = Work(monkeypatch, torch=3.0, runtime=2.0, shared=1.0)
    work.of(predictor, OVERLAPPING)
    two = windows_of(VIEW, (160,), seed=5)

    assert work.of(predictor, torch.cat([two, LONE, LONE]))[0] == {"runtime": 8}
    assert work.of(predictor, torch.cat([OVERLAPPING, LONE[:1]]))[0] == {"shared": 7, "torch": 1}


def test_runtime_that_was_asked_for_by_name_answers_what_overlaps_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is measured against what nobody asked for."""
    said: list[str] = []
    predictor = member("1", BackendChoice("onnxruntime", said.append))
    work = Work(monkeypatch, torch=3.0, runtime=9.0, shared=1.0)
    work.of(predictor, OVERLAPPING)

    assert work.of(predictor, OVERLAPPING)[0] == {"runtime": 7}
    assert not any("common work" in line for line in said)


def test_folds_that_share_batches_follow_what_the_first_of_them_was_measured_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One measurement for the recipe; each fold's answers are its own network's."""
    said: list[str] = []
    shared_choice = BackendChoice(tell=said.append)
    folds = [member(fold, shared_choice) for fold in "12"]
    with torch.inference_mode():
        expected = [fold.model(VIEW.prepare(OVERLAPPING)).sigmoid().numpy() for fold in folds]
    work = Work(monkeypatch, torch=3.0, runtime=2.0, shared=1.0)
    group = FoldGroup(folds)
    work.of(group, OVERLAPPING)

    who, answers = work.of(group, OVERLAPPING)

    assert who == {"shared": 14}
    assert sum("common work" in line for line in said) == 1
    for fold in range(2):
        np.testing.assert_allclose(answers[:, fold], expected[fold], rtol=0, atol=SAME)


def test_embeddings_are_torch_s_where_a_runtime_computes_the_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph has no layer to listen to; the network that is listened to is the same member's."""
    from soundpost.archive.embedder import Embedder
    from soundpost.inference.embedding import embed

    predictor = member("1", BackendChoice("onnxruntime"))
    predictor(LONE, VIEW)
    assert isinstance(predictor.model, GraphNetwork)
    work = Work(monkeypatch, torch=1.0, runtime=1.0, shared=1.0)

    by_lane = Embedder(predictor)(LONE, VIEW).numpy()
    in_memory = embed(predictor, [np.asarray(window) for window in LONE])

    assert by_lane.shape == (3, in_memory.shape[1])
    np.testing.assert_allclose(by_lane, in_memory, rtol=0, atol=SAME)
    assert work.windows["runtime"] == 0
    assert len(predictor(LONE, VIEW)) == 3
    assert work.windows["runtime"] == 3


def test_runtime_is_compared_with_float32_where_torch_computes_in_half_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rounding moves torch's answers further than a runtime may; the runtime's are those of float32 and are taken."""
    said: list[str] = []
    predictor = member("1", BackendChoice(tell=said.append), "bfloat16")
    with torch.inference_mode():
        expected = predictor.model(VIEW.prepare(LONE)).sigmoid().numpy()
    monkeypatch.setattr(choice_module, "BOUND", 1e-5)
    work = Work(monkeypatch, torch=3.0, runtime=1.0, shared=3.0)

    _, answers = work.of(predictor, LONE)

    assert predictor.is_half is False
    assert re.search(
        r"onnxruntime taken in place of torch: 3.00 times as fast, probabilities within \de-0[6-9]", said[1]
    )
    np.testing.assert_allclose(answers, expected, rtol=0, atol=1e-5)
