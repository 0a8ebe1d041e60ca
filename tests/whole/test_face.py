"""What a person meets at a whole run: quiet that is quiet, a log that cannot be written, a reader that goes, slips."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import soundfile
from conftest import RATE, ClipMaker, RecipeMaker, waveform, write_sample

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(make_assets: RecipeMaker, tmp_path: Path) -> "Runner":
    """Runs `soundpost run` with a small member."""
    return Runner(make_assets({"folds": 1}), tmp_path / "submission.csv")


class Runner:
    """`soundpost run` in a process of its own."""

    def __init__(self, assets: Path, out: Path) -> None:
        self.out = out
        self.command = [sys.executable, "-m", "soundpost.cli", "run", "--assets", str(assets), "--out", str(out)]
        self.environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}

    def __call__(self, test_dir: Path, *options: str) -> subprocess.CompletedProcess[str]:
        """The whole run, on the CPU unless an option says otherwise."""
        device = () if "--device" in options else ("--device", "cpu")
        command = [*self.command, "--test-dir", str(test_dir), *device, *options]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=self.environment)

    def answered(self) -> int:
        """Clips of the submission that do not hold the priors of conftest's recipes."""
        frame = pd.read_csv(self.out, index_col=0)
        return int((frame != [0.1, 0.2, 0.3, 0.4]).any(axis=1).sum())


def test_quiet_run_prints_nothing_and_logs_everything(run: Runner, make_clips: ClipMaker, tmp_path: Path) -> None:
    """Its status tells how it went; a copy of the log may be kept all the same."""
    clips = make_clips([0.3, 0.5]) / "test"

    alone = run(clips, "--progress", "quiet")
    logged = run(clips, "--progress", "quiet", "--log", str(tmp_path / "log.txt"))

    assert (alone.returncode, alone.stdout, alone.stderr) == (0, "", "")
    assert (logged.returncode, logged.stdout, logged.stderr) == (0, "", "")
    assert "2 of 2 clips predicted" in (tmp_path / "log.txt").read_text()


def test_quiet_run_counts_what_went_another_way_in_one_line(run: Runner, make_clips: ClipMaker, tmp_path: Path) -> None:
    """Damaged, silent and missing clips are seen without a log, on the error stream; the output stays empty."""
    contest = make_clips([0.3, 0.5, 0.7])
    (contest / "test" / "clip000.wav").write_bytes(b"RIFF")
    soundfile.write(contest / "test" / "clip001.wav", 0 * waveform(0.5, 1), RATE)
    names = ["clip000.wav", "clip001.wav", "clip002.wav", "gone.wav"]
    write_sample(contest / "sample_submission.csv", names, ("bark", "Rain", "Siren", "Tick-tock"))

    result = run(contest / "test", "--progress", "quiet")

    assert (result.returncode, result.stdout) == (0, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("warning: of 4 clips 1 not in the folder, 1 unreadable, 1 silent; ")
    assert "1 about rows and columns, the first: nearly the same: column 'bark' and label 'Bark'" in line


def test_quiet_run_prints_why_it_was_refused(run: Runner, make_clips: ClipMaker) -> None:
    """Quiet is no secret."""
    result = run(make_clips([0.3]) / "test", "--progress", "quiet", "--members", "nobody/1")

    assert result.returncode == 2
    assert result.stdout.startswith("error: ")
    assert "nobody/1" in result.stdout


def test_log_that_cannot_be_written_costs_nothing(run: Runner, make_clips: ClipMaker, tmp_path: Path) -> None:
    """It is said once, and the run goes on."""
    result = run(make_clips([0.3, 0.5]) / "test", "--log", str(tmp_path / "nowhere" / "log.txt"))

    assert result.returncode == 0, result.stdout
    assert result.stdout.count("cannot be written (No such file or directory)") == 1
    assert run.answered() == 2


def test_reader_that_goes_costs_nothing(run: Runner, make_clips: ClipMaker) -> None:
    """`soundpost run ... | head -1`: the answers are written, and the status is that of the run."""
    clips = make_clips([0.3, 0.5]) / "test"
    command = [*run.command, "--test-dir", str(clips), "--device", "cpu"]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True, env=run.environment) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()

    assert process.returncode == 0
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert run.answered() == 2


def test_device_that_is_not_there_is_refused_before_a_clip_is_read(run: Runner, make_clips: ClipMaker) -> None:
    """Not after a full run on the cores; the priors are there."""
    result = run(make_clips([0.3]) / "test", "--device", "cuda:99")

    assert result.returncode == 2
    assert "error: --device cuda:99: " in result.stdout
    assert "clips predicted" not in result.stdout
    assert run.answered() == 0


def test_run_says_which_folder_and_sample_it_took_and_leaves_its_record(run: Runner, make_clips: ClipMaker) -> None:
    """The sample beside the clips is found, and that is said."""
    contest = make_clips([0.3, 0.5])

    result = run(contest / "test")

    assert f"clips: {contest / 'test'}; rows: {contest / 'sample_submission.csv'}" in result.stdout
    table = json.loads(run.out.with_name("run.json").read_text())
    assert (table["status"], table["engines"], table["ended"]["answered"]) == (0, 1, 2)
    assert [work["name"] for work in table["passes"]] == ["tiny0/1 whole"]
    assert table["passes"][0]["complete"]
    assert {row[0] for row in table["lanes"]} <= set(range(len(table["ready"]["devices"])))
    assert table["samples"][-1][4] == 2


def test_clips_of_another_contest_are_status_three_with_a_row_and_a_file(run: Runner, make_clips: ClipMaker) -> None:
    """A folder that holds clips, but not those of the rows, is a slip; the two names are shown side by side."""
    contest = make_clips([0.3])
    write_sample(contest / "sample_submission.csv", ["0001.flac", "0002.flac"])

    result = run(contest / "test")

    assert result.returncode == 3
    told = "not one row has a file. The first row is '0001.flac', a file of the folder is 'clip000.wav'."
    assert f"warning: {told}" in result.stdout
    assert run.answered() == 0


def test_columns_that_nearly_match_a_label_are_named(run: Runner, make_clips: ClipMaker) -> None:
    """A slip of spelling must not pass for a class that nobody knows."""
    contest = make_clips([0.3], columns=("bark", "Rain", "Sirens", "Tick-tock", "Meow"))

    result = run(contest / "test")

    assert "nearly the same: column 'bark' and label 'Bark', column 'Sirens' and label 'Siren'." in result.stdout
    assert "3 columns no member knows get a constant: bark, Sirens, Meow" in result.stdout


def test_dry_run_of_what_does_not_fit_is_status_three(run: Runner, tmp_path: Path) -> None:
    """A script can act on it; what fits is status 0."""
    clips = tmp_path / "clips"
    clips.mkdir()
    for number in range(6):
        soundfile.write(clips / f"{number}.wav", waveform(1.0, number), RATE)

    late = run(clips, "--dry-run", "--time-limit", "20s", "--expect-clips", "100000000")
    fits = run(clips, "--dry-run", "--expect-clips", "6")

    assert "verdict: does not fit" in late.stdout
    assert late.returncode == 3
    assert "verdict: fits" in fits.stdout
    assert fits.returncode == 0
