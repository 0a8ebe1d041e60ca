"""Ray Data on two nodes of one machine gives what the default engine gives, also when what computes is killed.

One small cluster serves the tests that leave it whole; nothing leaves the loopback device.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import ray_runs
from archive_runs import Tag, parts_of, tagging
from conftest import RATE, RecipeMaker
from ray_runs import assert_equal, kill_one, meanwhile, processes, two_nodes, write_clips

from soundpost.archive import on_ray
from soundpost.errors import SettingsError

pytestmark = ray_runs.MARKS


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
    return ray_runs.small_steps(monkeypatch)


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


def test_gpu_on_a_cluster_without_one_is_refused(cluster: str, tag: Tag, tmp_path: Path) -> None:
    """Before anything is computed."""
    clips = write_clips(tmp_path / "clips", 1)

    with pytest.raises(SettingsError, match="--device cuda: the cluster has no GPU"):
        tag(clips, "--engine", "ray", "--address", cluster, device="cuda")
