"""How many seconds of audio a dry run measures and expects, for clips and for stretches of recordings."""

import csv
from pathlib import Path

import pytest
import soundfile
from conftest import LABELS, RATE, ClipMaker, RecipeMaker, SettingsMaker, waveform

from soundpost.engine.provision import provisioned
from soundpost.forecast.lengths import lengths, mean_seconds, rows_of_a_file, spread


def test_clips_are_as_long_as_their_headers_say(
    make_assets: RecipeMaker, make_clips: ClipMaker, make_settings: SettingsMaker
) -> None:
    """A clip that says nothing has no length, and counts for no mean; every file is one row."""
    contest = make_clips([0.5, 1.5, 1.0])
    (contest / "test" / "clip002.wav").write_bytes(b"")
    with provisioned(make_settings(make_assets({"folds": 1}), contest)) as session:
        assert lengths(session.contest) == {"clip000.wav": 0.5, "clip001.wav": 1.5, "clip002.wav": 0.0}
        assert mean_seconds(session.contest) == 1.0
        assert rows_of_a_file(session.contest) == 1.0


def test_recording_of_several_stretches_counts_each_of_its_seconds_once(
    make_assets: RecipeMaker, make_settings: SettingsMaker, tmp_path: Path
) -> None:
    """130 windows of a second are two stretches of 120 and 10, not twice 130 seconds."""
    (tmp_path / "contest" / "test").mkdir(parents=True)
    soundfile.write(tmp_path / "contest" / "test" / "long.wav", waveform(130.0, 0), RATE)
    soundfile.write(tmp_path / "contest" / "test" / "short.wav", waveform(20.0, 1), RATE)
    with (tmp_path / "contest" / "sample_submission.csv").open("w", newline="") as file:
        rows = [[f"stub_{end}", *[0] * len(LABELS)] for end in (1, 2)]
        csv.writer(file).writerows([["row_id", *LABELS], *rows])
    with provisioned(make_settings(make_assets({"folds": 1}), tmp_path / "contest"), choose=spread) as session:
        assert sorted(lengths(session.contest).values()) == [10.0, 20.0, 120.0]
        assert mean_seconds(session.contest) == pytest.approx(75.0)
        assert rows_of_a_file(session.contest) == pytest.approx(75.0)
