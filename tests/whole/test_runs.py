"""Whole runs: in real processes where time, signals and deaths matter, in this one where clips and files do."""

import csv
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import soundfile
from conftest import LABELS, RATE, RecipeMaker, waveform, write_sample
from fakes_by_name import FAKE_FRONT_ENDS, FAKE_MODELS
from started_runs import LOG_MEL, PYTHONPATH, SMALL, Started, When, send_signals, slow, start, stop, table

from soundpost.contest import submission
from soundpost.contest.submission import check, read_sample
from soundpost.engine import extract_stage, provision
from soundpost.engine import run as run_module
from soundpost.front_ends import FRONT_ENDS
from soundpost.launch import main as launch_module
from soundpost.launch.main import main
from soundpost.launch.scratch import remove_dead
from soundpost.models import MODELS
from soundpost.settings import RunSettings


# ---------------------------------------------------------------- time
@pytest.fixture
def limited(make_assets: RecipeMaker, make_clips: Callable[..., Path], tmp_path: Path) -> Iterator[dict[str, Started]]:
    """Five runs of 10 s that would each take very much longer, all at once."""
    many = make_clips([0.1 * (1 + i % 40) for i in range(60)], folder="many")
    few = make_clips((0.3, 0.5, 2.0, 2.0, 2.0), folder="few")
    long = make_clips((600.0, 0.5), folder="long")
    stalling = {"front_end": {"name": "stalling", "stalls_from": RATE, **LOG_MEL}}
    limit = ("--time-limit", "10s")
    runs = {
        "slow network": start(tmp_path / "a", make_assets(slow(1.0), folder="w1"), many, *limit),
        "stalled workers": start(tmp_path / "b", make_assets(stalling, folder="w2"), few, *limit, "--workers", "2"),
        "ten minutes of audio": start(tmp_path / "c", make_assets(folder="w3"), long, *limit),
        "slow disk": start(tmp_path / "d", make_assets(folder="w4"), few, *limit, SLOW_FSYNC_SECONDS="1.5"),
        "endless start": start(
            tmp_path / "e", make_assets({"model": {"name": "endless", **SMALL}}, folder="w5"), few, *limit
        ),
    }
    yield runs
    stop(runs)


def test_runs_of_ten_seconds_end_before_their_limit_with_valid_files(limited: dict[str, Started]) -> None:
    """Slow networks, stalled workers, very long clips, slow disks and endless starts: never late, never invalid."""
    while [name for name, run in limited.items() if run.look()]:
        time.sleep(0.02)

    for name, run in limited.items():
        assert run.ended - run.began < 10.0, f"{name}: {run.said()}"
        assert run.process.returncode in (0, 3), f"{name}: {run.said()}"
        assert run.faults == [], name
        assert run.left_behind() == [], name
        is_answered = len(run.versions) > 1
        assert (run.process.returncode == 0) == is_answered, f"{name}: {run.said()}"


# ---------------------------------------------------------------- signals
@pytest.fixture
def interrupted(
    make_assets: RecipeMaker, make_clips: Callable[..., Path], tmp_path: Path
) -> Iterator[dict[When, Started]]:
    """Six runs that take long, each to be sent a signal at another moment."""
    assets = make_assets({**slow(0.3), "folds": 8})
    contest = make_clips([0.1 * (1 + i) for i in range(60)])
    moments = np.random.default_rng().uniform(0, 4, 4)  # anew in each run of this test: any moment must do
    kinds = [(signal.SIGTERM, moment) for moment in moments[:2]] + [(signal.SIGINT, moment) for moment in moments[2:]]
    kinds += [(signal.SIGTERM, np.inf), (signal.SIGINT, np.inf)]  # once there are answers
    runs = {kind: start(tmp_path / str(i), assets, contest) for i, kind in enumerate(kinds)}
    yield runs
    stop(runs)


def test_signals_at_any_moment_end_in_a_valid_file_and_say_so(
    interrupted: dict[When, Started],
) -> None:
    """SIGTERM and SIGINT, from the first second on: the best submission so far, status 143 or 130, no leftovers."""
    send_signals(interrupted)

    for (number, moment), run in interrupted.items():
        which = f"{number.name} {moment} s after the first file: {run.said()}"
        assert run.finish() == 128 + number, which
        assert run.faults == [], which
        assert run.versions, which
        assert run.left_behind() == [], which
        if moment == np.inf:
            assert f"{number.name}: ended early; the submission holds" in run.said(), which
            answered = int(re.search(r"the submission holds ([\d,]+) predicted", run.said())[1].replace(",", ""))
            assert answered > 0, which


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", ["_prepare", "rehearsal", "final_status"])
def test_signal_while_there_is_no_engine_ends_the_run_in_good_order(
    number: signal.Signals,
    moment: str,
    tmp_path: Path,
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before the first submission, between it and the engine, and behind it: valid, and the status is true."""
    usual = getattr(launch_module, moment)

    def and_signal(*given: object) -> object:
        signal.raise_signal(number)
        return usual(*given)

    monkeypatch.setattr(launch_module, moment, and_signal)
    contest, out = make_clips((0.3,)), tmp_path / "submission.csv"

    status = main(arguments(make_assets(), contest, out))

    assert status == (0 if moment == "final_status" else 128 + number)
    assert check(out, read_sample(contest / "sample_submission.csv")) == []


# ---------------------------------------------------------------- deaths
@pytest.fixture
def going(
    make_assets: RecipeMaker, make_clips: Callable[..., Path], tmp_path: Path
) -> Iterator[tuple[Started, Path, Path]]:
    """A run that has written some answers and has more to do."""
    assets, contest = make_assets({**slow(0.2), "folds": 2}), make_clips([0.1 * (1 + i) for i in range(12)])
    run = start(tmp_path / "run", assets, contest)
    run.until(lambda: len(run.versions) > 1)
    yield run, assets, contest
    stop({"": run})


def test_engine_that_is_killed_is_followed_by_one_that_takes_up_its_answers(
    going: tuple[Started, Path, Path], make_settings: Callable[..., RunSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL of the engine costs seconds: the answers are those of an undisturbed run, none was computed twice."""
    run, assets, contest = going
    engine = next(child for child in run.children.values() if "soundpost.launch.engine_process" in child.cmdline())

    engine.kill()

    assert run.finish() == 0, run.said()
    assert run.faults == []
    assert run.left_behind() == []
    assert "engine ended with status -9; another one goes on where it stood" in run.said()
    second = run.said().split("another one goes on")[1]
    assert sum(map(int, re.findall(r"whole: (\d+) clips done", second))) < 2 * 12, f"all done again: {second}"
    monkeypatch.setitem(MODELS, "slow", "fakes:Fake")
    settings = make_settings(assets, contest)
    assert run_module.run(settings) == 0
    np.testing.assert_allclose(table(run.out), table(Path(settings.out)), rtol=0, atol=2e-6)


@pytest.fixture
def stuck(make_assets: RecipeMaker, make_clips: Callable[..., Path], tmp_path: Path) -> Iterator[Started]:
    """A run whose first touch of CUDA never comes back."""
    options = ("--device", "auto", "--time-limit", "45s")
    run = start(tmp_path / "run", make_assets(), make_clips(), *options, STUCK_CUDA_SECONDS="1000")
    yield run
    stop({"": run})


def test_engine_whose_start_of_cuda_hangs_is_followed_by_one_on_the_cores(stuck: Started) -> None:
    """A sixth of a short limit is waited for a sign of life; every clip is answered before the limit."""
    assert stuck.finish() == 0, stuck.said()

    assert stuck.ended - stuck.began < 45.0
    assert "the engine gives no sign of life: a GPU hangs, or its driver does" in stuck.said()
    assert "another one goes on where it stood" in stuck.said()
    assert "12 of 12 clips predicted" in stuck.said()
    assert stuck.faults == []
    assert stuck.left_behind() == []


@pytest.fixture
def ranked(make_assets: RecipeMaker, make_clips: Callable[..., Path], tmp_path: Path) -> Iterator[tuple[Started, Path]]:
    """A run that has named the likeliest labels of some clips and has more to do; and its weights."""
    assets = make_assets({**slow(0.2), "folds": 2})
    run = start(tmp_path / "run", assets, make_clips([0.1 * (1 + i) for i in range(12)], columns=("label",)))
    run.until(lambda: len(run.versions) > 1)
    yield run, assets
    stop({"": run})


def test_ranked_run_whose_engine_is_killed_names_the_likeliest_labels_of_every_clip(
    ranked: tuple[Started, Path],
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Valid from the priors on, whatever dies; at the end, the order of the probabilities of the other format."""
    run, assets = ranked
    engine = next(child for child in run.children.values() if "soundpost.launch.engine_process" in child.cmdline())

    engine.kill()

    assert run.finish() == 0, run.said()
    assert run.faults == []
    assert run.left_behind() == []
    assert "another one goes on where it stood" in run.said()
    assert any(set(named(version)) == {"Tick-tock Siren Rain"} for version in run.versions), "no priors"
    monkeypatch.setitem(MODELS, "slow", "fakes:Fake")
    settings = make_settings(assets, make_clips([0.1 * (1 + i) for i in range(12)], folder="wide"))
    assert run_module.run(settings) == 0
    best = np.argsort(-table(Path(settings.out)), axis=1, kind="stable")[:, :3]
    assert named(run.out.read_bytes()) == [" ".join(LABELS[i] for i in row) for row in best]


def named(content: bytes) -> list[str]:
    """The labels of each row of a ranked submission."""
    return [row[1] for row in csv.reader(content.decode().splitlines()[1:])]


def test_supervisor_that_is_killed_leaves_no_process_and_what_it_left_is_removed_next_time(
    going: tuple[Started, Path, Path],
) -> None:
    """SIGKILL of the parent: its processes end, the file is valid, the next start cleans up."""
    run, _, _ = going
    assert len(run.children) >= 2, "engine and workers"

    run.process.kill()
    run.process.wait()

    left = run.left_behind()
    assert [name for name in left if not name.startswith("soundpost-run-")] in ([], ["submission.csv.part"]), left
    assert check(run.out, run.sample) == []
    assert len(remove_dead(run.folder / "scratch")) == 1
    assert list((run.folder / "scratch").iterdir()) == []


# ---------------------------------------------------------------- limits
def test_memory_limit_below_what_is_needed_is_refused_with_the_figure(
    make_assets: RecipeMaker, make_clips: Callable[..., Path], tmp_path: Path
) -> None:
    """Status 2, what would do, and class priors in a valid file."""
    run = start(tmp_path / "run", make_assets(), make_clips((0.3,)), "--memory-limit", "100M")

    assert run.finish() == 2, run.said()
    assert re.search(r"error: --memory-limit 100M is below the [\d,]+M that interpreter, networks", run.said())
    assert run.faults == []
    assert run.left_behind() == []


def test_memory_limit_that_was_named_is_the_same_at_each_start_and_is_kept(
    make_assets: RecipeMaker, make_clips: Callable[..., Path], tmp_path: Path
) -> None:
    """Two refusals name figures within 3 %; the smaller one as the limit is a whole run that stays below it."""
    assets, contest = make_assets(), make_clips()
    named = []
    for number in range(2):
        refused = start(tmp_path / f"refused{number}", assets, contest, "--memory-limit", "100M")
        assert refused.finish() == 2, refused.said()
        named.append(int(re.search(r"below the ([\d,]+)M that", refused.said())[1].replace(",", "")))

    run = start(tmp_path / "run", assets, contest, "--memory-limit", f"{min(named)}M")

    assert max(named) <= 1.03 * min(named)
    assert run.finish() == 0, run.said()
    assert "12 of 12 clips predicted" in run.said()
    peak, allowed = map(int, re.search(r"peak memory (\d+) MB of (\d+) MB allowed", run.said()).groups())
    assert peak <= allowed == min(named)
    assert run.faults == []


# ---------------------------------------------------------------- in this process: clips
@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes of this test may ask for what misbehaves, in processes that are spawned, too."""
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)
    for registry, entries in ((MODELS, FAKE_MODELS), (FRONT_ENDS, FAKE_FRONT_ENDS)):
        for name, place in entries.items():
            monkeypatch.setitem(registry, name, place)


def run_here(settings: RunSettings) -> tuple[int, np.ndarray]:
    """Status and table of a run in this process; the file is checked."""
    status = run_module.run(settings)
    assert check(Path(settings.out), read_sample(Path(settings.sample_submission), LABELS)) == []
    return status, table(Path(settings.out))


PRIORS = (0.1, 0.2, 0.3, 0.4)


@pytest.mark.parametrize("seconds", [(), (0.4,)], ids=["no clip", "one clip"])
def test_contest_of_none_or_one_clip_is_a_whole_run(
    seconds: tuple[float, ...],
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
) -> None:
    """Nothing to do is done with status 0."""
    status, found = run_here(make_settings(make_assets(), make_clips(seconds)))

    assert status == 0
    assert found.shape == (len(seconds), 4)
    assert not np.isclose(found, PRIORS).any()


def test_clips_of_every_kind_in_one_folder_are_answered_or_named(
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Damaged, missing, renamed, stereo, other rates and formats: each costs its own row at most, and is named."""
    contest = make_clips((0.5,))
    clips = contest / "test"
    soundfile.write(clips / "stereo.flac", np.stack([waveform(0.5, 1)] * 2, axis=1), 44100)
    soundfile.write(clips / "UPPER.WAV", waveform(0.5, 2), 8000)
    soundfile.write(clips / "vorbis.ogg", waveform(0.5, 3), RATE)
    soundfile.write(clips / "tiny.wav", waveform(0.001, 4), RATE)
    (clips / "empty.wav").write_bytes(b"")
    (clips / "text.wav").write_text("this is no audio")
    sound = (clips / "clip000.wav").read_bytes()
    (clips / "cut.wav").write_bytes(sound[: len(sound) // 2])
    (clips / "header.wav").write_bytes(sound[:44])
    (clips / "stray.wav").write_bytes(sound)
    readable = ["clip000.wav", "stereo.wav", "upper.wav", "vorbis.ogg", "tiny.wav", "cut.wav"]
    broken = ["empty.wav", "text.wav", "header.wav", "missing.wav"]
    write_sample(contest / "sample_submission.csv", readable + broken)

    status, found = run_here(make_settings(make_assets(), contest))

    said = capfd.readouterr().out
    assert status == 0
    np.testing.assert_allclose(found[len(readable) :], [PRIORS] * len(broken), atol=1e-6)
    assert not np.isclose(found[: len(readable)], PRIORS).any()
    assert "6 of 10 clips predicted, 3 unreadable, 1 not in the folder, 0 not reached" in said
    for name in (*broken, "cut.wav"):
        assert re.search(rf"(class priors|mended): {name}", said), f"{name} is not named: {said}"
    assert "audio files in no row 1" in said


@pytest.mark.parametrize("has_ffmpeg", [True, False])
def test_clips_of_the_second_reader_and_silent_ones_are_named(
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    has_ffmpeg: bool,
) -> None:
    """A phone's recording is answered where there is an ffmpeg; where there is none the log says what would help."""
    program = imageio_ffmpeg.get_ffmpeg_exe()
    monkeypatch.setenv("SOUNDPOST_FFMPEG", program if has_ffmpeg else "")
    contest = make_clips((0.5,))
    clips = contest / "test"
    soundfile.write(clips / "silent.wav", np.zeros(RATE), RATE)
    command = [program, "-v", "error", "-i", clips / "clip000.wav", "-c:a", "aac", clips / "phone.m4a"]
    subprocess.run(command, check=True)
    write_sample(contest / "sample_submission.csv", ["clip000.wav", "silent.wav", "phone.wav"])

    status, found = run_here(make_settings(make_assets(), contest))

    said = capfd.readouterr().out
    assert status == 0
    assert np.allclose(found[2], PRIORS, atol=1e-6) != has_ffmpeg
    assert "silent, 1 in all: silent.wav: all 16,000 samples are 0" in said
    if has_ffmpeg:
        assert "second reader, 1 in all: phone.m4a: read by ffmpeg (soundfile: Format not recognised" in said
    else:
        assert "phone.m4a: " in said
        assert "there is no ffmpeg here, which reads more kinds of files" in said


@pytest.mark.parametrize("kind", ["absent", "a file"])
def test_folder_that_cannot_be_read_gives_priors_and_says_so(
    kind: str,
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """No clip can be had: every row holds the priors, and each is counted as missing."""
    contest = make_clips((0.3, 0.4))
    (contest / "test").rename(contest / "elsewhere")
    if kind == "a file":
        (contest / "test").write_text("no folder")

    status, found = run_here(make_settings(make_assets(), contest))

    assert status == 0
    np.testing.assert_allclose(found, [PRIORS] * 2, atol=1e-6)
    assert "2 not in the folder" in capfd.readouterr().out


def test_clip_of_ten_minutes_is_answered_beside_short_ones(
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A very long clip is shown in windows, and its mates' answers are what they are without it."""
    assets, long, short = make_assets(), make_clips((600.0, 0.5, 0.9), folder="a"), make_clips((0.1, 0.5, 0.9))

    status, found = run_here(make_settings(assets, long))
    _, without = run_here(make_settings(assets, short))

    assert status == 0
    assert "3 of 3 clips predicted" in capfd.readouterr().out
    np.testing.assert_allclose(found[1:], without[1:], rtol=0, atol=2e-6)


def test_columns_in_another_order_get_the_same_answers_by_name(
    make_assets: RecipeMaker, make_clips: Callable[..., Path], make_settings: Callable[..., RunSettings]
) -> None:
    """Columns are filled by name; one that nobody knows gets a constant."""
    assets, contest = make_assets(), make_clips((0.3, 0.8))
    _, expected = run_here(make_settings(assets, contest))
    columns = ("Yell", *reversed(LABELS))
    write_sample(contest / "sample_submission.csv", ["clip001.wav", "clip000.wav"], columns)

    _, found = run_here(make_settings(assets, contest))

    np.testing.assert_allclose(found[::-1, :0:-1], expected, rtol=0, atol=2e-6)
    np.testing.assert_allclose(found[:, 0], 1 / 5)


# ---------------------------------------------------------------- in this process: workers
@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize("is_healed", [True, False], ids=["once", "always"])
def test_clip_that_kills_its_worker_costs_at_most_its_own_row(
    is_healed: bool,
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A worker that dies is replaced and its clip tried once more; a clip that kills again is given up by name."""
    contest = make_clips((0.3, 0.5, 0.4, 0.7))
    mark = str(tmp_path / "mark") if is_healed else ""
    deadly = {"front_end": {"name": "deadly", "samples": RATE // 2, "mark": mark, **LOG_MEL}}
    _, expected = run_here(make_settings(make_assets(folder="sound"), contest))
    capfd.readouterr()

    status, found = run_here(make_settings(make_assets(deadly), contest))

    said = capfd.readouterr().out
    assert status == 0
    if not is_healed:
        expected[1] = PRIORS
        assert re.search(r"class priors: clip001\.wav: worker \d+ ended with status -9", said), said
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
    assert f"workers died {1 if is_healed else 2}" in said


@pytest.mark.usefixtures("fakes")
def test_clip_that_hangs_its_worker_is_given_up_and_named(
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A worker that is too long at one clip is replaced; the other clips have their answers."""
    monkeypatch.setattr(extract_stage, "STALL_SECONDS", 1.5)
    stalling = {"front_end": {"name": "stalling", "stalls_from": 2 * RATE, **LOG_MEL}}

    status, found = run_here(make_settings(make_assets(stalling), make_clips((0.3, 2.0, 0.5)), workers=1))

    said = capfd.readouterr().out
    assert status == 0
    np.testing.assert_allclose(found[1], PRIORS, atol=1e-6)
    assert not np.isclose(found[[0, 2]], PRIORS).any()
    assert "clip001.wav: not read within" in said
    assert "workers stuck 1" in said


def test_workers_that_wait_for_room_let_the_lanes_make_it(
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With one core, no disk and room for one spectrogram, computing and predicting take turns to the end."""
    monkeypatch.setattr(provision, "cores", lambda: 1)
    assets = make_assets({"folds": 1})
    contest = make_clips([0.9] * 6)
    settings = make_settings(assets, contest, cache_memory_bytes=2**12, disk_limit_bytes=1, workers=2)

    status, found = run_here(settings)

    assert status == 0
    assert not np.isclose(found, PRIORS).any()


def test_clip_that_fits_no_tier_is_named_and_the_others_are_answered(
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Clips larger than the whole cache cost their own rows, and no worker."""
    contest = make_clips([0.3, *[2.0] * 4])
    settings = make_settings(make_assets(), contest, cache_memory_bytes=2**12, disk_limit_bytes=1, workers=1)

    status, found = run_here(settings)

    said = capfd.readouterr().out
    assert status == 0
    np.testing.assert_allclose(found[1:], [PRIORS] * 4, atol=1e-6)
    assert not np.isclose(found[0], PRIORS).any()
    assert said.count("fits no tier") == 4
    assert "workers died" not in said


@pytest.mark.parametrize("injury", ["deleted", "cut", "flipped"])
def test_spilled_spectrogram_that_is_damaged_is_computed_again(
    injury: str,
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Between two passes a spill file is damaged: nothing is lost, and it is counted. Clips of several windows."""
    tiles = {"views": [{"name": "tiles", "frames": 40, "step": 20, "derivatives": False, "divisor": 1.0}]}
    assets, contest = make_assets(tiles), make_clips((0.3, 2.0, 1.5, 2.0, 0.9))
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
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
    assert re.search(r"damaged spectrograms recomputed [2-4]", capfd.readouterr().out)


def test_clip_that_is_lost_between_passes_keeps_the_answers_it_has(
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A file that vanishes after the first pass costs the later members, not the row."""
    assets, contest = make_assets({"folds": 2}), make_clips((0.3, 0.6))
    first = run_here(make_settings(assets, contest, members=("tiny0/1",)))[1]
    settings = make_settings(assets, contest)
    run_pass = run_module.Run.run_pass

    def losing(self: run_module.Run, work: object, done: list[object]) -> bool:
        if len(done) > 1:
            (contest / "test" / "clip001.wav").unlink(missing_ok=True)
            self.session.cache.drop(self.session.models.recipes[0].digest())
        return run_pass(self, work, done)

    monkeypatch.setattr(run_module.Run, "run_pass", losing)
    status, found = run_here(settings)

    assert status == 0
    np.testing.assert_allclose(found[1], first[1], rtol=0, atol=2e-6)
    assert np.abs(found[0] - first[0]).max() > 1e-3
    assert "its row holds what the earlier ones answered: clip001.wav" in capfd.readouterr().out


# ---------------------------------------------------------------- in this process: files
def arguments(assets: Path, contest: Path, out: Path) -> list[str]:
    sample = contest / "sample_submission.csv"
    options = {"--assets": assets, "--test-dir": contest / "test", "--sample-submission": sample, "--out": out}
    return [str(word) for pair in options.items() for word in pair]


@pytest.mark.parametrize("columns", [("Violin", "Cello"), ("labels",), ("label", "usage")])
def test_sample_submission_of_another_contest_is_refused_with_both_lists(
    columns: tuple[str, ...],
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No label is a column: status 2 before anything starts, the heads of both lists, and what a sample can be."""
    contest = make_clips((0.3,), columns=columns)

    assert main(arguments(make_assets(), contest, tmp_path / "submission.csv")) == 2

    said = capsys.readouterr().out
    assert "weights know Bark, Rain, Siren, Tick-tock" in said
    assert f"columns are {', '.join(columns)}" in said
    assert "a column for each class, or 'label' alone" in said
    assert not (tmp_path / "submission.csv").exists()


def test_rows_of_files_that_are_elsewhere_get_priors(
    make_assets: RecipeMaker, make_clips: Callable[..., Path], make_settings: Callable[..., RunSettings]
) -> None:
    """A sample submission that names other files than the folder holds is filled and said to be missing."""
    contest = make_clips((0.3, 0.4))
    write_sample(contest / "sample_submission.csv", ["x.wav", "clip001.wav", "y.wav"])

    status, found = run_here(make_settings(make_assets(), contest))

    assert status == 0
    np.testing.assert_allclose(found[[0, 2]], [PRIORS] * 2, atol=1e-6)
    assert not np.isclose(found[1], PRIORS).any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--time-limit", "soon"], "--time-limit 'soon' is not understood"),
        (["--workers", "-1"], "--workers -1 is negative"),
        (["--out", "/absent-folder/submission.csv"], "no folder /absent-folder"),
        (["--assets", "/absent-folder"], "Name the folder of a submission.toml"),
        (["--sample-submission", "/absent-folder/sample.csv"], "cannot be read"),
    ],
)
def test_option_that_cannot_be_used_is_refused_with_status_2(
    options: list[str],
    words: str,
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What was written, and what to write instead; no traceback."""
    given = [*arguments(make_assets(), make_clips((0.3,)), tmp_path / "submission.csv"), *options]

    assert main(given) == 2

    assert words in capsys.readouterr().out


def test_output_folder_that_is_read_only_is_refused(
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Where nothing can be written there is nothing to run for; the message names the file."""

    def read_only(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(submission.os, "replace", read_only)

    assert main(arguments(make_assets(), make_clips((0.3,)), tmp_path / "submission.csv")) == 2

    assert "submission.csv: cannot be written (Read-only file system). Name a file that can" in capsys.readouterr().out


@pytest.mark.parametrize("is_freed", [False, True], ids=["for good", "for a while"])
def test_output_folder_that_fills_up_keeps_the_last_whole_file(
    is_freed: bool,
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A disk that is full at the end is told by status 1, and one that has room again by then costs nothing."""
    settings = make_settings(make_assets({"folds": 2}), make_clips((0.3, 0.6)))
    sample = read_sample(Path(settings.sample_submission))
    submission.write(Path(settings.out), sample, [PRIORS] * 2)
    write, calls = submission.write, []

    def full(*rest: object) -> None:
        calls.append(rest)
        if not is_freed or len(calls) == 1:
            raise OSError(28, "No space left on device")
        write(*rest)

    monkeypatch.setattr(submission, "write", full)
    status, found = run_here(settings)

    said = capfd.readouterr().out
    assert np.isclose(found, PRIORS).all() != is_freed
    assert status == (0 if is_freed else 1)
    assert ("last write failed (OSError: [Errno 28] No space left on device)" in said) != is_freed
