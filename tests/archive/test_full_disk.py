"""An output disk that is full, by both engines: whole parts stay, a sentence says so, and --resume ends the rest."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet
import pytest
import ray_runs
from archive_runs import parts_of, read, tagging
from conftest import ClipMaker, RecipeMaker, requires_root

from soundpost.archive.command import main
from soundpost.exit_status import refusing

PARTS = 15
pytestmark = requires_root


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for a few parts."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("this machine mounts no tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("engine", ["here", pytest.param("ray", marks=ray_runs.MARKS)])
def test_full_disk_keeps_whole_parts_and_resume_ends_the_rest(
    engine: str, disk: Path, make_clips: ClipMaker, make_assets: RecipeMaker, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A real ENOSPC: status 2 and one line; with room again nothing is lost and nothing comes twice."""
    weights = make_assets({"folds": 2})
    clips = make_clips([0.3 + 0.1 * (i % 5) for i in range(2 * PARTS)]) / "test"
    whole = tagging(weights, tmp_path)(clips, "--part", 2, "--embeddings", out="whole.parquet")
    out = disk / "TAGS.parquet"
    given = [str(clips), "--out", str(out), "--weights", str(weights), "--device", "cpu", "--quiet"]
    given += ["--part", "2", "--embeddings", "--engine", engine]

    assert refusing(main)(given) == 2

    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert f"error: {out}/part-" in line
    assert "No space left on device" in line
    assert line.endswith("The parts before it stand: make room, and go on with --resume.")
    parts = parts_of(out)
    assert 0 < len(parts) < PARTS
    assert [pyarrow.parquet.read_metadata(part).num_rows for part in parts] == [2] * len(parts)
    assert not list(out.glob("_growing*"))
    before = {part: part.stat().st_mtime_ns for part in parts}

    subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
    assert main([*given, "--resume"]) == 0

    assert {part: part.stat().st_mtime_ns for part in parts} == before
    ray_runs.assert_equal(whole, read(out))
