"""Rows that are windows under injury: what a clip may suffer costs a recording no more than its own rows."""

import csv
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import LABELS, RATE, RecipeMaker, RecordingMaker, SettingsMaker, requires_root, waveform
from fakes_by_name import FAKE_FRONT_ENDS, FAKE_MODELS
from started_runs import LOG_MEL, PYTHONPATH, Started, When, send_signals, start, stop
from started_runs import slow as slow_network

from soundpost.contest import submission
from soundpost.contest.check import check_submission
from soundpost.contest.contest import read_contest
from soundpost.contest.settings import ContestSettings
from soundpost.engine import extract_stage
from soundpost.engine import run as run_module
from soundpost.front_ends import FRONT_ENDS
from soundpost.models import MODELS
from soundpost.settings import RunSettings
from soundpost.spectrograms.cache import memory_tier

KINDS: dict[str, dict[str, Any]] = {  # what a recipe's [windows] can ask for
    "plain": {},
    "context": {"context_seconds": 9.0},
    "recording": {"scope": "recording", "context_seconds": 8.0},
    "shifts": {"shifts": [0.0, 1.25, -1.25], "shift_weights": [1.0, 2.0, 2.0]},
    "ends_again": {"context_seconds": 10.0, "padding": "ends_again"},
}
SAME = 2e-6  # answers of one window in two runs, in float32

Table = dict[str, np.ndarray]


def rows_of(path: Path) -> Table:
    """A submission by row."""
    with path.open(newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["row_id", *LABELS]
    return {line[0]: np.array(line[1:], float) for line in lines}


def run_here(settings: RunSettings) -> tuple[int, Table]:
    """Status and rows of a run in this process; its file is what the contest asks for."""
    status = run_module.run(settings)
    assert (
        check_submission(Path(settings.out), Path(settings.sample_submission), Path(settings.test_dir)).refusals == ()
    )
    return status, rows_of(Path(settings.out))


def assert_same(expected: Table, actual: Table, but: tuple[str, ...] = ()) -> None:
    """Every row of the recordings that are not excepted is what it was."""
    kept = [row for row in expected if row.rsplit("_", 1)[0] not in but]
    assert kept
    for row in kept:
        np.testing.assert_allclose(expected[row], actual[row], atol=SAME, err_msg=row)


def assert_middle(table: Table, lost: str) -> None:
    """The rows of a recording that was lost lie in the middle of what the others have."""
    mean = np.mean([value for row, value in table.items() if not row.startswith(f"{lost}_")], axis=0)
    rows = [row for row in table if row.startswith(f"{lost}_")]
    assert rows
    for row in rows:
        np.testing.assert_allclose(mean, table[row], atol=SAME, err_msg=row)


def with_its_rows(run: Started, contest: Path) -> Started:
    """The run, watched by the rows that the folder asks for and not by the stub's."""
    sample, test_dir = contest / "sample_submission.csv", contest / "test"
    run.sample = read_contest(sample, test_dir, LABELS, ContestSettings()).sample
    return run


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes of this test may ask for what misbehaves, in processes that are spawned, too."""
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)
    for registry, entries in ((MODELS, FAKE_MODELS), (FRONT_ENDS, FAKE_FRONT_ENDS)):
        for name, place in entries.items():
            monkeypatch.setitem(registry, name, place)


# ---------------------------------------------------------------- order
@pytest.mark.parametrize("kind", KINDS)
def test_window_of_every_kind_is_answered_alike_alone_in_any_order_and_with_others(
    kind: str,
    make_assets: RecipeMaker,
    make_recordings: RecordingMaker,
    make_settings: SettingsMaker,
) -> None:
    """Whatever a recipe hears beside a row is its own recording's: no other one, no order, no cache changes a row."""
    assets = make_assets({"windows": KINDS[kind], "folds": 2})
    _, together = run_here(make_settings(assets, make_recordings()))
    backwards = make_recordings(sample=list(reversed(together)), folder="backwards")
    _, turned = run_here(make_settings(assets, backwards, workers=1, cache_memory_bytes=2**18, disk_limit_bytes=1))
    assert list(turned) == list(reversed(together))
    assert_same(together, turned)
    more = make_recordings({"a": 12.0, "b": 5.001, "c": 20.3, "d": 31.0, "e": 6.0}, folder="more")
    _, among = run_here(make_settings(assets, more))
    assert_same(together, among)
    alone = make_recordings(folder="alone")
    for name in ("a", "b"):
        (alone / "test" / f"{name}.wav").unlink()
    _, single = run_here(make_settings(assets, alone))
    assert_same(single, together)


# ---------------------------------------------------------------- recordings that are damaged
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_recordings_among_good_ones_cost_their_own_rows_and_are_named(
    kind: str,
    make_assets: RecipeMaker,
    make_recordings: RecordingMaker,
    make_settings: SettingsMaker,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Empty, text, header alone, cut in the middle, other rates, stereo, silent, very short: the others stay."""
    assets = make_assets({"windows": KINDS[kind], "folds": 1})
    _, good = run_here(make_settings(assets, make_recordings()))
    contest = make_recordings(folder="damaged")
    folder = contest / "test"
    sound = (folder / "c.wav").read_bytes()
    (folder / "empty.ogg").write_bytes(b"")
    (folder / "text.ogg").write_text("this is no audio")
    (folder / "header.wav").write_bytes(sound[:44])
    (folder / "half.wav").write_bytes(sound[: len(sound) // 2])
    soundfile.write(folder / "stereo.flac", np.stack([waveform(7.0, 1)] * 2, axis=1), 44100)
    soundfile.write(folder / "slow.wav", waveform(7.0, 2), 8000)
    soundfile.write(folder / "silent.wav", np.zeros(11 * RATE), RATE)
    soundfile.write(folder / "tiny.wav", waveform(0.01, 3), RATE)
    capfd.readouterr()

    status, found = run_here(make_settings(assets, contest))

    said = capfd.readouterr().out
    assert status == 0
    assert_same(good, found)
    for name in ("empty", "text", "header"):
        assert_middle({row: v for row, v in found.items() if row.rsplit("_")[0] not in UNREAD - {name}}, name)
    for name in ("empty.ogg", "text.ogg", "header.wav", "half.wav", "silent.wav"):
        assert name in said, f"{name} is not named: {said}"
    heard = [row for row in found if row.rsplit("_")[0] in ("half", "stereo", "slow", "tiny")]
    assert {row.rsplit("_")[0] for row in heard} == {"half", "stereo", "slow", "tiny"}
    middle = found["empty_5"]
    assert all(np.abs(found[row] - middle).max() > 1e-6 for row in heard)


UNREAD = {"empty", "text", "header"}


# ---------------------------------------------------------------- workers
def deadly(length_seconds: float, windows: dict[str, Any], mark: str = "") -> dict[str, object]:
    """A recipe of one fold that kills the worker of the recording whose spectrogram is that long."""
    front_end = {"name": "deadly", "samples": round(length_seconds * RATE), "mark": mark, **LOG_MEL}
    return {"front_end": front_end, "windows": windows, "folds": 1}


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize("is_healed", [True, False], ids=["once", "always"])
def test_recording_that_kills_its_worker_costs_at_most_its_own_rows(
    is_healed: bool,
    make_assets: RecipeMaker,
    make_recordings: RecordingMaker,
    make_settings: SettingsMaker,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A worker that dies is replaced and its recording tried once more; one that kills again is given up by name."""
    contest, windows = make_recordings(), {"scope": "recording"}
    sound = make_assets({"windows": windows, "folds": 1}, folder="sound")
    _, expected = run_here(make_settings(sound, contest))
    capfd.readouterr()

    assets = make_assets(deadly(20.0, windows, str(tmp_path / "mark") if is_healed else ""))  # c has four rows
    status, found = run_here(make_settings(assets, contest))

    said = capfd.readouterr().out
    assert status == 0
    assert_same(expected, found, but=() if is_healed else ("c",))
    if not is_healed:
        assert_middle(found, "c")
        assert re.search(r"c\.wav: worker \d+ ended with status -9", said), said
    assert f"workers died {1 if is_healed else 2}" in said


@pytest.mark.usefixtures("fakes")
def test_recording_that_hangs_its_worker_is_given_up_and_named(
    make_assets: RecipeMaker,
    make_recordings: RecordingMaker,
    make_settings: SettingsMaker,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A worker that is too long at one recording is replaced; the rows of the others have their answers."""
    monkeypatch.setattr(extract_stage, "STALL_SECONDS", 1.5)
    windows = {"scope": "recording"}
    contest = make_recordings()
    _, expected = run_here(make_settings(make_assets({"windows": windows, "folds": 1}, folder="sound"), contest))
    stalling = {"name": "stalling", "stalls_from": 20 * RATE, **LOG_MEL}
    capfd.readouterr()

    assets = make_assets({"front_end": stalling, "windows": windows, "folds": 1})
    status, found = run_here(make_settings(assets, contest, workers=1))

    said = capfd.readouterr().out
    assert status == 0
    assert_same(expected, found, but=("c",))
    assert_middle(found, "c")
    assert "c.wav: not read within" in said
    assert "workers stuck 1" in said


# ---------------------------------------------------------------- memory and disks
@pytest.mark.parametrize("kind", ["context", "recording"])
@pytest.mark.parametrize("injury", ["deleted", "cut", "flipped"])
def test_spilled_windows_that_are_damaged_are_computed_again(
    injury: str,
    kind: str,
    make_assets: RecipeMaker,
    make_recordings: RecordingMaker,
    make_settings: SettingsMaker,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Between two passes a spill file is damaged: no row is lost, and it is counted."""
    assets, contest = make_assets({"windows": KINDS[kind]}), make_recordings()
    _, expected = run_here(make_settings(assets, contest))
    settings = make_settings(assets, contest, cache_memory_bytes=2**12)
    run_pass = run_module.Run.run_pass

    def damaging(self: run_module.Run, *rest: object) -> bool:
        for path in sorted((Path(settings.scratch) / "spill").glob("*"))[:2]:
            data = path.read_bytes()
            path.unlink()
            if injury != "deleted":
                path.write_bytes(data[:-1] if injury == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
        return run_pass(self, *rest)

    monkeypatch.setattr(run_module.Run, "run_pass", damaging)
    capfd.readouterr()
    status, found = run_here(settings)

    assert status == 0
    assert_same(expected, found)
    assert re.search(r"damaged spectrograms recomputed [2-4]", capfd.readouterr().out)


@pytest.fixture
def small_mount(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 256 KiB, mounted for this test."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.skip(f"this machine lets nobody mount: {result.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@requires_root
@pytest.mark.parametrize("place", ["shared memory", "spill"])
def test_tiny_shared_memory_or_a_full_disk_costs_windows_time_and_no_answer(
    place: str,
    small_mount: Path,
    make_assets: RecipeMaker,
    make_recordings: RecordingMaker,
    make_settings: SettingsMaker,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A megabyte of spectrograms, 256 KiB of /dev/shm or of disk to spill to: every row is the same."""
    assets = make_assets({"windows": {"context_seconds": 9.0}, "folds": 2})
    contest = make_recordings({f"r{i}": 20.0 + i for i in range(8)})
    _, expected = run_here(make_settings(assets, contest))
    settings = make_settings(assets, contest, cache_memory_bytes=2**18)
    capfd.readouterr()
    if place == "shared memory":
        for name in memory_tier.BACKINGS:
            monkeypatch.setitem(memory_tier.BACKINGS, name, lambda _: memory_tier._nameless(small_mount))
    else:
        spill = Path(settings.scratch) / "spill"
        spill.symlink_to(small_mount)

    status, found = run_here(settings)

    said = capfd.readouterr().out
    assert status == 0
    assert_same(expected, found)
    assert "8 of 8 stretches of recordings" in said
    if place == "spill":
        assert re.search(r"\bdisk full\b", said), said


@pytest.mark.parametrize("is_freed", [False, True], ids=["for good", "for a while"])
def test_output_folder_that_fills_up_keeps_the_last_whole_file_of_windows(
    is_freed: bool,
    make_assets: RecipeMaker,
    make_recordings: RecordingMaker,
    make_settings: SettingsMaker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A disk that is full at the end is told by status 1, and one that has room again by then costs nothing."""
    contest = make_recordings()
    settings = make_settings(make_assets({"folds": 2}), contest)
    _, expected = run_here(settings)
    sample = read_contest(contest / "sample_submission.csv", contest / "test", LABELS, ContestSettings()).sample
    submission.write(Path(settings.out), sample, [(0.1, 0.2, 0.3, 0.4)] * len(sample.names))
    write, calls = submission.write, []

    def full(*rest: object) -> None:
        calls.append(rest)
        if not is_freed or len(calls) == 1:
            raise OSError(28, "No space left on device")
        write(*rest)

    monkeypatch.setattr(submission, "write", full)
    again = make_settings(make_assets({"folds": 2}, folder="again"), contest)
    status, found = run_here(again)

    assert status == (0 if is_freed else 1)
    assert_same(expected if is_freed else {row: np.array([0.1, 0.2, 0.3, 0.4]) for row in expected}, found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("windows", "seconds"),
    [
        ({"context_seconds": 20.0}, [60.0] * 6),
        ({"shifts": [0.0, 1.25, -1.25, 2.5, -2.5], "shift_weights": [1.0] * 5}, [1200.0]),
    ],
    ids=["context", "shifts"],
)
def test_memory_limit_that_was_named_is_kept_by_a_run_over_recordings(
    windows: dict[str, Any],
    seconds: list[float],
    tmp_path: Path,
    make_assets: RecipeMaker,
    make_recordings: RecordingMaker,
) -> None:
    """The refusal names a figure; with it as the limit every row is answered and the tree stays below it."""
    assets = make_assets({"windows": windows})
    contest = make_recordings({f"r{i}": length for i, length in enumerate(seconds)})
    refused = with_its_rows(start(tmp_path / "refused", assets, contest, "--memory-limit", "100M"), contest)
    assert refused.finish() == 2, refused.said()
    assert refused.faults == []
    named = int(re.search(r"below the ([\d,]+)M that", refused.said())[1].replace(",", ""))

    run = with_its_rows(start(tmp_path / "run", assets, contest, "--memory-limit", f"{named}M"), contest)

    assert run.finish() == 0, run.said()
    assert run.faults == []
    peak, allowed = map(int, re.search(r"peak memory (\d+) MB of (\d+) MB allowed", run.said()).groups())
    assert peak <= allowed == named
    free = with_its_rows(start(tmp_path / "free", assets, contest), contest)
    assert free.finish() == 0, free.said()
    assert_same(rows_of(free.out), rows_of(run.out))


# ---------------------------------------------------------------- deaths and signals
@pytest.fixture
def going(
    make_assets: RecipeMaker, make_recordings: RecordingMaker, tmp_path: Path
) -> Iterator[tuple[Started, Path, Path]]:
    """A run over recordings that has written some answers and has more to do."""
    assets = make_assets({**slow_network(0.2), "folds": 2, "windows": {"context_seconds": 9.0}})
    contest = make_recordings({f"r{i:02}": 11.0 + i for i in range(10)})
    run = with_its_rows(start(tmp_path / "run", assets, contest), contest)
    run.until(lambda: len(run.versions) > 1)
    yield run, assets, contest
    stop({"": run})


@pytest.mark.slow
def test_engine_over_recordings_that_is_killed_is_followed_by_one_that_takes_up_its_answers(
    going: tuple[Started, Path, Path], make_settings: Callable[..., RunSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL of the engine costs seconds: every row is that of an undisturbed run."""
    run, assets, contest = going
    engine = next(child for child in run.children.values() if "soundpost.launch.engine_process" in child.cmdline())

    engine.kill()

    assert run.finish() == 0, run.said()
    assert run.faults == []
    assert run.left_behind() == []
    assert "engine ended with status -9; another one goes on where it stood" in run.said()
    monkeypatch.setitem(MODELS, "slow", "fakes:Fake")
    _, expected = run_here(make_settings(assets, contest))
    assert_same(expected, rows_of(run.out))


@pytest.mark.slow
def test_supervisor_over_recordings_that_is_killed_leaves_a_valid_file_and_no_process(
    going: tuple[Started, Path, Path],
) -> None:
    """SIGKILL of the parent: its processes end, and the file has every row of the contest."""
    run, _, contest = going

    run.process.kill()
    run.process.wait()

    left = run.left_behind()
    assert [name for name in left if not name.startswith("soundpost-run-")] in ([], ["submission.csv.part"]), left
    assert check_submission(run.out, contest / "sample_submission.csv", contest / "test").refusals == ()


@pytest.fixture
def interrupted(
    make_assets: RecipeMaker, make_recordings: RecordingMaker, tmp_path: Path
) -> Iterator[tuple[dict[When, Started], Path]]:
    """Four runs over recordings that take long: two get a signal at some moment, two once there are answers."""
    assets = make_assets({**slow_network(0.3), "folds": 8, "windows": {"context_seconds": 9.0}})
    contest = make_recordings({f"r{i:02}": 15.0 for i in range(12)})
    moments = np.random.default_rng().uniform(0, 4, 2)  # anew in each run of this test: any moment must do
    kinds = [(signal.SIGTERM, moments[0]), (signal.SIGINT, moments[1])]
    kinds += [(signal.SIGTERM, np.inf), (signal.SIGINT, np.inf)]
    runs = {kind: with_its_rows(start(tmp_path / str(i), assets, contest), contest) for i, kind in enumerate(kinds)}
    yield runs, contest
    stop(runs)


@pytest.mark.slow
def test_signals_in_the_middle_of_recordings_end_in_a_valid_file_and_say_so(
    interrupted: tuple[dict[When, Started], Path],
) -> None:
    """SIGTERM and SIGINT, from the first second on: every row of the contest, status 143 or 130, no leftovers."""
    runs, contest = interrupted
    send_signals(runs)

    for (number, moment), run in runs.items():
        which = f"{number.name} {moment} s after the first file: {run.said()}"
        assert run.finish() == 128 + number, which
        assert run.faults == [], which
        assert run.left_behind() == [], which
        assert check_submission(run.out, contest / "sample_submission.csv", contest / "test").refusals == (), which
        if moment == np.inf:
            assert len({tuple(row) for row in rows_of(run.out).values()}) > 1, which
