"""Runs whose recipes need a package or a rate: what is said at the start, and who answers all the same."""

from collections.abc import Callable
from pathlib import Path

import pytest

from soundpost.contest.submission import check, read_sample
from soundpost.ensemble.weights_folder import find_assets
from soundpost.errors import SettingsError
from soundpost.launch.main import main


def test_recipe_whose_package_is_not_installed_is_named_at_the_start_and_the_others_answer(
    make_assets: Callable[..., Path], make_clips: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A missing package costs its members, never the file."""
    absent = {"name": "own", "module": "absent_package.nets", "attribute": "Net", "packages": ["absent_package"]}
    assets, contest = make_assets({"folds": 1}, {"folds": 1, "model": absent}), make_clips((0.4, 1.0))
    out = tmp_path / "submission.csv"
    given = ["--test-dir", str(contest / "test"), "--sample-submission", str(contest / "sample_submission.csv")]

    main([*given, "--out", str(out), "--assets", str(assets), "--device", "cpu", "--progress", "lines"])

    printed = capfd.readouterr().out
    assert "warning: recipe tiny1 needs absent_package, not installed here: its members will not answer" in printed
    assert printed.index("warning: recipe tiny1") < printed.index("tiny1/1")
    assert check(out, read_sample(contest / "sample_submission.csv", ("Bark",))) == []
    assert len({line.partition(",")[2] for line in out.read_text().splitlines()[1:]}) == 2


@pytest.mark.parametrize("audio", [{"sample_rate": 44100}, {}], ids=["another rate", "no rate"])
def test_recipe_whose_rates_differ_is_refused(make_assets: Callable[..., Path], audio: dict[str, int]) -> None:
    """44.1 kHz through the bands of 16 kHz would be answered without a word."""
    assets = make_assets({"audio": audio})

    with pytest.raises(SettingsError, match=r"\[audio\] gives 44100 Hz and \[front_end\] takes it for 16000 Hz"):
        find_assets(assets)
