"""The guard of a training session: whatever becomes of a worker, the session goes on, ends in time and tells."""

import json
import os
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from soundpost.errors import SettingsError
from soundpost.training.session import guard as guard_module
from soundpost.training.session import task
from soundpost.training.session.ending import leave
from soundpost.training.session.guard import Guard
from soundpost.training.session.session import Job, Session

HERE = Path(__file__).resolve().parent
PAUSED = "paused in stage all, epoch 3 of 9, step 1"  # what a stand-in says


@pytest.fixture
def make_guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """A guard over stand-in workers, whose folds say what becomes of them, and the lines that it says."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def make(plans: object, limit: float = 300.0, patience: float = 600.0) -> tuple[Guard, list[str]]:
        (tmp_path / "plans.json").write_text(json.dumps(plans))
        now = time.monotonic()
        session = Session(
            str(tmp_path), str(tmp_path / "out"), str(scratch), "", pause_at=now + 0.9 * limit, ends=now + limit
        )
        said: list[str] = []
        return Guard(session, said.append, "stand_in_worker", patience), said

    return make


def finished(guard: Guard) -> list[str]:
    """Folds that are there."""
    return sorted(path.stem.removeprefix("fold") for path in Path(guard.session.out).rglob("*.safetensors"))


def everything(guard: Guard, devices: tuple[str, ...] = ("cpu",)) -> dict[str, str]:
    """Have a look and do all jobs; job -> why it is not done."""
    jobs = guard.look().jobs(guard.session)
    return {job.name: reason for job, reason in guard.run(jobs, devices).reasons.items()}


def later_once_begun(guard: Guard, fold: str, seconds: float) -> SimpleNamespace:
    """A clock that is ahead by so much while the first try at a job lasts."""
    tries = Path(guard.session.scratch) / f"tries-a-{fold}"

    def monotonic() -> float:
        is_first = tries.is_file() and len(tries.read_text().splitlines()) == 1
        return time.monotonic() + (seconds if is_first else 0.0)

    return SimpleNamespace(monotonic=monotonic, sleep=time.sleep)


def test_members_are_made_on_all_devices_and_scores_come_last(make_guard: object) -> None:
    """Two devices work at the same time, one member each; the scores wait for all members of their plan."""
    guard, _ = make_guard({"a": ["1", "2", "3"], "b": ["1"]})

    assert everything(guard, ("cuda:0", "cuda:1")) == {}
    assert sorted(path.name for path in (Path(guard.session.out) / "weights" / "a").iterdir()) == [
        "fold1.safetensors",
        "fold2.safetensors",
        "fold3.safetensors",
        "out_of_fold.csv",
    ]
    used = {path.read_text() for path in Path(guard.session.out).rglob("*.safetensors")}
    assert used == {"cuda:0", "cuda:1"}
    assert guard.look().jobs(guard.session) == [Job("a"), Job("b")]  # told by this stand-in as unscored for ever


def test_worker_that_is_killed_is_started_again(make_guard: object) -> None:
    """As for want of memory: the line says so, and the job is done by the next one."""
    guard, said = make_guard({"a": ["killed", "2"]})

    assert everything(guard) == {}
    assert finished(guard) == ["2", "killed"]
    assert "a/killed: ended with signal 9 on cpu; tried again from its last checkpoint" in said


def test_worker_that_is_killed_each_time_costs_its_own_job_alone(make_guard: object) -> None:
    """After three tries the others come, and no scores are told of a plan that lacks a member."""
    guard, said = make_guard({"a": ["killed-always", "2"]})

    assert everything(guard) == {
        "a/killed-always": "ended with signal 9 on cpu",
        "scores of a": "not begun",
    }
    assert finished(guard) == ["2"]
    assert said.count("a/killed-always: ended with signal 9 on cpu; tried again from its last checkpoint") == 2
    assert "a/killed-always: ended with signal 9 on cpu; left for the next session" in said


def test_device_that_fails_twice_is_left_alone_and_the_other_does_all(make_guard: object) -> None:
    """A GPU that breaks does not cost the members that it was given."""
    guard, said = make_guard({"a": ["bad-1-always", "bad-2-always", "bad-3-always"]})

    reasons = everything(guard, ("bad", "good"))
    assert [text for text in said if "left alone" in text] == ["bad: 2 failures in a row, left alone from here on"]
    assert reasons == {}
    assert len(finished(guard)) == 3


def test_worker_that_hangs_is_killed_and_started_again(make_guard: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a sign of life for as long as one is patient."""
    guard, said = make_guard({"a": ["hangs"]}, patience=600.0)
    monkeypatch.setattr(task, "time", later_once_begun(guard, "hangs", 700.0))

    assert everything(guard) == {}
    assert "a/hangs on cpu: no sign of life for 600 s, killed" in said


def test_refused_job_is_not_tried_again_and_its_reason_stays(make_guard: object) -> None:
    """What another training left is refused with both digests, and the other plans are trained."""
    guard, _ = make_guard({"a": ["refused"], "b": ["1"]})

    reasons = everything(guard)
    assert reasons["a/refused"] == "it is of another training: digest aaa there, bbb here"
    assert finished(guard) == ["1"]
    assert len((Path(guard.session.scratch) / "tries-a-refused").read_text().splitlines()) == 1


def test_time_that_is_up_pauses_workers_and_begins_none(make_guard: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line says what is done, what is missing, and what to do next."""
    guard, _ = make_guard({"a": ["1", "pauses", "3"]})
    monkeypatch.setattr(guard_module, "time", later_once_begun(guard, "pauses", 280.0))
    Path(guard.session.out).mkdir()

    found = guard.look()
    outcome = guard.run(found.jobs(guard.session), ("cpu",))
    lines = leave(guard.session, 4, found, outcome.reasons, "")
    assert lines == [
        "a/pauses: paused in stage all, epoch 3 of 9, step 1",
        "a/3: not begun",
        "scores of a: not begun",
        "done: 1 of 4 (a/1); missing: a/pauses, a/3, scores of a; next: push this kernel again (soundpost push): it "
        "goes on from its own output",
    ]
    mark = json.loads((Path(guard.session.out) / "session.json").read_text())
    assert (mark["session"], mark["done"], mark["ended"]) == (4, ["a/1"], lines[-1])


def test_worker_that_hangs_at_the_end_is_killed_before_it(make_guard: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session ends in time even where a worker does not hear that it should pause."""
    guard, said = make_guard({"a": ["hangs-always"]})
    clock = later_once_begun(guard, "hangs-always", 295.0)
    monkeypatch.setattr(guard_module, "time", clock)

    reasons = everything(guard)
    assert "a/hangs-always on cpu: killed, as the time is up; its last checkpoint stays" in said
    assert reasons["a/hangs-always"] == "ended with signal 9 on cpu"
    assert clock.monotonic() < guard.session.ends


def test_signal_pauses_workers_in_good_order(make_guard: object) -> None:
    """As when a session is cancelled: the checkpoint is written, nothing new begins."""
    guard, _ = make_guard({"a": ["slow", "2"]})
    found = guard.look()
    begun = Path(guard.session.scratch) / "tries-a-slow"

    def cancel() -> None:
        while not begun.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=cancel)
    thread.start()
    with guard.signals():
        reasons = guard.run(found.jobs(guard.session), ("cpu",)).reasons
    thread.join()
    assert guard.outcome.signal == signal.SIGTERM
    assert reasons[Job("a", "slow")] == PAUSED
    assert finished(guard) == []


def test_signal_while_a_worker_is_made_reaches_it(make_guard: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would work on, and be killed after the grace without a checkpoint."""
    guard, said = make_guard({"a": ["slow", "2"]})
    found = guard.look()
    usual = guard._task

    def and_signal(*given: object) -> task.Task:
        signal.raise_signal(signal.SIGTERM)
        return usual(*given)

    monkeypatch.setattr(guard, "_task", and_signal)
    with guard.signals():
        reasons = guard.run(found.jobs(guard.session), ("cpu",)).reasons
    assert reasons[Job("a", "slow")] in (f"ended with signal {signal.SIGTERM:d} on cpu", PAUSED)
    assert reasons[Job("a", "2")] == "not begun"
    assert not [line for line in said if "killed" in line]


def test_first_look_that_finds_nothing_to_train_on_is_a_reason(make_guard: object) -> None:
    """The worker's own words."""
    guard, _ = make_guard("no clips to train on under /kaggle/input")
    with pytest.raises(SettingsError, match=r"^no clips to train on under /kaggle/input$"):
        guard.look()
