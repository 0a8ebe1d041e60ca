"""Every kind of damaged and unusual file of the shared maker, by both engines: nothing lost, remarks right."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from archive_runs import parts_of, tagging

from soundpost.ensemble.weights_folder import default_root

SHARED = Path(__file__).resolve().parents[3] / "shared"
WITHOUT_SOUND = {"zero_length", "header_only", "not_audio"}


@pytest.mark.requires_shared
@pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="the shared data folder is not beside the checkout")
def test_odd_files_keep_their_rows_and_their_remarks(tmp_path: Path) -> None:
    """Seventeen kinds: three hold no sound and say why; what is silent says so; all others have probabilities."""
    clips = SHARED / "data" / "esc10"
    command = [SHARED / "data" / "make_fat_shaped.py", "--clips", clips / "clips", "--classes", clips / "clips.csv"]
    options = ["--folds", "1,2,3,4", "--out", tmp_path / "made", "--n", "3", "--odd", "all"]
    subprocess.run([sys.executable, *command, *options], check=True, capture_output=True)
    odd = pd.read_csv(tmp_path / "made" / "odd_files.csv").set_index("fname")["kind"]
    tag = tagging(default_root(), tmp_path)

    found = tag(tmp_path / "made" / "test", "--members", "compact/1", "--views", 1, "--part", 7)

    assert sorted(found.index) == sorted(path.name for path in (tmp_path / "made" / "test").iterdir())
    assert len(parts_of(tmp_path / "TAGS.parquet")) == -(-len(found) // 7)
    kinds = odd.reindex(found.index)
    assert set(kinds[found["unreadable"].notna()]) == WITHOUT_SOUND
    assert found["unreadable"].notna().tolist() == found["Rain"].isna().tolist()
    assert set(kinds[found["silent"].notna()]) == {"silence", "one_sample"}
    assert set(kinds[found["mended"].notna()]) == {"truncated", "nan_samples", "unknown_size"}
    assert found["incomplete"].isna().all()
