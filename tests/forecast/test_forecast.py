"""What a dry run foretells: arithmetic over made-up rates, machines by name, and a small dry run whole."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from soundpost.errors import SettingsError
from soundpost.forecast.forecast import Capacity, Forecast, FrontEndCost, Load, PassCost, foretell
from soundpost.forecast.hardware import MACHINES, PEAKS, known_device, named, slowdown

FRONT_ENDS = {"mel": FrontEndCost(decode_seconds=0.01, feature_seconds=0.03, n_bytes=1000.0)}
PASSES = (PassCost("a/1 whole", "mel", 0.1), PassCost("a/2 whole", "mel", 0.1), PassCost("a/3 whole", "mel", 0.1))
CPU = Capacity(cores=2, lanes=2, on_gpu=False, resident_bytes=500, cache_bytes=10**9, disk_bytes=10**9)
GPU = Capacity(cores=4, lanes=2, on_gpu=True, resident_bytes=500, cache_bytes=10**9, disk_bytes=10**9)
LOAD = Load(clips=100, audio_seconds=1000.0, limit_seconds=400.0, start_seconds=5.0, end_seconds=1.0, overhead=1.0)


def _foretell(
    capacity: Capacity = CPU, passes: tuple[PassCost, ...] = PASSES, load: Load = LOAD, **loads: float
) -> Forecast:
    return foretell(passes, FRONT_ENDS, capacity, replace(load, **loads))


def test_forecast_without_gpu_cores_are_shared_by_everything() -> None:
    """Decoding, features and forward passes add up over the cores; spectrograms are computed once."""
    steps = _foretell().steps

    assert [pytest.approx(step.seconds) for step in steps] == [70.0, 50.0, 50.0]
    assert [pytest.approx(step.ends) for step in steps] == [75.0, 125.0, 175.0]


def test_forecast_with_gpu_the_slower_side_decides() -> None:
    """Cores work beside the devices: the first pass waits for whichever takes longer."""
    dear = {"mel": FrontEndCost(0.1, 0.3, 1000.0)}

    by_devices = _foretell(GPU).steps[0].seconds
    by_cores = foretell(PASSES, dear, GPU, LOAD).steps[0].seconds

    assert (pytest.approx(by_devices), pytest.approx(by_cores)) == (50.0, 100.0)


def test_forecast_stages_add_up_what_each_costs() -> None:
    """Seconds per stage are those of cores and lanes, over all passes."""
    stages = _foretell().stages

    expected = {"start": 5.0, "decode": 10.0, "features": 30.0, "forward": 300.0, "end": 1.0}
    assert expected == {stage: pytest.approx(seconds) for stage, seconds in stages.items()}


def test_forecast_verdict_fits_when_the_last_pass_ends_in_time() -> None:
    """Everything in time is said in one line with its number of passes."""
    forecast = _foretell()

    assert forecast.verdict == "fits: 3 passes over 100 clips end at 176 s of 400 s"
    assert forecast.lines(400.0)[-1] == f"verdict: {forecast.verdict}"


def test_forecast_verdict_names_the_passes_that_are_too_late() -> None:
    """A limit between two passes costs those behind it, by name."""
    verdict = _foretell(limit_seconds=130.0).verdict

    assert verdict == "fits without passes a/3 whole: 2 passes of 3 over 100 clips end at 126 s of 130 s"


def test_forecast_verdict_many_late_passes_are_counted() -> None:
    """A verdict stays one readable line however many passes the plan has."""
    passes = tuple(PassCost(f"a/{i} whole", "mel", 0.1) for i in range(9))

    assert (
        "a/1 whole, a/2 whole, a/3 whole and 5 more: 1 pass of 9" in _foretell(passes=passes, limit_seconds=80).verdict
    )


def test_forecast_verdict_does_not_fit_says_how_far_the_first_pass_comes() -> None:
    """A first pass that is cut leaves clips without an answer, and their share is said."""
    verdict = _foretell(limit_seconds=41.0).verdict

    assert (
        verdict
        == "does not fit: the first pass alone would end at 75 s of 41 s; about 50% of 100 clips would get an answer"
    )


@pytest.mark.parametrize(("limit", "fits"), [(176.0, True), (175.9, False)])
def test_forecast_last_write_must_fit_too(limit: float, fits: bool) -> None:
    """A pass is in time only when its answers are on disk in time."""
    assert _foretell(limit_seconds=limit).steps[-1].fits == fits


def test_forecast_reserve_of_a_run_is_kept_free() -> None:
    """A run stops its passes some seconds before the limit, so a pass that ends later than that is cut."""
    assert _foretell(limit_seconds=185.0, reserve_seconds=10.0).steps[-1].fits
    assert not _foretell(limit_seconds=184.0, reserve_seconds=10.0).steps[-1].fits
    assert _foretell(limit_seconds=184.0, reserve_seconds=10.0).steps[-2].fits


def test_forecast_overhead_stretches_passes_and_not_the_start() -> None:
    """What was lost to waiting here is expected there, too."""
    assert _foretell(overhead=2.0).steps[-1].ends == pytest.approx(5 + 2 * 170)


def test_forecast_spectrograms_fill_memory_then_disk() -> None:
    """Peak memory is bounded by the cache, and what is more goes to disk."""
    forecast = _foretell(replace(CPU, cache_bytes=600_000, disk_bytes=10**6))

    assert (forecast.memory_bytes, forecast.disk_bytes, forecast.recomputed) == (600_500, 400_000, 0.0)


def test_forecast_spectrograms_that_fit_nowhere_cost_every_later_pass() -> None:
    """Half the room means half the spectrograms are computed again."""
    forecast = _foretell(replace(CPU, cache_bytes=300_000, disk_bytes=200_000))

    assert forecast.recomputed == pytest.approx(0.5)
    assert [pytest.approx(step.seconds) for step in forecast.steps] == [70.0, 60.0, 60.0]
    assert any("50% of the spectrograms fit nowhere" in line for line in forecast.lines(400.0))


def test_named_machine_unknown_name_lists_the_known_ones() -> None:
    """A typing error behind --as is answered with what there is."""
    with pytest.raises(SettingsError, match=r"--as t5: not known; known: cpu, l4, p100, t4, t4x1"):
        named("t5")


def test_named_machines_have_published_peaks() -> None:
    """Every machine's device stands in the table of peaks."""
    assert {machine.device for machine in MACHINES.values()} <= set(PEAKS)


def test_known_device_reads_the_names_that_drivers_give() -> None:
    """A device is known by a whole word of its name, so that an L40 is no L4."""
    names = ("Tesla T4", "NVIDIA H200", "NVIDIA A100-SXM4-40GB", "NVIDIA L40S", "Tesla P100-PCIE-16GB")

    assert [known_device(name) for name in names] == ["t4", "h200", "a100", "", "p100"]


def test_slowdown_is_the_worse_of_arithmetic_and_bandwidth() -> None:
    """A device that computes faster but reads slower is not taken for faster."""
    assert slowdown("p100", "l4") == pytest.approx(732 / 300)
    assert slowdown("t4", "t4") == 1.0
    assert slowdown("h200", "t4") > 1 > slowdown("cpu", "t4")


def _dry_run(assets: Path, contest: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir()
    paths = ("--assets", str(assets), "--test-dir", str(contest / "test"))
    command = [
        sys.executable,
        "-m",
        "soundpost.launch.main",
        *paths,
        "--device",
        "cpu",
        "--progress",
        "lines",
        "--dry-run",
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src"),
        "TMPDIR": str(folder),
    }
    return subprocess.run(
        [*command, *options], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_dry_run_ends_in_one_verdict_and_leaves_nothing(
    make_assets: Callable[..., Path], make_clips: Callable[..., Path], tmp_path: Path
) -> None:
    """Two recipes, six passes: each is foretold for the set that was named, and no submission is written."""
    contest = make_clips()
    low = {"name": "log_mel", "sample_rate": 8000, "n_fft": 512, "hop_length": 256, "n_mels": 16}
    assets = make_assets({"views": [{"name": "whole"}]}, {"audio": {"sample_rate": 8000}, "front_end": low})

    result = _dry_run(
        assets, contest, tmp_path / "here", "--expect-clips", "3361", "--expect-seconds", "9.2", "--as", "t4"
    )

    assert result.returncode == 0, result.stdout + result.stderr
    assert "expected: 3,361 clips of 9.2 s" in result.stdout
    assert "ESTIMATE for t4" in result.stdout
    assert result.stdout.count("verdict: ") == 1
    assert all(f"tiny{i}/{fold} whole" in result.stdout for i in (0, 1) for fold in (1, 2, 3))
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.parametrize("columns", [("Bark", "Rain"), ("label",)], ids=["wide", "ranked"])
def test_dry_run_does_not_touch_an_existing_submission(
    columns: tuple[str, ...], make_assets: Callable[..., Path], make_clips: Callable[..., Path], tmp_path: Path
) -> None:
    """What an earlier run wrote stands; three times the folder is expected when nothing else is said."""
    out, sample = tmp_path / "submission.csv", tmp_path / "contest" / "sample_submission.csv"
    out.write_text("old")
    given = ("--out", str(out), "--sample-submission", str(sample))

    result = _dry_run(make_assets(), make_clips(columns=columns), tmp_path / "here", *given)

    assert "expected: 36 clips of 1.0 s" in result.stdout, result.stdout + result.stderr
    assert out.read_text() == "old"


def test_dry_run_without_readable_clips_says_what_to_give(
    make_assets: Callable[..., Path], make_clips: Callable[..., Path], tmp_path: Path
) -> None:
    """Nothing can be foretold from nothing, and that is no traceback."""
    contest = make_clips((0.5,))
    (contest / "test" / "clip000.wav").write_bytes(b"RIFF")

    result = _dry_run(make_assets(), contest, tmp_path / "here")

    assert result.returncode == 2
    assert "none was predicted. Give a folder with some clips" in result.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [(("--as", "t5"), "--as t5: not known"), (("--expect-clips", "-1"), "--expect-clips -1 is negative")],
)
def test_dry_run_wrong_options_are_refused(
    make_assets: Callable[..., Path],
    make_clips: Callable[..., Path],
    tmp_path: Path,
    options: tuple[str, str],
    words: str,
) -> None:
    """A wrong expectation is said at once."""
    result = _dry_run(make_assets(), make_clips((0.5,)), tmp_path / "here", *options)

    assert result.returncode == 2
    assert words in result.stdout
