"""Ray on nodes that are lost or promise what they do not have; each test has a cluster of its own."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet
import pytest
import ray_runs
from archive_runs import Tag, parts_of, tagging
from conftest import RecipeMaker
from ray_runs import assert_equal, meanwhile, two_nodes, write_clips

from soundpost.errors import SettingsError

pytestmark = ray_runs.MARKS
# The command with small tasks and batches, in a process of its own.
STARTED = """
import sys
from soundpost.archive import command, on_ray
on_ray.TASK_CLIPS, on_ray.BATCH_ROWS = 4, 8
sys.exit(command.main(sys.argv[1:]))
"""


@pytest.fixture
def weights(make_assets: RecipeMaker) -> Path:
    """Two small members."""
    return make_assets({"folds": 2})


@pytest.fixture
def tag(weights: Path, tmp_path: Path) -> Tag:
    """The command with these weights."""
    return tagging(weights, tmp_path)


def test_node_that_is_lost_costs_no_row(tag: Tag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL to the second node's raylet: its actor, its tasks and its blocks go, and the first node does the rest."""
    clips = write_clips(tmp_path / "clips", 200)
    expected = tag(clips, out="here.parquet")
    has_begun = ray_runs.small_steps(monkeypatch)
    with two_nodes() as cluster:

        def lose() -> bool:
            if not has_begun.is_set():
                return False
            cluster.remove_node(cluster.second, allow_graceful=False)
            return True

        with meanwhile(lose) as lost:
            found = tag(clips, "--part", 20, "--engine", "ray", "--address", cluster.address, out="ray.parquet")

    assert lost, "the node could not be lost in mid-run"
    assert_equal(expected, found)


def test_first_node_that_is_lost_ends_the_call_and_resume_does_the_rest(
    weights: Path, tag: Tag, tmp_path: Path
) -> None:
    """SIGKILL to the raylet that the command hangs on: it ends instead of waiting, and only whole parts lie there."""
    clips = write_clips(tmp_path / "clips", 200)
    expected = tag(clips, "--part", 10, out="whole.parquet")
    out = tmp_path / "TAGS.parquet"
    with two_nodes() as cluster:
        given = [sys.executable, "-c", STARTED, clips, "--out", out, "--weights", weights, "--part", "10", "--quiet"]
        given += ["--device", "cpu", "--engine", "ray", "--address", cluster.address]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen(list(map(str, given)), env=environment, stderr=subprocess.DEVNULL)
        until = time.monotonic() + ray_runs.WAIT_SECONDS
        while not parts_of(out) and process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        cluster.head_node.kill_raylet()
        status = process.wait(ray_runs.WAIT_SECONDS)

    parts = parts_of(out)
    assert status != 0
    assert 0 < len(parts) < 21
    assert all(pyarrow.parquet.read_metadata(part).num_rows >= 3 for part in parts)
    before = {part: part.stat().st_mtime_ns for part in parts}
    found = tag(clips, "--part", 10, "--resume")
    assert {part: part.stat().st_mtime_ns for part in parts} == before
    assert_equal(expected, found)


def test_gpu_that_is_none_is_refused(tag: Tag, tmp_path: Path) -> None:
    """A node that promises a GPU to Ray, and whose torch finds none: one sentence, and --device cpu works."""
    clips = write_clips(tmp_path / "clips", 5)
    with two_nodes(num_gpus=1) as cluster:
        options = ("--engine", "ray", "--address", cluster.address)
        with pytest.raises(SettingsError, match=r"has a GPU by what Ray counts, and its torch .* finds none\. Install"):
            tag(clips, *options, device="auto")
        found = tag(clips, *options, "--resume")

    assert_equal(tag(clips, out="here.parquet"), found)
