"""The supervisor ends on time and tells the truth, whatever becomes of its engine; stand-ins play the engine."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from soundpost.errors import SettingsError
from soundpost.launch import supervisor
from soundpost.launch.engine_process import teller
from soundpost.launch.scratch import PREFIX, born, remove_dead
from soundpost.launch.supervisor import ATTEMPTS, Supervisor
from soundpost.resources.memory_budget import SHRINK_SHARE
from soundpost.resources.signals import signals_noted
from soundpost.settings import RunSettings

HEAD = """
import json, os, signal, sys, time
settings = json.load(open(sys.argv[1]))
def tell(**event):
    os.write(int(os.environ["SOUNDPOST_EVENTS"]), (json.dumps(event) + "\\n").encode())
"""
POPEN = subprocess.Popen


class Stage:
    """A supervisor over a script that plays the engine."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = tmp_path / "scratch"
        self.out = tmp_path / "submission.csv"
        self.said: list[str] = []
        self.settings_seen: list[dict[str, object]] = []
        self.script = ""
        monkeypatch.setattr(supervisor.subprocess, "Popen", self._start)

    def _start(self, command: list[str], **others: object) -> subprocess.Popen[bytes]:
        self.settings_seen.append(json.loads(Path(command[-1]).read_text()))
        return POPEN([sys.executable, "-S", "-c", HEAD + self.script, command[-1]], **others)

    def run(self, script: str, limit: float = 120.0, relay: Callable[[str], None] | None = None) -> int:
        self.script = script
        settings = RunSettings("", "", "", str(self.out), "", time_limit_seconds=limit, started=time.monotonic())
        signals: list[int] = []
        with signals_noted(signals.append):
            return Supervisor(settings, self.root, self.said.append, relay, signals).run()


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Ready for a script."""
    return Stage(tmp_path, monkeypatch)


@pytest.mark.parametrize("status", [0, 2, 3])
def test_engine_that_ends_well_or_refuses_is_not_started_again(stage: Stage, status: int) -> None:
    """Its status is the run's, its reason is said, and the private folder is gone."""
    assert stage.run(f'tell(event="error", text="why"); sys.exit({status})') == status

    assert len(stage.settings_seen) == 1
    assert stage.said[0] == "error: why"
    assert list(stage.root.iterdir()) == []


def test_engine_that_fails_is_started_again_and_may_succeed(stage: Stage) -> None:
    """The next engine works in the same folder, where it finds what the first one left."""
    script = """
mark = os.path.join(settings["scratch"], "answers")
if not os.path.exists(mark):
    open(mark, "w").write("half of them")
    sys.exit(1)
"""
    assert stage.run(script) == 0

    assert [seen["attempt"] for seen in stage.settings_seen] == [0, 1]
    assert stage.said == ["engine ended with status 1; another one goes on where it stood"]


def test_engine_that_always_fails_ends_the_run_with_status_1(stage: Stage) -> None:
    """A defect is not tried for ever."""
    assert stage.run("sys.exit(1)") == 1
    assert len(stage.settings_seen) == ATTEMPTS


def test_engine_that_dies_of_a_signal_ends_the_run_with_status_1(stage: Stage) -> None:
    """A segmentation fault is a defect, too."""
    assert stage.run("os.kill(os.getpid(), signal.SIGSEGV)") == 1


def test_engine_that_was_killed_from_outside_comes_back_with_less_memory(stage: Stage) -> None:
    """SIGKILL most likely came from a machine out of memory."""
    assert stage.run("os.kill(os.getpid(), signal.SIGKILL) if settings['attempt'] == 0 else None") == 0

    first, second = (seen["memory_limit_bytes"] for seen in stage.settings_seen)
    assert first == 0
    assert 0 < second <= SHRINK_SHARE * supervisor.memory_allowed()


def test_engine_whose_device_broke_comes_back_without_it(stage: Stage) -> None:
    """A GPU that fails in the middle costs its speed."""
    assert stage.run("sys.exit(75 if settings['device'] != 'cpu' else 0)") == 0
    assert [seen["device"] for seen in stage.settings_seen] == ["auto", "cpu"]


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
def test_engine_that_crashes_comes_back_without_the_gpu(stage: Stage, number: signal.Signals) -> None:
    """A driver or a library that takes its process with it is not asked again."""
    script = f"""
tell(event="devices", names=["cuda:0"])
if settings["device"] != "cpu":
    os.kill(os.getpid(), {int(number)})
"""
    assert stage.run(script) == 0

    assert [seen["device"] for seen in stage.settings_seen] == ["auto", "cpu"]
    assert stage.said == [f"engine ended with status -{int(number)}; another one goes on where it stood, without a GPU"]


@pytest.mark.parametrize("end", ["sys.exit(1)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_engine_that_fails_twice_by_anything_comes_back_without_the_gpu(stage: Stage, end: str) -> None:
    """The cores may do what nobody knows to be the GPU's fault."""
    assert stage.run(f"if settings['device'] != 'cpu': {end}") == 0

    assert [seen["device"] for seen in stage.settings_seen] == ["auto", "auto", "cpu"]


def test_engine_that_fails_after_one_gpu_of_two_was_lost_comes_back_with_the_other(stage: Stage) -> None:
    """What is known to be broken is not asked again, and what works is."""
    script = """
if settings["attempt"] == 0:
    tell(event="devices", names=["cuda:0", "cuda:1"])
    tell(event="device lost", name="cuda:0")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert stage.run(script) == 0

    assert [seen["device"] for seen in stage.settings_seen] == ["auto", "cuda:1"]


def test_engine_that_gives_no_sign_of_life_in_time_comes_back_without_the_gpu(stage: Stage) -> None:
    """A start of CUDA that hangs takes the whole process with it; what the engine promised is not waited for twice."""
    script = """
tell(event="alive", within=0.3)
if settings["device"] != "cpu":
    time.sleep(1000)
tell(event="alive", within=0)
time.sleep(0.6)
"""
    began = time.monotonic()

    assert stage.run(script) == 0

    assert time.monotonic() - began < 60
    assert [seen["device"] for seen in stage.settings_seen] == ["auto", "cpu"]
    assert stage.said[0] == "the engine gives no sign of life: a GPU hangs, or its driver does"


def test_engine_that_gives_signs_of_life_is_left_alone(stage: Stage) -> None:
    """Each sign moves the moment until which the next one is waited for."""
    script = """
for _ in range(8):
    tell(event="alive", within=2.0)
    time.sleep(0.4)
"""
    assert stage.run(script) == 0

    assert stage.said == []


def test_each_engine_is_told_when_it_began(stage: Stage) -> None:
    """What an engine keeps for its end follows its own start, not the one of the run."""
    assert stage.run("time.sleep(0.3); sys.exit(settings['attempt'] == 0)") == 0

    first, second = (float(str(seen["engine_started"])) for seen in stage.settings_seen)
    assert float(str(stage.settings_seen[0]["started"])) <= first < second - 0.3


@pytest.mark.parametrize("line", ["no json", '["a list"]', '{"answered": 3}', '{"event": "wrote", "answered": "many"}'])
def test_line_that_is_no_event_is_said_and_left_out(stage: Stage, line: str) -> None:
    """Whatever comes down the pipe, the supervisor reads on."""
    script = f"""
os.write(int(os.environ["SOUNDPOST_EVENTS"]), {line!r}.encode() + b"\\n")
tell(event="error", text="the next line")
"""
    assert stage.run(script) == 0

    assert stage.said == [f"a line of the engine is no event and left out: {line}", "error: the next line"]


def test_events_of_many_threads_arrive_whole() -> None:
    """Lines longer than a pipe takes at once, told by eight threads at the same time, are not mixed."""
    reading, writing = os.pipe()
    tell = teller(writing)
    texts = [str(number) * 100_000 for number in range(8)]
    threads = [threading.Thread(target=lambda text=text: [tell({"text": text}) for _ in range(3)]) for text in texts]
    for thread in threads:
        thread.start()
    with os.fdopen(reading) as stream:
        found = [json.loads(stream.readline())["text"] for _ in range(24)]
    for thread in threads:
        thread.join()
    os.close(writing)

    assert sorted(found) == sorted(texts * 3)


@pytest.mark.parametrize(("answered", "status"), [(0, 3), (7, 0)])
def test_engine_that_hangs_is_killed_before_the_limit(stage: Stage, answered: int, status: int) -> None:
    """Even one that ignores signals; what it had written counts, and what it was writing is removed."""
    stage.out.with_name("submission.csv.part").write_text("half a fi")
    began = time.monotonic()

    found = stage.run(
        f'signal.signal(signal.SIGTERM, signal.SIG_IGN); tell(event="wrote", answered={answered}, at=0.1)\n'
        "time.sleep(1000)",
        limit=2.0,
    )

    assert time.monotonic() - began < 2.0
    assert found == status
    assert stage.said == [f"the time is up; the submission holds {answered} predicted clips"]
    assert sorted(path.name for path in stage.root.parent.iterdir()) == ["run.json", "scratch"]


def test_engine_that_fails_with_no_time_left_is_not_started_again(stage: Stage) -> None:
    """Another start would not pay back."""
    assert stage.run('tell(event="wrote", answered=3, at=0.1); sys.exit(1)', limit=4.0) == 0
    assert len(stage.settings_seen) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_is_passed_on_and_ends_the_run_with_its_status(stage: Stage, number: signal.Signals) -> None:
    """The engine writes once more and ends; the status and the log say what happened."""
    script = """
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
tell(event="wrote", answered=1, at=0.1)
while not stop:
    time.sleep(0.01)
tell(event="finished", answered=5, peak_bytes=1)
"""
    with _signal_when(lambda: stage.settings_seen, number):
        status = stage.run(script)

    assert status == 128 + number
    assert stage.said == [f"{number.name}: ended early; the submission holds 5 predicted clips"]
    assert list(stage.root.iterdir()) == []


def test_engine_that_ignores_the_signal_is_killed_after_a_grace(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stuck engine does not hold up whoever wants the run to end."""
    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 0.2)

    with _signal_when(lambda: stage.settings_seen, signal.SIGTERM):
        assert stage.run("signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)") == 143


def test_signal_that_came_before_the_engine_starts_none(stage: Stage) -> None:
    """Between the first submission and the engine lies a moment, too."""
    settings = RunSettings("", "", "", str(stage.out), "", time_limit_seconds=120.0, started=time.monotonic())
    with_signal = Supervisor(settings, stage.root, stage.said.append, None, [signal.SIGTERM, signal.SIGINT])

    assert with_signal.run() == 128 + signal.SIGTERM
    assert stage.settings_seen == []
    assert stage.said == ["SIGTERM: ended early; the submission holds 0 predicted clips"]


def test_children_of_an_engine_are_gone_when_it_is(stage: Stage, tmp_path: Path) -> None:
    """Whatever the engine started in its session ends with it."""
    script = f"""
pid = os.fork()
if pid == 0:
    time.sleep(1000)
open({str(tmp_path / "pid")!r}, "w").write(str(pid))
"""
    assert stage.run(script) == 0

    pid = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 30
    while _is_running(pid) and time.monotonic() < until:
        time.sleep(0.01)
    assert not _is_running(pid)


def test_output_of_the_engine_is_relayed(stage: Stage) -> None:
    """Where a child cannot print itself, its lines are handed on, and a letter of two bytes stays whole."""
    heard: list[str] = []
    script = """
for part in (b"pass 1 of 3, M\\xc3", b"\\xa4rz\\n"):
    os.write(1, part)
    time.sleep(0.2)
print("oh", file=sys.stderr)
"""

    assert stage.run(script, relay=heard.append) == 0
    assert "".join(heard) == "pass 1 of 3, März\noh\n"


def test_run_leaves_its_record_whatever_becomes_of_the_engine(stage: Stage) -> None:
    """run.json lies beside the submission, with what was told, how often an engine was started, and the status."""
    script = """
tell(event="log", kind="sample", row=[0.5, 1, 2, 3, 4])
os.kill(os.getpid(), signal.SIGKILL)
"""

    status = stage.run(script)

    table = json.loads(stage.out.with_name("run.json").read_text())
    assert (table["status"], table["engines"]) == (status, ATTEMPTS)
    assert table["samples"] == [[0.5, 1, 2, 3, 4]] * ATTEMPTS
    assert table["settings"]["out"] == str(stage.out)


def test_record_that_cannot_be_written_is_a_warning(stage: Stage, tmp_path: Path) -> None:
    """The status stays what it is."""
    (tmp_path / "run.json").mkdir()

    assert stage.run("sys.exit(0)") == 0
    assert next(text for text in stage.said if text.startswith("warning: ")).endswith("does not need it")


def test_scratch_folder_that_cannot_be_written_is_refused(stage: Stage) -> None:
    """The message names the folder and the option."""
    stage.root.write_text("a file in the way")

    with pytest.raises(SettingsError, match=r"scratch folder .*Name one that can be written by --scratch"):
        stage.run("")


def test_folders_of_dead_runs_are_removed_and_no_others(tmp_path: Path) -> None:
    """Only what is provably ours and dead goes: not a living run's, not a stranger's."""
    mine = born(os.getpid())
    owners = {
        "living": json.dumps({"pid": os.getpid(), "born": mine}),
        "dead": json.dumps({"pid": 2**22 + 5, "born": mine}),
        "number-used-again": json.dumps({"pid": os.getpid(), "born": "another boot 123"}),
        "torn": '{"pid": 1',
        "odd": "[]",
    }
    for name, text in owners.items():
        (tmp_path / (PREFIX + name)).mkdir()
        (tmp_path / (PREFIX + name) / "owner.json").write_text(text)
    (tmp_path / (PREFIX + "stranger")).mkdir()
    (tmp_path / "other").mkdir()

    removed = remove_dead(tmp_path)

    assert [path.name for path in removed] == [PREFIX + "dead", PREFIX + "number-used-again"]
    assert sorted(path.name.removeprefix(PREFIX) for path in tmp_path.iterdir()) == [
        "living",
        "odd",
        "other",
        "stranger",
        "torn",
    ]


@contextmanager
def _signal_when(condition: Callable[[], object], number: signal.Signals) -> Iterator[None]:
    """Sends this process a signal a little after a condition holds."""

    def wait() -> None:
        until = time.monotonic() + 60
        while not condition() and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.3)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    yield
    thread.join(60)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
