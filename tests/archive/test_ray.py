"""Ray Data on two nodes of one machine gives what the default engine gives, also when what computes is killed.

One small cluster serves the tests that leave it whole; nothing leaves the loopback device.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet
import pytest
import ray_runs
from archive_runs import Tag, parts_of, tagging
from conftest import RATE, RecipeMaker
from ray_runs import assert_equal, kill_one, meanwhile, processes, two_nodes, write_clips

from soundpost.archive import on_ray
from soundpost.archive.bar import Bar
from soundpost.errors import SettingsError

pytestmark = ray_runs.MARKS
# The command with small tasks and batches, in a process of its own.
STARTED = """
import sys
from soundpost.archive import command, on_ray
on_ray.TASK_CLIPS, on_ray.BATCH_ROWS = 4, 8
sys.exit(command.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of two nodes."""
    with two_nodes() as found:
        yield found.address


@pytest.fixture
def weights(make_assets: RecipeMaker) -> Path:
    """Two recipes with front ends that differ, so that a row has two spectrograms."""
    other = {"sample_rate": RATE, "name": "log_mel", "n_fft": 512, "hop_length": 320, "n_mels": 16}
    return make_assets({"folds": 2}, {"folds": 1, "front_end": other})


@pytest.fixture
def tag(weights: Path, tmp_path: Path) -> Tag:
    """The command with these weights."""
    return tagging(weights, tmp_path)


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Tasks and batches of a few clips, so that a run has many; set as soon as the first answers have come."""
    monkeypatch.setattr(on_ray, "TASK_CLIPS", 4)
    monkeypatch.setattr(on_ray, "BATCH_ROWS", 8)
    has_begun = threading.Event()
    reach = Bar.reach

    def reached(bar: Bar, clips: int) -> None:
        has_begun.set()
        reach(bar, clips)

    monkeypatch.setattr(Bar, "reach", reached)
    return has_begun


def test_engines_agree_whatever_the_blocks(
    cluster: str, tag: Tag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows, embeddings and remarks included, with other parts, other tasks and other batches."""
    clips = write_clips(tmp_path / "clips", 21)
    expected = tag(clips, "--window", 0.6, "--embeddings", out="here.parquet")
    monkeypatch.setattr(on_ray, "TASK_CLIPS", 5)
    options = ("--window", 0.6, "--embeddings", "--part", 7, "--engine", "ray", "--address", cluster)

    found = tag(clips, *options, out="ray.parquet")

    assert_equal(expected, found)
    there = expected["embedding"].notna()
    assert there.tolist() == found["embedding"].notna().tolist()
    np.testing.assert_allclose(
        np.stack(expected["embedding"][there]), np.stack(found["embedding"][there]), rtol=1e-5, atol=1e-5
    )


def test_both_nodes_work(cluster: str, tag: Tag, tmp_path: Path, small_steps: threading.Event) -> None:
    """Each node's own processes decode or answer, whichever has room."""
    clips = write_clips(tmp_path / "clips", 120)
    parents: set[int] = set()

    def look() -> bool:
        for process in processes("MapBatches"):
            try:
                parents.add(process.ppid())
            except psutil.Error:
                continue
        return len(parents) == 2

    with meanwhile(look) as both:
        tag(clips, "--engine", "ray", "--address", cluster)

    assert both, f"only the processes of {len(parents)} node were at work"


@pytest.mark.parametrize("step", ["Ensemble", "hear"])
def test_killed_worker_costs_no_row_and_makes_none_twice(
    step: str, cluster: str, tag: Tag, tmp_path: Path, small_steps: threading.Event
) -> None:
    """SIGKILL to a process that holds the ensemble, or decodes, in mid-run: Ray does its work again, rows come once."""
    clips = write_clips(tmp_path / "clips", 200)
    expected = tag(clips, out="here.parquet")
    small_steps.clear()

    with meanwhile(lambda: (step == "hear" or small_steps.is_set()) and kill_one(step)) as killed:
        found = tag(clips, "--part", 20, "--engine", "ray", "--address", cluster, out="ray.parquet")

    assert killed, f"no process of {step} could be killed in mid-run"
    assert_equal(expected, found)


def test_node_that_is_lost_costs_no_row(tag: Tag, tmp_path: Path, small_steps: threading.Event) -> None:
    """SIGKILL to the second node's raylet: its actor, its tasks and its blocks go, and the first node does the rest."""
    clips = write_clips(tmp_path / "clips", 200)
    expected = tag(clips, out="here.parquet")
    small_steps.clear()
    with two_nodes() as cluster:

        def lose() -> bool:
            if not small_steps.is_set():
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
        while not parts_of(out) and time.monotonic() < until:
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


def test_archive_begun_by_one_engine_is_ended_by_the_other(cluster: str, tag: Tag, tmp_path: Path) -> None:
    """Parts are the same files under the same names, whoever makes them."""
    clips = write_clips(tmp_path / "clips", 21)
    expected = tag(clips, "--part", 5, out="whole.parquet")
    tag(clips, "--part", 5)
    first, second, *_ = parts_of(tmp_path / "TAGS.parquet")
    before = first.stat().st_mtime_ns
    second.unlink()

    found = tag(clips, "--part", 5, "--resume", "--engine", "ray", "--address", cluster)

    assert first.stat().st_mtime_ns == before
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


def test_gpu_on_a_cluster_without_one_is_refused(cluster: str, tag: Tag, tmp_path: Path) -> None:
    """Before anything is computed."""
    clips = write_clips(tmp_path / "clips", 1)

    with pytest.raises(SettingsError, match="--device cuda: the cluster has no GPU"):
        tag(clips, "--engine", "ray", "--address", cluster, device="cuda")
