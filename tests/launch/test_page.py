"""The page that a kernel makes of its run: in the time and memory that are left, or a line that says why not."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from soundpost.launch import page as page_module
from soundpost.launch.page import write_page
from soundpost.settings import RunSettings

Maker = Callable[[str], None]


def run_of(left_seconds: float = 100.0, **others: object) -> RunSettings:
    """The settings of a run whose limit is so many seconds away."""
    times = {"started": time.monotonic() - 100.0, "time_limit_seconds": 100.0 + left_seconds}
    return RunSettings("", "", "", "", "", **(times | others))  # type: ignore[arg-type]


@pytest.fixture
def make_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maker:
    """Puts lines of Python in the place of the process that makes the page."""

    def make(lines: str) -> None:
        (tmp_path / "modules").mkdir()
        (tmp_path / "modules" / "stand_in_page.py").write_text(
            "import os, sys, time\nfrom pathlib import Path\n" + textwrap.dedent(lines)
        )
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
        monkeypatch.setattr(page_module, "MODULE", "stand_in_page")

    return make


def write(folder: Path, run: RunSettings) -> str:
    """Write the page, where an older one lies; the one line that is said."""
    (folder / "report.html").write_text("of an older run")
    said: list[str] = []
    write_page(folder / "report.html", folder / "run.json", run, said.append)
    assert len(said) == 1
    return said[0]


def test_page_takes_the_place_of_an_older_one(make_process: Maker, tmp_path: Path) -> None:
    """The process is given run.json and the page, sees no GPU, and draws without a notebook."""
    make_process("Path(sys.argv[2]).write_text(' '.join([sys.argv[1], os.environ['MPLBACKEND']]))")

    assert write(tmp_path, run_of()) == f"report: {tmp_path / 'report.html'}"
    assert (tmp_path / "report.html").read_text() == f"{tmp_path / 'run.json'} Agg"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("print('a line'); print('the reason'); sys.exit(2)", "its process ended with status 2: the reason"),
        ("raise ValueError('a defect')", "its process ended with status 1: ValueError: a defect"),
        ("os.kill(os.getpid(), 11)", "its process ended with status -11: it said nothing"),
    ],
)
def test_process_that_fails_is_told_with_its_last_line(
    make_process: Maker, tmp_path: Path, lines: str, words: str
) -> None:
    """There is no page then, not even an older run's, and nothing is raised."""
    make_process("Path(sys.argv[2] + '.part').write_text('half of a page')\n" + lines)

    assert f"{words}; the run does not need it" in write(tmp_path, run_of())
    assert [path.name for path in tmp_path.iterdir()] == ["modules"]


def test_process_that_takes_too_long_is_killed(
    make_process: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time that is left is all that it gets."""
    make_process("time.sleep(600)")
    monkeypatch.setattr(page_module, "LEAST_SECONDS", 0.5)
    began = time.monotonic()

    said = write(tmp_path, run_of(left_seconds=6.0))

    assert "not ready within " in said
    assert time.monotonic() - began < 6.0
    assert not (tmp_path / "report.html").exists()


def test_process_that_takes_too_much_memory_is_killed(make_process: Maker, tmp_path: Path) -> None:
    """The memory limit of the run holds for it, too."""
    make_process("block = bytearray(200_000_000)\ntime.sleep(600)")

    assert "MB of 100 MB" in write(tmp_path, run_of(memory_limit_bytes=100_000_000))


def test_run_that_used_its_time_up_starts_no_process(make_process: Maker, tmp_path: Path) -> None:
    """A few seconds are not worth a start."""
    make_process("Path(sys.argv[2]).write_text('begun')")

    assert "s are left and 5 s are needed" in write(tmp_path, run_of(left_seconds=3.0))
    assert "0.0 s are left" in write(tmp_path, run_of(left_seconds=-2.0))


def test_package_that_is_missing_is_one_line(
    make_process: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are in Kaggle's image, and nowhere need they be."""
    make_process("")
    monkeypatch.setattr(page_module, "find_spec", lambda name: None if name == "matplotlib" else name)

    assert "no page, not installed: matplotlib; the run does not need it" in write(tmp_path, run_of())


def test_page_that_cannot_be_removed_is_one_line(make_process: Maker, tmp_path: Path) -> None:
    """A folder lies in the place of the page: whatever is raised becomes a sentence."""
    make_process("")
    (tmp_path / "folder").mkdir()
    said: list[str] = []

    write_page(tmp_path / "folder", tmp_path / "run.json", run_of(), said.append)

    assert len(said) == 1
    assert "Error: " in said[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_page_and_not_the_run(make_process: Maker, tmp_path: Path, number: int) -> None:
    """Whoever does not want to wait loses the page alone."""
    make_process("Path(sys.argv[2] + '.begun').touch()\ntime.sleep(600)")
    script = textwrap.dedent(
        f"""
        import time
        from pathlib import Path
        from soundpost.launch import page
        from soundpost.resources.signals import signals_noted
        from soundpost.settings import RunSettings
        page.MODULE = "stand_in_page"
        run = RunSettings("", "", "", "", "", started=time.monotonic(), time_limit_seconds=100.0)
        signals = []
        with signals_noted(signals.append):
            page.write_page(Path({str(tmp_path / "report.html")!r}), Path("run.json"), run, print, signals)
        print("and on")
        """
    )
    source = Path(page_module.__file__).resolve().parents[2]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(source), os.environ["PYTHONPATH"]])}
    with subprocess.Popen([sys.executable, "-c", script], stdout=-1, text=True, env=environment) as process:
        ends = time.monotonic() + 30
        while not (tmp_path / "report.html.begun").exists() and time.monotonic() < ends:
            time.sleep(0.05)
        process.send_signal(number)
        said, _ = process.communicate(timeout=30)

    assert process.returncode == 0
    assert "no page, interrupted" in said
    assert said.endswith("and on\n")
