"""The command for a machine with a GPU works where there is none; its figures then mean nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks/gpu.py"
SECONDS = 900
INJURED = "| run, injury {} | injured {}, status 0, valid True, in time True, "


@pytest.mark.parametrize(
    ("sections", "lines"),
    [
        ("device,idle", ["| trouble | none |", "| idle share | "]),
        (
            "ways,shapes",
            ["float16, contiguous ", "tf32, channels_last ", "launch alone, float16 ", "ms a new convolution "],
        ),
        ("failures", [INJURED.format("none", False), INJURED.format("kill", True), "| without room | needs a GPU |"]),
        ("parity", ["| front end log_mel | 0.0e+00 |", "| ex4sperans_1d | float32 ", ", tf32 "]),
        ("ensemble", ["| networks | 50 |", "| predicted | 3 of 3 clips predicted |"]),
    ],
)
def test_gpu_command_prints_its_page_on_a_processor(sections: str, lines: list[str], tmp_path: Path) -> None:
    """Every section, small; the page that is printed is the page that is written."""
    page = tmp_path / "page.md"
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--small", "--only", sections, "--out", str(page)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for line in lines:
        assert line in ended.stdout
    assert page.read_text().strip() in ended.stdout


def test_gpu_command_says_which_section_gave_no_result() -> None:
    """On a device that is not there; the status tells, and the page names the section and why."""
    command = [sys.executable, str(SCRIPT), "--device", "cuda:77", "--small", "--only", "idle"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert ended.returncode == 1
    assert "| no result | " in ended.stdout
