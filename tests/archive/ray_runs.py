"""What tests of Ray share: small clusters on the loopback device, clips, and processes that are killed in mid-run."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import soundfile
from conftest import LABELS, RATE, waveform

from soundpost.archive import on_ray
from soundpost.archive.bar import Bar

# Read when Ray is imported or a node begins; workers that give way to all others would never end on a busy machine.
os.environ |= {on_ray.LOOPBACK: "0", "RAY_worker_niceness": "0"}
STORE_BYTES = 100 * 2**20
WAIT_SECONDS = 300.0  # until there is something to be killed
MARKS = [
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is in requirements-dev.txt and not installed here"),
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@contextmanager
def two_nodes(**head: Any) -> Iterator[Any]:
    """A cluster of two nodes of one core each, which do not know the package until a call brings it."""
    import ray
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    node = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    found = Cluster(initialize_head=True, head_node_args={**node, **head})
    try:
        found.second = found.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        assert found.address.startswith("127.0.0.1:")
        yield found
    finally:
        ray.shutdown()
        found.shutdown()


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


def assert_equal(expected: pd.DataFrame, found: pd.DataFrame, labels: Sequence[str] = LABELS) -> None:
    """The same rows, numbers within 1e-6, the same remarks."""
    assert found.index.is_unique
    assert list(expected.index) == list(found.index)
    np.testing.assert_allclose(expected[list(labels)], found[list(labels)], rtol=0, atol=1e-6)
    for column in ("path", "unreadable", "mended", "silent", "incomplete"):
        assert expected[column].fillna("").tolist() == found[column].fillna("").tolist()


def small_steps(patch: pytest.MonkeyPatch) -> threading.Event:
    """Tasks and batches of a few clips, so that a run has many; set as soon as the first answers have come."""
    patch.setattr(on_ray, "TASK_CLIPS", 4)
    patch.setattr(on_ray, "BATCH_ROWS", 8)
    has_begun = threading.Event()
    reach = Bar.reach

    def reached(bar: Bar, clips: int) -> None:
        has_begun.set()
        reach(bar, clips)

    patch.setattr(Bar, "reach", reached)
    return has_begun


def processes(title: str) -> list[psutil.Process]:
    """Ray's processes at work on a step."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or [""]
        if line[0].startswith("ray::") and title in line[0]:
            found.append(process)
    return found


@contextmanager
def meanwhile(act: Callable[[], bool]) -> Iterator[list[bool]]:
    """Try again and again, beside what runs in the block, until an act has succeeded; whether it has."""
    done: list[bool] = []
    is_over = threading.Event()

    def watch() -> None:
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until and not is_over.is_set():
            if act():
                done.append(True)
                return
            time.sleep(0.02)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield done
    finally:
        is_over.set()
        thread.join()


def kill_one(title: str) -> bool:
    """SIGKILL to one process that is at work on a step; whether there was one."""
    for process in processes(title):
        process.kill()
        return True
    return False


def store_bytes() -> tuple[int, int]:
    """What the object stores of all nodes hold together, and what they have spilled to disk; 0 before there are any."""
    import ray

    if not ray.is_initialized():
        return 0, 0
    name = "object_store_memory"
    used = ray.cluster_resources().get(name, 0) - ray.available_resources().get(name, 0)
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    return int(used), sum(path.stat().st_size for path in session.glob("ray_spilled_objects*/*"))
