"""Ray Data on two nodes of one machine gives what the default engine gives, also when actors are killed.

One small cluster serves all tests of this file; nothing leaves the loopback device.
"""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import soundfile
from archive_runs import Tag, tagging
from conftest import LABELS, RATE, RecipeMaker, waveform

from soundpost.archive import on_ray

os.environ[on_ray.LOOPBACK] = "0"  # read once, when Ray is imported
ray = pytest.importorskip("ray", reason="Ray is in requirements-dev.txt and not installed here")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
STORE_BYTES = 100 * 2**20
WAIT_SECONDS = 60.0  # until an actor is at work


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of two nodes of one core each, which do not know the package until a call brings it."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    node = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    found = Cluster(initialize_head=True, head_node_args=node)
    try:
        found.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        assert found.address.startswith("127.0.0.1:")
        yield found.address
    finally:
        ray.shutdown()
        found.shutdown()


@pytest.fixture
def weights(make_assets: RecipeMaker) -> Path:
    """Two recipes with front ends that differ, so that a row has two spectrograms."""
    other = {"sample_rate": RATE, "name": "log_mel", "n_fft": 512, "hop_length": 320, "n_mels": 16}
    return make_assets({"folds": 2}, {"folds": 1, "front_end": other})


@pytest.fixture
def tag(weights: Path, tmp_path: Path) -> Tag:
    """The command with these weights."""
    return tagging(weights, tmp_path)


def write_clips(folder: Path, count: int) -> Path:
    """Clips of a few lengths, one that is silent, one cut short, and one that is no sound at all."""
    folder.mkdir()
    for number in range(count):
        soundfile.write(folder / f"clip{number:03}.wav", waveform(0.3 + 0.2 * (number % 5), number % 9), RATE)
    soundfile.write(folder / "silent.wav", np.zeros(RATE, np.float32), RATE)
    (folder / "noise.wav").write_bytes(b"no sound")
    cut = (folder / "clip000.wav").read_bytes()
    (folder / "cut.wav").write_bytes(cut[: len(cut) * 2 // 3])
    return folder


def assert_equal(expected: pd.DataFrame, found: pd.DataFrame) -> None:
    """The same rows, numbers within 1e-6, the same remarks."""
    assert list(expected.index) == list(found.index)
    np.testing.assert_allclose(expected[list(LABELS)], found[list(LABELS)], rtol=0, atol=1e-6)
    for column in ("path", "unreadable", "mended", "silent", "incomplete"):
        assert expected[column].fillna("").tolist() == found[column].fillna("").tolist()


def test_engines_agree_whatever_the_blocks(
    cluster: str, tag: Tag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows, embeddings and remarks included, with other parts, other tasks and other batches."""
    clips = write_clips(tmp_path / "clips", 21)
    expected = tag(clips, "--window", 0.6, "--embeddings", out="here.parquet")
    monkeypatch.setattr(on_ray, "TASK_CLIPS", 5)

    found = tag(
        clips, "--window", 0.6, "--embeddings", "--part", 7, "--engine", "ray", "--address", cluster, out="ray.parquet"
    )

    assert_equal(expected, found)
    there = expected["embedding"].notna()
    assert there.tolist() == found["embedding"].notna().tolist()
    np.testing.assert_allclose(
        np.stack(expected["embedding"][there]), np.stack(found["embedding"][there]), rtol=1e-5, atol=1e-5
    )


def test_killed_actor_costs_no_row_and_makes_none_twice(cluster: str, tag: Tag, tmp_path: Path) -> None:
    """SIGKILL to a worker that holds the ensemble, in mid-run: Ray starts it again, and every row comes once."""
    clips = write_clips(tmp_path / "clips", 200)
    expected = tag(clips, out="here.parquet")
    killed: list[int] = []
    is_over = threading.Event()
    killer = threading.Thread(target=lambda: killed.extend(kill_actor(tmp_path / "ray.parquet", is_over)))
    killer.start()

    found = tag(clips, "--part", 20, "--engine", "ray", "--address", cluster, out="ray.parquet")

    is_over.set()
    killer.join()
    assert len(killed) == 1, "no actor could be killed in mid-run"
    assert found.index.is_unique
    assert_equal(expected, found)


def kill_actor(out: Path, is_over: threading.Event) -> list[int]:
    """Kill one actor that holds an ensemble as soon as a part is written; the process that was killed."""
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until and not is_over.is_set():
        if list(out.glob("part-*")):
            for process in psutil.process_iter(["cmdline"]):
                if "Ensemble" in " ".join(process.info["cmdline"] or ()) and "ray::" in process.info["cmdline"][0]:
                    process.kill()
                    return [process.pid]
        time.sleep(0.02)
    return []
