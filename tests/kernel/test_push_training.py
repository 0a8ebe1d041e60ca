"""Training kernels onto Kaggle: the second push goes on from the first one's output, and nothing is ever submitted."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from followed import Follower, as_kaggle_keeps_it, only_world
from kaggle_stub import Run, Stub

from soundpost.kernel import push
from soundpost.kernel.client import Answer, PushError
from soundpost.kernel.metadata import kernel_metadata
from soundpost.kernel.submit import Pushed
from soundpost.kernel.training_push import attach_own_output

CONTEST = "freesound-audio-tagging-2019"
KERNEL = "somebody/soundpost-training"
LAST = "done: 1 of 2 (birds/0); missing: birds/1; next: push this kernel again"
LEFT = {
    "session.json": json.dumps({"session": 2, "ended": LAST}).encode(),
    "weights/submission.toml": b'format = 1\nrecipes = ["birds"]\n',
    "weights/birds/recipe.toml": b"format = 1\n",
    "weights/birds/fold0.safetensors": b"weights",
    "weights/birds/fold1.checkpoint": b"large",
    "weights/birds/history_0.csv": b"stage,epoch,loss\nall,1,0.9\nall,2,0.25\n",
}


@pytest.fixture
def kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    """The real client's whole world, for this process and its children."""
    with only_world(tmp_path, monkeypatch) as stub:
        yield stub


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A training kernel that was built."""
    folder = tmp_path / "dist"
    (folder / "kernel").mkdir(parents=True)
    (folder / "kernel" / "train_kernel.py").write_text("print('hello')\n")
    table = kernel_metadata(
        "somebody", "Soundpost training", CONTEST, [], "train_kernel.py", "script", "t4", ["a/other"]
    )
    (folder / "kernel" / "kernel-metadata.json").write_text(json.dumps(table))
    return folder


def sources(kaggle: Stub) -> list[str]:
    """Kernels whose outputs the last push attached."""
    found: list[str] = kaggle.named("SaveKernel")[-1].json()["kernelDataSources"]
    return found


def test_first_push_leaves_its_own_output_out_and_the_second_attaches_it(
    kaggle: Stub, dist: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is asked whether it knows the kernel; what else is attached stays."""
    monkeypatch.setattr(kaggle, "_after_the_push", lambda name: (404, {"code": 404, "message": "Not found"}))
    assert push.main([str(dist), "--yes"]) == 0
    assert sources(kaggle) == ["a/other"]
    assert f"{KERNEL} was not pushed before: it begins anew" in capsys.readouterr().out
    monkeypatch.undo()


def test_push_of_a_kernel_that_is_known_goes_on_from_its_output(
    kaggle: Stub, dist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Named once, however often it is pushed."""
    kaggle.runs = [Run(["COMPLETE"])]
    for _ in range(2):
        assert push.main([str(dist), "--yes"]) == 0
        assert sources(kaggle) == ["a/other", KERNEL]
    said = capsys.readouterr().out
    assert f"it goes on from the output of {KERNEL}" in said
    assert f"kernel {KERNEL}, script, private, internet off, NvidiaTeslaT4, with {CONTEST}, a/other, {KERNEL}:" in said


def test_push_beside_a_running_session_says_so(kaggle: Stub, dist: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It would go on from the session before that."""
    kaggle.runs = [Run(["RUNNING"])]
    assert push.main([str(dist), "--yes"]) == 0
    assert f"warning: a run of {KERNEL} is running; this one goes on from the one before it" in capsys.readouterr().out


def test_kernel_none_of_whose_runs_ended_well_begins_anew(
    kaggle: Stub, dist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kaggle leaves its name out of the sources; of any other name that is a refusal."""
    kaggle.runs = [Run(["ERROR"])]
    kaggle.kernel_answer["invalidKernelSources"] = [KERNEL]
    assert push.main([str(dist), "--yes"]) == 0
    assert f"{KERNEL} has no output yet, as no run of it ended well: it begins anew" in capsys.readouterr().out
    kaggle.kernel_answer["invalidKernelSources"] = ["a/other"]
    assert push.main([str(dist), "--yes"]) == 2
    assert "pushed without some of its sources" in capsys.readouterr().err


def test_status_that_the_client_does_not_tell_keeps_the_push_back(dist: Path) -> None:
    """Without it a session might begin anew for nothing."""
    with pytest.raises(PushError, match=r"no status of somebody/soundpost-training: 401 Unauthorized\. Check the"):
        attach_own_output(dist, print, lambda *words: Answer("401 Unauthorized", 1))


def test_follow_session_shows_how_it_ended_and_fetches_weights(kaggle: Stub, dist: Path) -> None:
    """Recipes, members and histories, and no checkpoints; the last epoch of each member is shown."""
    kaggle.runs = [Run(["RUNNING", "COMPLETE"], as_kaggle_keeps_it("first look", LAST), outputs=LEFT)]
    follower = Follower()
    assert push.to_the_end(dist, Pushed(KERNEL, 1, CONTEST), "", follower.outside) == 0
    assert f"    {LAST}" in follower.said
    assert "birds/0   all      2  0.25" in follower.text
    output = dist / "output"
    assert sorted(path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()) == [
        "session.json",
        "soundpost-training.log",
        "weights/birds/fold0.safetensors",
        "weights/birds/history_0.csv",
        "weights/birds/recipe.toml",
        "weights/submission.toml",
    ]


def test_submit_of_a_training_kernel_is_refused_before_anything_is_sent(
    kaggle: Stub, dist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It leaves no submission.csv; what to build instead is said."""
    assert push.main([str(dist), "--yes", "--submit", "first"]) == 2
    said = capsys.readouterr().err
    assert "a kernel that trains leaves weights and no submission.csv" in said
    assert "--weights-by USER/SLUG" in said
    assert kaggle.requests == []
