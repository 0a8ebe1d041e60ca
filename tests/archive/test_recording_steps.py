"""[[after]] over an archive: steps of a recording are applied as in a contest, those of all rows are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import tomli_w
from archive_runs import Tag, tagging
from conftest import LABELS, RATE, ClipMaker, RecipeMaker, SettingsMaker, waveform

from soundpost.after.apply import apply, steps_of
from soundpost.after.table import Table
from soundpost.archive.recording_steps import WHOLE_TABLE
from soundpost.engine import run as engine
from soundpost.errors import SettingsError

DELTA = {"name": "delta", "alpha": 0.3}
RANKING: dict[str, dict[str, Any]] = {  # steps that compare all rows, with what they must be told
    "power_below_rank": {},
    "rank_blend": {"weights": {"tiny0": 1.0}},
    "rank_gate": {"gate": "tiny0"},
    "taxon_rank": {"weights": {"tiny0": 1.0}, "anchor": "tiny0", "groups": {}},
}
WARM = {"name": "temperature", "temperatures": 1.7}


@pytest.fixture
def weights(make_assets: RecipeMaker) -> Path:
    """One small member; what comes behind its answers is written by asking()."""
    return make_assets({"folds": 1})


@pytest.fixture
def tag(weights: Path, tmp_path: Path) -> Tag:
    """The command with these weights."""
    return tagging(weights, tmp_path)


def asking(weights: Path, *steps: dict[str, Any]) -> None:
    """Let the submission ask for steps."""
    told = {"format": 1, "blend": "mean", "recipes": ["tiny0"], "after": list(steps)}
    (weights / "submission.toml").write_text(tomli_w.dumps(told))


def test_steps_on_single_rows_are_those_of_the_kernel(
    make_clips: ClipMaker, make_settings: SettingsMaker, weights: Path, tag: Tag, tmp_path: Path
) -> None:
    """A contest of clips: the same numbers in submission.csv, where a step of recordings changes nothing."""
    asking(weights, WARM, DELTA)
    contest = make_clips([0.3 + 0.17 * i for i in range(6)])
    assert engine.run(make_settings(weights, contest)) == 0
    expected = pd.read_csv(tmp_path / "submission.csv", index_col="fname")

    found = tag(contest / "test", "--part", 4, out="steps.parquet")
    plain = tag(contest / "test", "--part", 4, "--no-after", out="plain.parquet")

    np.testing.assert_allclose(found[list(LABELS)], expected, rtol=0, atol=1e-7)
    assert abs(found[list(LABELS)] - plain[list(LABELS)]).to_numpy().max() > 0.01


def test_windows_of_a_clip_are_the_rows_of_its_recording(weights: Path, tag: Tag, tmp_path: Path) -> None:
    """Neighbours within a clip alone, whatever part it is in; a row that could not be read has none and is none."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for number, seconds in enumerate((2.5, 0.7, 1.9)):
        soundfile.write(folder / f"{number}.wav", waveform(seconds, number), RATE)
    (folder / "noise.wav").write_bytes(b"no sound")
    asking(weights, WARM, DELTA)

    found = tag(folder, "--window", 0.5, "--part", 2, out="steps.parquet")
    plain = tag(folder, "--window", 0.5, "--part", 2, "--no-after", out="plain.parquet")

    heard = plain["unreadable"].isna()
    assert list(found.index) == list(plain.index)
    assert found["Rain"].notna().tolist() == heard.tolist()
    paths = plain["path"][heard].to_numpy()
    recordings = tuple(np.flatnonzero(paths == path) for path in dict.fromkeys(paths))
    assert [len(rows) for rows in recordings] == [5, 1, 3]
    table = Table(plain[list(LABELS)][heard].to_numpy(), recordings, ("a", "b", "c"), LABELS)
    expected = apply(steps_of([WARM, DELTA]), table)
    np.testing.assert_allclose(found[list(LABELS)][heard], expected, rtol=0, atol=1e-6)


def test_priors_by_file_name_read_the_file_name_alone(weights: Path, tag: Tag, tmp_path: Path) -> None:
    """The hour stands in the name, whatever folders say."""
    folder = tmp_path / "x_20250101_230000"
    folder.mkdir()
    soundfile.write(folder / "night_20250101_010000.wav", waveform(1.0, 1), RATE)
    step = {"name": "diel_prior", "ratios": {"loud": {"1": 3.0}}, "taxa": {"Rain": "loud"}}
    asking(weights, step)

    found = tag(folder, "--window", 0.5, out="steps.parquet")["Rain"]
    plain = tag(folder, "--window", 0.5, "--no-after", out="plain.parquet")["Rain"]

    odds = plain / (1 - plain) * 3
    np.testing.assert_allclose(found, odds / (1 + odds), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", WHOLE_TABLE)
def test_step_that_ranks_all_rows_is_refused_by_name(name: str, weights: Path, tag: Tag, make_clips: ClipMaker) -> None:
    """Its answers would depend on what else lies in the archive; --no-after goes without."""
    clips = make_clips([0.3]) / "test"
    asking(weights, DELTA, {"name": name, **RANKING[name]})

    with pytest.raises(SettingsError, match=rf"\[\[after\]\] {name} compares rows of all recordings.*--no-after"):
        tag(clips)
    assert len(tag(clips, "--no-after")) == 1


def test_settings_that_do_not_fit_are_refused_before_a_clip_is_read(
    weights: Path, tag: Tag, make_clips: ClipMaker, tmp_path: Path
) -> None:
    """A table of priors for other columns."""
    clips = make_clips([0.3]) / "test"
    asking(weights, {"name": "threshold_stretch", "thresholds": [0.5, 0.5]})

    with pytest.raises(SettingsError, match="has 2 numbers for 4 columns"):
        tag(clips)
    assert not (tmp_path / "TAGS.parquet").exists()


def test_archive_with_steps_is_not_gone_on_with_without_them(weights: Path, tag: Tag, make_clips: ClipMaker) -> None:
    """One archive has one meaning of its numbers."""
    clips = make_clips([0.3] * 3) / "test"
    asking(weights, WARM)
    tag(clips, "--part", 1)

    with pytest.raises(SettingsError, match="belongs to other clips, weights or settings"):
        tag(clips, "--part", 1, "--no-after", "--resume")
