"""An answer belongs to its pass: what comes late is not used, and no pass ends while a lane is at its jobs."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import RecipeMaker
from fakes import Fake
from stand_in_gpus import GPUS, stand_in
from torch import Tensor

from soundpost.engine import clip_states, lanes, pass_run, predict_stage, scheduler
from soundpost.engine import run as run_module
from soundpost.engine.lanes import Done, Lane, Results
from soundpost.engine.predictions import Predictions
from soundpost.engine.provision import provisioned
from soundpost.inference.batch_model import BatchModel
from soundpost.inference.out_of_memory import BatchAnswers, answer
from soundpost.settings import RunSettings

SMALL = {"bins": 16, "widths": [4, 6], "strides": [2, 2]}
TWO_WINDOWS = {"model": {"name": "fake", **SMALL}, "views": [{"name": "whole", "max_frames": 32}]}


class Turns:
    """Counts the batches of lanes; the first one waits until the second has begun."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()
        self._is_second_there = threading.Event()

    def next(self) -> int:
        """Number of this batch, from 1."""
        with self._lock:
            self.count += 1
            turn = self.count
        if turn == 2:
            self._is_second_there.set()
        if turn == 1:
            assert self._is_second_there.wait(30)
        return turn


@pytest.fixture(autouse=True)
def one_window_in_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs, each of which gets one window of the only clip."""
    stand_in(monkeypatch, *GPUS)
    monkeypatch.setattr(clip_states, "MAX_UNITS", 1)


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, np.ndarray]]:
    """Member and answer of each answer that a run adds."""
    found: list[tuple[str, np.ndarray]] = []
    add = Predictions.add

    def noted(self: Predictions, member: int, view: int, clip: int, answer: np.ndarray) -> None:
        found.append((self.name(member), answer.copy()))
        add(self, member, view, clip, answer)

    monkeypatch.setattr(Predictions, "add", noted)
    return found


def test_late_window_of_a_failed_clip_is_not_the_next_members_answer(
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    monkeypatch: pytest.MonkeyPatch,
    added: list[tuple[str, np.ndarray]],
) -> None:
    """One window of the first member fails, the other comes late: the second member's answer is its own."""
    assets, contest = make_assets({**TWO_WINDOWS, "folds": 2}), make_clips((0.9,))
    assert run_module.run(make_settings(assets, contest)) == 0
    expected = dict(added)
    turns = Turns()

    def failing(*batch: object) -> object:
        turn = turns.next()
        if turn == 1:
            raise ValueError("a batch that fails")
        time.sleep(0.7 if turn == 2 else 1.5)  # the other window; what follows comes later still
        return answer(*batch)

    monkeypatch.setattr(lanes, "answer", failing)
    added.clear()

    assert run_module.run(make_settings(assets, contest)) == 0

    assert [name for name, _ in added] == ["tiny0/2"]
    np.testing.assert_allclose(added[0][1], expected["tiny0/2"], rtol=0, atol=2e-6)


def test_late_window_of_folds_that_share_batches_is_not_the_next_members_answer(
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    monkeypatch: pytest.MonkeyPatch,
    added: list[tuple[str, np.ndarray]],
) -> None:
    """When a batch of several folds fails they answer one by one, and what still comes of them together is not used."""
    monkeypatch.setattr(scheduler, "SHARED_WINDOWS", 1e-6)
    assets, contest = make_assets({**TWO_WINDOWS, "folds": 3}), make_clips((0.9,))
    with monkeypatch.context() as patched:
        patched.setattr(scheduler, "SHARED_TIME", 0.0)
        assert run_module.run(make_settings(assets, contest)) == 0
    expected = dict(added)
    turns = Turns()

    def failing(model: BatchModel, *batch: object) -> object:
        if model.n_members > 1:
            if turns.next() == 1:
                raise ValueError("a batch that fails")
            time.sleep(0.7)
        elif turns.count:
            time.sleep(1.2)  # what each fold then answers alone comes later still
        return answer(model, *batch)

    monkeypatch.setattr(lanes, "answer", failing)
    added.clear()

    assert run_module.run(make_settings(assets, contest)) == 0

    assert turns.count == 2
    assert sorted(name for name, _ in added) == sorted(expected)
    for name, row in added:
        np.testing.assert_allclose(row, expected[name], rtol=0, atol=2e-6)


def test_no_lane_has_a_job_when_a_pass_ends(
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The spectrogram that a lane still reads is given away only after it has come back."""
    turns, released = Turns(), []

    def failing(*batch: object) -> object:
        turn = turns.next()
        if turn == 1:
            raise ValueError("a batch that fails")
        time.sleep(0.4)
        return answer(*batch)

    monkeypatch.setattr(lanes, "answer", failing)
    run_pass = pass_run.PassRun.run
    settings = make_settings(make_assets({**TWO_WINDOWS, "folds": 1}), make_clips((0.9,)))
    with provisioned(settings) as session:
        release = session.cache.release
        monkeypatch.setattr(
            session.cache,
            "release",
            lambda key: (released.append([lane.waiting for lane in session.lanes]), release(key))[1],
        )
        waiting: list[int] = []
        monkeypatch.setattr(
            pass_run.PassRun,
            "run",
            lambda self, attend: (run_pass(self, attend), waiting.extend(lane.waiting for lane in session.lanes))[0],
        )
        with pytest.raises(Exception, match="no batch of any pass was answered"):
            run_module.Run(session).run()

    assert turns.count == 2
    assert waiting == [0, 0]
    assert released
    assert all(sum(counts) == 0 for counts in released)


def test_lane_that_takes_too_long_does_not_hold_up_the_end_of_a_pass_and_its_job_is_not_used(
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    monkeypatch: pytest.MonkeyPatch,
    added: list[tuple[str, np.ndarray]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The wait is bounded; the late batch comes in the next pass, which counts it and goes on."""
    assets, contest = make_assets({**TWO_WINDOWS, "folds": 2}), make_clips((0.9,))
    assert run_module.run(make_settings(assets, contest)) == 0
    expected = dict(added)
    turns = Turns()

    def failing(*batch: object) -> object:
        turn = turns.next()
        if turn == 1:
            raise ValueError("a batch that fails")
        time.sleep(0.5 if turn == 2 else 1.2)
        return answer(*batch)

    monkeypatch.setattr(lanes, "answer", failing)
    with monkeypatch.context() as patched:
        patched.setattr(predict_stage.PredictStage, "watch", lambda self: None)
        patched.setattr(predict_stage, "hang_seconds", lambda limit: 0.1)
        added.clear()
        assert run_module.run(make_settings(assets, contest)) == 0

    assert [name for name, _ in added] == ["tiny0/2"]
    np.testing.assert_allclose(added[0][1], expected["tiny0/2"], rtol=0, atol=2e-6)
    assert "late batches of an earlier pass not used 1" in capfd.readouterr().out


class Boundless(BaseException):
    """Not an Exception, and not the end of the process."""


@pytest.mark.parametrize("error", [Boundless("odd"), SystemExit(3), AssertionError("wrong"), ValueError("no")])
def test_lane_survives_whatever_a_job_raises(
    error: BaseException,
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Each exception costs its batch and is named; the thread goes on with the next one."""
    raised: list[int] = []

    def failing(model: Fake, batch: Tensor) -> Tensor:
        if threading.current_thread().name.startswith("lane") and not raised:
            raised.append(1)
            raise error
        return super(Fake, model).forward(batch)

    monkeypatch.setattr(Fake, "forward", failing, raising=False)
    assets = make_assets({"model": {"name": "fake", **SMALL}, "folds": 1})

    assert run_module.run(make_settings(assets, make_clips((0.3, 0.6, 0.9)))) == 0

    said = capfd.readouterr().out
    assert "2 of 3 clips predicted" in said
    assert f"clips failed in tiny0/1 ({type(error).__name__}: {error}) 1" in said


def test_answer_that_cannot_be_fetched_costs_its_batch_whatever_is_raised(
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A device computes behind the lane's back, so that its errors may come with the answer."""
    failed: list[int] = []
    put = Results.put

    def noted(self: Results, lane: Lane, done: Done) -> None:
        failed.extend([1] if done.error else [])
        put(self, lane, done)

    def failing(self: object) -> Tensor:
        if not failed:
            raise LookupError("no such answer")
        return fetch(self)

    fetch = BatchAnswers.cpu
    monkeypatch.setattr(Results, "put", noted)
    monkeypatch.setattr(BatchAnswers, "cpu", failing)
    assets = make_assets({"model": {"name": "fake", **SMALL}, "folds": 1})

    assert run_module.run(make_settings(assets, make_clips((0.3, 0.6, 0.9)))) == 0

    assert "clips failed in tiny0/1 (LookupError: no such answer) 1" in capfd.readouterr().out
