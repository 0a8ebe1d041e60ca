"""Every kind of damaged and unusual file of the shared maker, by both engines: nothing lost, remarks right."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import ray_runs
from archive_runs import Tag, parts_of, tagging

from soundpost.ensemble.weights_folder import default_root

SHARED = Path(__file__).resolve().parents[3] / "shared"
WITHOUT_SOUND = {"zero_length", "header_only", "not_audio"}
OPTIONS = ("--members", "compact/1", "--views", 1, "--part", 7)
pytestmark = [
    pytest.mark.requires_shared,
    pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="the shared data folder is not beside the checkout"),
]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Three usual clips and one of every odd kind."""
    clips = SHARED / "data" / "esc10"
    command = [SHARED / "data" / "make_fat_shaped.py", "--clips", clips / "clips", "--classes", clips / "clips.csv"]
    options = ["--folds", "1,2,3,4", "--out", tmp_path / "made", "--n", "3", "--odd", "all"]
    subprocess.run([sys.executable, *command, *options], check=True, capture_output=True)
    return tmp_path / "made"


@pytest.fixture
def tag(tmp_path: Path) -> Tag:
    """The command with the weights that come with Soundpost."""
    return tagging(default_root(), tmp_path)


def assert_right(made: Path, found: pd.DataFrame) -> None:
    """Seventeen kinds: three hold no sound and say why; what is silent says so; all others have probabilities."""
    odd = pd.read_csv(made / "odd_files.csv").set_index("fname")["kind"]
    assert sorted(found.index) == sorted(path.name for path in (made / "test").iterdir())
    kinds = odd.reindex(found.index)
    assert set(kinds[found["unreadable"].notna()]) == WITHOUT_SOUND
    assert found["unreadable"].notna().tolist() == found["Rain"].isna().tolist()
    assert set(kinds[found["silent"].notna()]) == {"silence", "one_sample"}
    assert set(kinds[found["mended"].notna()]) == {"truncated", "nan_samples", "unknown_size"}
    assert found["incomplete"].isna().all()


def test_odd_files_keep_their_rows_and_their_remarks(made: Path, tag: Tag, tmp_path: Path) -> None:
    """On this machine."""
    found = tag(made / "test", *OPTIONS)

    assert_right(made, found)
    assert len(parts_of(tmp_path / "TAGS.parquet")) == -(-len(found) // 7)


class TestRay:
    """The same by Ray, started for the call alone."""

    pytestmark = ray_runs.MARKS

    def test_odd_files_have_the_same_rows_and_remarks(self, made: Path, tag: Tag, tmp_path: Path) -> None:
        """Every sentence is the default engine's, every number within 1e-6."""
        expected = tag(made / "test", *OPTIONS, out="here.parquet")

        found = tag(made / "test", *OPTIONS, "--engine", "ray", out="ray.parquet")

        assert_right(made, found)
        ray_runs.assert_equal(expected, found, [name for name in found if found[name].dtype == "float32"])
