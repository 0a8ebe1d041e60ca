"""From a push to its score: the real client follows, fetches and submits against a stub on loopback."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from followed import Follower, as_kaggle_keeps_it, only_world
from kaggle_stub import Run, Stub

from soundpost.contest.inputs import locate
from soundpost.errors import SettingsError
from soundpost.kernel import push
from soundpost.kernel.client import Answer, PushError, client
from soundpost.kernel.follow import POLL_SECONDS, Ended, Outside, follow, holds_answers, log_lines, reason
from soundpost.kernel.metadata import kernel_metadata
from soundpost.kernel.submit import Pushed

ROOT = Path(__file__).resolve().parents[2]
CONTEST = "freesound-audio-tagging-2019"
KERNEL = "somebody/soundpost-freesound"
ANSWERS = b"fname,Bark,Rain\na.wav,0.9,0.1\nb.wav,0.2,0.7\n"
PRIORS = b"fname,Bark,Rain\na.wav,0.5,0.5\nb.wav,0.5,0.5\n"


def record(status: int, answered: int) -> bytes:
    """run.json as a run leaves it, as far as it is read here."""
    table = {
        "status": status,
        "seconds": 61.0,
        "settings": {"time_limit_seconds": 3300.0},
        "ended": {"answered": answered},
        "writes": [[1.0, answered]],
    }
    return json.dumps(table).encode()


DONE = {"submission.csv": ANSWERS, "run.json": record(0, 2), "kernel.log": b"not asked for"}


@pytest.fixture
def kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    """The real client's whole world, for this process and its children."""
    with only_world(tmp_path, monkeypatch) as stub:
        yield stub


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A kernel that was pushed as version 1."""
    folder = tmp_path / "dist"
    (folder / "kernel").mkdir(parents=True)
    (folder / "kernel" / "kernel.py").write_text("print('hello')\n")
    table = kernel_metadata("somebody", "Soundpost freesound", CONTEST, [], "kernel.py", "script")
    (folder / "kernel" / "kernel-metadata.json").write_text(json.dumps(table))
    return folder


@pytest.fixture
def follower() -> Follower:
    """A follower that has heard nothing yet."""
    return Follower()


def to_the_end(dist: Path, follower: Follower, message: str = "") -> int:
    """What the command does behind a push of version 1."""
    return push.to_the_end(dist, Pushed(KERNEL, 1, CONTEST), message, follower.outside)


def test_follow_run_that_completes_shows_status_last_lines_and_preview(
    kaggle: Stub, dist: Path, follower: Follower
) -> None:
    """Each status is said once; of the log its end; of the outputs those two that are looked at are fetched."""
    lines = [f"line {i}" for i in range(40)]
    kaggle.runs = [Run(["QUEUED", "RUNNING", "RUNNING", "COMPLETE"], as_kaggle_keeps_it(*lines), outputs=DONE)]

    assert to_the_end(dist, follower) == 0

    told = [line for line in follower.said if line.startswith(KERNEL)]
    assert [line.partition(", ")[0] for line in told] == [f"{KERNEL}: {s}" for s in ("queued", "running", "complete")]
    assert "    line 39" in follower.said
    assert "    line 10" not in follower.said
    assert "Bark 0.90" in follower.text
    assert sorted(path.name for path in (dist / "output").iterdir() if path.suffix != ".log") == [
        "run.json",
        "submission.csv",
    ]
    assert {request.json()["kernelSlug"] for request in kaggle.named("GetKernelSessionStatus")} == {
        "soundpost-freesound"
    }


def test_follow_run_that_fails_names_kaggles_reason_and_the_kernels(
    kaggle: Stub, dist: Path, follower: Follower
) -> None:
    """Both are needed: Kaggle knows of limits, the log of what went wrong before."""
    log = as_kaggle_keeps_it("clips: test", "error: no member can be used.", "ends with status 2")
    kaggle.runs = [Run(["RUNNING", "ERROR"], log, "Your notebook was stopped", {"submission.csv": PRIORS})]

    with pytest.raises(PushError, match=r"status error: Your notebook was stopped; .*no member can be used\. It left "):
        to_the_end(dist, follower)


def test_follow_run_with_empty_input_is_pushed_once_more(
    kaggle: Stub, dist: Path, follower: Follower, tmp_path: Path
) -> None:
    """What the kernel says about a folder that is empty is recognised; the same source goes again, once."""
    (tmp_path / "input").mkdir()
    with pytest.raises(SettingsError, match="run the same version once more") as refusal:
        locate(tmp_path / "input")
    empty = as_kaggle_keeps_it(f"error: {refusal.value}")
    kaggle.pushes = 1
    kaggle.kernel_answer["versionNumber"] = 2
    kaggle.runs = [Run(["ERROR"], empty), Run(["COMPLETE"], as_kaggle_keeps_it("done"), outputs=DONE)]

    assert to_the_end(dist, follower) == 0

    (again,) = kaggle.named("SaveKernel")
    assert again.json()["text"] == "print('hello')\n"
    assert "the same version is pushed once more" in follower.text
    assert json.loads((dist / "pushed.json").read_text())["version"] == 2


def test_follow_run_with_empty_input_twice_is_a_failure(kaggle: Stub, dist: Path, follower: Follower) -> None:
    """Once more is once more."""
    empty = as_kaggle_keeps_it("error: /kaggle/input is empty: no sample_submission.csv there.")
    kaggle.pushes = 1
    kaggle.runs = [Run(["ERROR"], empty)]

    with pytest.raises(PushError, match="/kaggle/input is empty"):
        to_the_end(dist, follower)
    assert len(kaggle.named("SaveKernel")) == 1


def test_submit_sends_the_version_that_ran_and_tells_the_score(kaggle: Stub, dist: Path, follower: Follower) -> None:
    """Status and score are those that the client lists for this message."""
    kaggle.runs = [Run(["COMPLETE"], as_kaggle_keeps_it("done"), outputs=DONE)]
    listed = {"ref": 77, "description": "four folds", "fileName": "submission.csv", "date": "2026-11-26T05:00:00Z"}
    kaggle.submissions = [
        {},
        {**listed, "status": "PENDING"},
        {**listed, "status": "COMPLETE", "publicScore": "0.7412"},
    ]

    assert to_the_end(dist, follower, "four folds") == 0

    (sent,) = kaggle.named("CreateCodeSubmission")
    assert sent.json() == {
        "competitionName": CONTEST,
        "kernelOwner": "somebody",
        "kernelSlug": "soundpost-freesound",
        "kernelVersion": 1,
        "fileName": "submission.csv",
        "submissionDescription": "four folds",
    }
    assert "Successfully submitted to a contest" in follower.text
    assert "submission 77: pending" in follower.text
    assert follower.said[-1] == "public score 0.7412"


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ({"submission.csv": PRIORS}, "all 2 rows are the same"),
        ({"submission.csv": ANSWERS, "run.json": record(3, 0)}, r"run\.json counts no answered clip"),
        ({"submission.csv": b"fname,Bark,Rain\n"}, "it has no row"),
        ({}, r"it left no submission\.csv"),
    ],
    ids=["priors", "nothing answered", "no row", "no file"],
)
def test_submit_without_answers_is_refused_and_sends_nothing(
    kaggle: Stub, dist: Path, follower: Follower, outputs: dict[str, bytes], words: str
) -> None:
    """A submission a day is worth more than the score of a constant."""
    kaggle.runs = [Run(["COMPLETE"], as_kaggle_keeps_it("done"), outputs=outputs)]

    with pytest.raises(PushError, match=f"was not submitted: {words}"):
        to_the_end(dist, follower, "four folds")
    assert kaggle.named("CreateCodeSubmission") == []


def test_submit_that_kaggle_refuses_is_reported(kaggle: Stub, dist: Path, follower: Follower) -> None:
    """The client's words reach the person."""
    kaggle.runs = [Run(["COMPLETE"], as_kaggle_keeps_it("done"), outputs=DONE)]
    kaggle.submission_answer = {"code": 400, "message": "You have used all submissions of today"}

    with pytest.raises(PushError, match="the submission was refused"):
        to_the_end(dist, follower, "four folds")


def test_submission_that_ends_with_an_error_is_an_error(kaggle: Stub, dist: Path, follower: Follower) -> None:
    """A rerun that failed is not a score of nothing."""
    kaggle.runs = [Run(["COMPLETE"], as_kaggle_keeps_it("done"), outputs=DONE)]
    kaggle.submissions = [{"ref": 77, "description": "x", "status": "ERROR", "date": "2026-11-26T05:00:00Z"}]

    with pytest.raises(PushError, match="submission 77 ended with an error"):
        to_the_end(dist, follower, "x")


def test_follow_interrupted_leaves_the_run_and_says_how_to_look_again(
    kaggle: Stub, dist: Path, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent that would end the run."""
    kaggle.runs = [Run(["RUNNING"])]
    monkeypatch.setattr(follower, "sleep", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    outside = Outside(follower.said.append, follower.sleep, lambda: 0.0, client)

    assert push.to_the_end(dist, Pushed(KERNEL, 1, CONTEST), "", outside) == 130

    assert "Kaggle goes on by itself" in follower.text
    assert f"soundpost push --attach, or kaggle kernels status {KERNEL}" in follower.text
    assert {request.name for request in kaggle.requests} == {"GetKernelSessionStatus"}


def test_push_interrupted_by_a_terminal_leaves_the_run_and_says_how_to_look_again(kaggle: Stub, dist: Path) -> None:
    """SIGINT to the whole process group, as Ctrl-C sends it, while the real client follows: nothing is cancelled."""
    kaggle.runs = [Run(["RUNNING"])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"}
    following = subprocess.Popen(
        [sys.executable, "-m", "soundpost.cli", "push", str(dist), "--yes", "--wait"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert following.stdout is not None
    printed = []
    for line in following.stdout:
        printed.append(line)
        if "running, " in line:
            break
    os.killpg(following.pid, signal.SIGINT)
    rest, errors = following.communicate(timeout=60)

    said = "".join(printed) + rest
    assert following.returncode == 130, said + errors
    assert "not followed any further; Kaggle goes on by itself" in rest
    assert f"soundpost push --attach, or kaggle kernels status {KERNEL}" in rest
    assert "Traceback" not in errors
    assert json.loads((dist / "pushed.json").read_text())["version"] == 1
    assert {request.name for request in kaggle.requests} == {"SaveKernel", "GetKernelSessionStatus"}


@pytest.mark.parametrize(("version", "is_older", "waited"), [(1, False, 0.0), (2, False, POLL_SECONDS), (2, True, 0.0)])
def test_follow_asks_at_once_where_no_earlier_run_can_be_meant(
    kaggle: Stub, dist: Path, follower: Follower, version: int, is_older: bool, waited: float
) -> None:
    """A first push, or one that is looked at again; behind a further push the run before it may still be listed."""
    kaggle.runs = [Run(["COMPLETE"], as_kaggle_keeps_it("done"), outputs=DONE)]

    assert push.to_the_end(dist, Pushed(KERNEL, version, CONTEST), "", follower.outside, is_older) == 0

    assert follower.seconds == waited
    assert f"{KERNEL}: complete, {waited:.0f} s after the push" in follower.said


def test_push_with_wait_from_the_command_line_pushes_follows_and_remembers(
    kaggle: Stub, dist: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--wait behind a push, and --attach afterwards without one."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("soundpost.kernel.follow.POLL_SECONDS", 0.0)
    kaggle.runs = [Run(["COMPLETE"], as_kaggle_keeps_it("all is well"), outputs=DONE)]

    assert push.main([str(dist), "--yes", "--wait"]) == 0
    assert push.main([str(dist), "--attach"]) == 0

    assert len(kaggle.named("SaveKernel")) == 1
    assert capsys.readouterr().out.count("    all is well") == 2
    assert json.loads((dist / "pushed.json").read_text()) == {"kernel": KERNEL, "version": 1, "competition": CONTEST}


def test_attach_without_a_push_is_refused(dist: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to follow."""
    assert push.main([str(dist), "--attach"]) == 2
    assert "tells of no push" in capsys.readouterr().err


# ------------------------------------------------------------ without a client


def test_follow_status_that_cannot_be_asked_for_is_given_up_after_a_while(follower: Follower) -> None:
    """A network that is away for a minute does not end it; one that stays away does, and the run goes on."""
    running = Answer(f'{KERNEL} has status "KernelWorkerStatus.RUNNING"', 0)
    answers = [Answer("no route", 1)] * 4 + [running] + [Answer("no route", 1)] * 5
    outside = Outside(follower.said.append, follower.sleep, lambda: follower.seconds, lambda *_: answers.pop(0))

    with pytest.raises(PushError, match=r"no status of .*no route\. The run goes on; look again with"):
        follow(KERNEL, outside)
    assert answers == []


def test_follow_run_without_end_is_given_up(follower: Follower) -> None:
    """No session is that long."""
    running = Answer(f'{KERNEL} has status "KernelWorkerStatus.RUNNING"', 0)
    outside = Outside(follower.said.append, follower.sleep, lambda: follower.seconds, lambda *_: running)

    with pytest.raises(PushError, match="is running after 13 h; look again with"):
        follow(KERNEL, outside)


def test_log_lines_of_plain_text_are_its_lines() -> None:
    """Older logs are no JSON, and a line of a kernel may be a number."""
    assert log_lines("one\ntwo") == ("one", "two")
    assert log_lines("7") == ("7",)


def test_reason_without_any_words_says_so() -> None:
    """Memory kills leave nothing."""
    assert reason(Ended("ERROR", "", ())) == "Kaggle gives no reason, and there is no log"


def test_answers_of_one_row_alone_are_answers(tmp_path: Path) -> None:
    """One row cannot be told from a prior by itself; run.json can."""
    (tmp_path / "submission.csv").write_bytes(b"fname,Bark\na.wav,0.5\n")
    assert holds_answers(tmp_path / "submission.csv") == ""
    (tmp_path / "run.json").write_bytes(record(3, 0))
    assert holds_answers(tmp_path / "submission.csv") != ""
