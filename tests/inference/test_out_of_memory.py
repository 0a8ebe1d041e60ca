"""A batch that has no room is made to fit; what fits nowhere costs its own clip alone."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from networks import (
    SAME_ANSWER,
    SETTINGS,
    TILES,
    WHOLE,
    let_recipes_ask_for_fakes,
    predictor,
    run_once,
    spectrograms,
)
from torch import Tensor

from soundpost.errors import DeviceError
from soundpost.inference import out_of_memory
from soundpost.inference.out_of_memory import MemoryLosses, answer
from soundpost.inference.predictor import Predictor
from soundpost.views.tiles import Tiles, TilesSettings
from soundpost.views.view import View


@pytest.fixture(autouse=True)
def fakes_are_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes may ask for the networks that misbehave."""
    let_recipes_ask_for_fakes(monkeypatch)


@pytest.mark.parametrize("most", [1, 3, 8])
def test_batch_that_does_not_fit_is_halved_until_it_does(most: int) -> None:
    """The answers are those of a device with room, in the same order, and the halvings are counted."""
    clips = spectrograms(8)

    answers, losses = answer(predictor(model="hungry", most=most), WHOLE, clips)
    found = answers.cpu()

    torch.testing.assert_close(found, predictor()(clips, WHOLE), rtol=0, atol=SAME_ANSWER)
    assert losses.splits == {1: 7, 3: 3, 8: 0}[most]
    assert losses.most_frames == {1: clips.shape[-1], 3: 2 * clips.shape[-1], 8: None}[most]


@pytest.mark.parametrize(("most_frames", "parts"), [(512, 2), (400, 4), (170, 8), (64, 16)])
def test_single_window_that_does_not_fit_is_answered_in_parts(most_frames: int, parts: int) -> None:
    """Where a network takes means over frames, its parts' answers, weighted by their frames, make up the whole's."""
    frames = 1023 if parts < 16 else 1024
    clips = spectrograms(3, frames)
    expected = predictor(model="hungry_mean", most=3, average="logit")(clips, WHOLE)
    hungry = predictor(model="hungry_mean", most=1, most_frames=most_frames, average="logit")
    calls = []
    hungry.model.register_forward_hook(lambda model, inputs, logits: calls.append(inputs[0].shape[-1]))

    answers, losses = answer(hungry, WHOLE, clips)
    found = answers.cpu()

    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert (losses.tiled, losses.on_cpu, losses.lost) == (3, 0, {})
    assert set(calls) == {frames // parts, -(-frames // parts)}


@pytest.mark.parametrize(
    "view", [WHOLE, Tiles(TilesSettings(frames=200, derivatives=False, divisor=1.0))], ids=["whole", "tiles"]
)
def test_window_that_fits_nowhere_is_lost_alone_and_says_why(view: View) -> None:
    """Its batch mates have their answers; when all are lost there is no answer at all."""
    hungry, sound = predictor(model="hungry", most=8, most_frames=63), predictor()
    calls = []

    class Choosy:
        device = torch.device("cpu")
        n_members = 1

        def in_float32(self) -> None:
            """It is in float32."""

        def __call__(self, batch: Tensor, view: View) -> Tensor:
            calls.append(len(batch))
            return (hungry if (batch == 0).all(dim=(1, 2, 3)).any() else sound)(batch, view)

    clips = spectrograms(4, 200)
    clips[2] = 0
    answers, losses = answer(Choosy(), view, clips)
    found = answers.cpu()

    assert found.isnan().all(dim=1).tolist() == [False, False, True, False]
    torch.testing.assert_close(found[[0, 1, 3]], sound(clips, view)[[0, 1, 3]], rtol=0, atol=SAME_ANSWER)
    assert list(losses.lost) == [2]
    assert "can't allocate memory" in losses.lost[2]
    assert len(calls) == (6 if view is WHOLE else 5)  # half of 200 frames is tried, a quarter is too short
    nothing, losses = answer(hungry, view, clips[:2])
    assert nothing is None
    assert list(losses.lost) == [0, 1]


def test_error_that_is_no_want_of_memory_is_not_retried() -> None:
    """A defect is told at once."""
    with pytest.raises(ValueError, match="a kernel that nobody has written"):
        answer(predictor(model="broken"), WHOLE, spectrograms(2, 40))


def test_window_that_does_not_fit_a_gpu_is_answered_by_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last resort of a GPU is the same network beside it; shown with a device that only says it is one."""
    gpu = predictor(model="hungry", most=1)
    clips = spectrograms(3)
    expected = gpu(clips[:1], WHOLE)
    calls = []

    class Gpu:
        device = torch.device("cuda:0")
        n_members = 1

        def in_float32(self) -> None:
            """It is in float32."""

        def __call__(self, batch: Tensor, view: View) -> Tensor:
            calls.append(len(batch))
            raise torch.OutOfMemoryError("CUDA out of memory")

        def on_cpu(self) -> Predictor:
            return gpu.on_cpu()

    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    answers, losses = answer(Gpu(), WHOLE, clips)
    found = answers.cpu()

    assert calls == [3, 1, 2, 1, 1]
    torch.testing.assert_close(found[:1], expected, rtol=0, atol=SAME_ANSWER)
    assert found.shape == (3, 4)
    assert (losses.splits, losses.on_cpu, losses.tiled) == (2, 3, 0)
    assert gpu.on_cpu() is gpu.on_cpu()


@pytest.mark.parametrize("kind", [{}, TILES], ids=["whole", "tiles"])
def test_run_out_of_memory_loses_no_clip(
    kind: dict[str, object],
    make_assets: Callable,
    make_clips: Callable,
    make_settings: Callable,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A device that takes one window at a time gives the submission of one that takes all, and the log counts it."""
    contest = make_clips((0.5,) * 9)
    expected = run_once(make_settings(make_assets(kind), contest))

    hungry = {**kind, "model": {"name": "hungry", **SETTINGS}}
    found = run_once(make_settings(make_assets(hungry, folder="hungry"), contest))

    np.testing.assert_allclose(found, expected, rtol=0, atol=SAME_ANSWER)
    assert "batches split for memory" in capfd.readouterr().out


def test_clip_that_fits_no_device_loses_that_member_alone_and_is_named(
    make_assets: Callable, make_clips: Callable, make_settings: Callable, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its row holds the answer of the other member, its batch mates hold both, and the log says who and why."""
    contest = make_clips((0.5, 1.6, 0.6))  # the second has 101 frames: its halves would be too short
    sound = {"name": "sound", "folds": 1}
    narrow = {"name": "narrow", "folds": 1, "model": {"name": "hungry", "most": 8, "most_frames": 90, **SETTINGS}}
    alone = run_once(make_settings(make_assets(sound, folder="one"), contest))
    capfd.readouterr()

    found = run_once(make_settings(make_assets(sound, narrow, folder="both"), contest))

    np.testing.assert_allclose(found[1], alone[1], rtol=0, atol=SAME_ANSWER)
    assert (np.abs(found[[0, 2]] - alone[[0, 2]]).max(axis=1) > 100 * SAME_ANSWER).all()
    said = capfd.readouterr().out
    assert "clips that fit no device in narrow/1 1" in said
    assert "clip001.wav: narrow/1: RuntimeError: [enforce fail" in said


# ---------------------------------------------------------------- lack of memory, or a device that is broken
NO_ENGINE = "GET was unable to find an engine to execute this computation"


class FailingGpu:
    """A device that says it is a GPU and never answers; its twin on the CPU does."""

    device = torch.device("cuda:0")
    n_members = 1

    def __init__(self, text: str) -> None:
        self.text = text

    def __call__(self, batch: Tensor, view: View) -> Tensor:
        """Nothing but the error."""
        raise RuntimeError(self.text)

    def on_cpu(self) -> Predictor:
        """A network that works."""
        return predictor()

    def in_float32(self) -> None:
        """It is in float32."""


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception | None], None]:
    """Makes the check of a device end in this error, or well."""
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)

    def make(error: Exception | None) -> None:
        def verify(device: torch.device) -> None:
            if error is not None:
                raise error

        monkeypatch.setattr(out_of_memory, "verify", verify)

    return make


@pytest.mark.parametrize(
    "checked", [None, torch.OutOfMemoryError("CUDA out of memory")], ids=["device works", "device is full"]
)
def test_workspace_error_of_a_device_that_works_is_lack_of_memory(
    checked: Exception | None, checks: Callable[[Exception | None], None]
) -> None:
    """The CPU answers in its place, and the log counts it."""
    checks(checked)
    clips = spectrograms(3)

    answers, losses = answer(FailingGpu(NO_ENGINE), WHOLE, clips)

    torch.testing.assert_close(answers.cpu(), predictor()(clips, WHOLE), rtol=0, atol=SAME_ANSWER)
    assert (losses.on_cpu, losses.lost) == (3, {})


@pytest.mark.parametrize(
    "checked",
    [RuntimeError(NO_ENGINE), DeviceError("a convolution in float32 came out 1 away"), RuntimeError("CUDA error: x")],
    ids=["same error", "wrong numbers", "CUDA error"],
)
def test_workspace_error_of_a_device_that_fails_its_check_is_raised_again(
    checked: Exception, checks: Callable[[Exception | None], None]
) -> None:
    """Torch has one text for a workspace without room and a library that does not work; the check tells them apart."""
    checks(checked)
    with pytest.raises(RuntimeError, match="unable to find an engine"):
        answer(FailingGpu(NO_ENGINE), WHOLE, spectrograms(3))


def test_error_of_a_broken_device_is_raised_at_once(checks: Callable[[Exception | None], None]) -> None:
    """It is no lack of memory, so no smaller batch is tried."""
    checks(None)
    with pytest.raises(RuntimeError, match="CUDNN_STATUS_EXECUTION_FAILED"):
        answer(FailingGpu("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), WHOLE, spectrograms(3))


def test_twin_that_finds_no_room_in_the_host_loses_the_window_alone(
    checks: Callable[[Exception | None], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window is named; nothing is raised that would cost its batch mates."""
    checks(None)

    def full(self: FailingGpu) -> Predictor:
        raise MemoryError

    monkeypatch.setattr(FailingGpu, "on_cpu", full)
    answers, losses = answer(FailingGpu("CUDA out of memory"), WHOLE, spectrograms(2))

    assert answers is None
    assert list(losses.lost) == [0, 1]


@pytest.mark.parametrize(
    ("fitted", "failed", "most"),
    [
        ([800], [], None),
        ([400, 400], [800], 400),
        ([400, 200, 200], [800, 400], 200),  # one half had room, the other of the same size had not
        ([], [100], 50),
        ([], [1], 1),
    ],
)
def test_size_that_just_failed_is_never_accepted(fitted: list[int], failed: list[int], most: int | None) -> None:
    """Later batches are at most as large as what had room and smaller than all that had none."""
    assert MemoryLosses(fitted=fitted, failed=failed).most_frames == most


def test_batch_for_a_gpu_without_page_locked_memory_is_counted(checks: Callable[[Exception | None], None]) -> None:
    """On a CPU there is nothing to count."""
    checks(None)
    clips = spectrograms(2)
    assert answer(FailingGpu("CUDA out of memory"), WHOLE, clips)[1].unpinned == 1
    assert answer(predictor(), WHOLE, clips)[1].unpinned == 0
