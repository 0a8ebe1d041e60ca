"""What the machine really allows: cgroups of both versions and all ancestors, not only what the host shows."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from soundpost.resources import memory
from soundpost.resources.memory import (
    MemoryGroup,
    cores,
    is_in_memory,
    memory_allowed,
    memory_groups,
    memory_pressure,
)
from soundpost.resources.memory_monitor import SECONDS, MemoryMonitor

GB = 10**9


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (folder / name.replace("__", ".")).write_text(f"{value}\n")


def proc(root: Path, *lines: str) -> Path:
    write(root / "proc", cgroup="\n".join(lines))
    return root / "proc"


def test_limit_of_version_2_counts_in_every_ancestor(tmp_path: Path) -> None:
    """The group itself may be unlimited and its parent may not."""
    mounts = tmp_path / "cgroup"
    write(mounts / "kube" / "pod" / "me", memory__max="max", memory__current=GB)
    write(mounts / "kube" / "pod", memory__max=4 * GB, memory__current=3 * GB, memory__stat=f"inactive_file {GB}")
    write(mounts / "kube", memory__max=2 * GB, memory__current=GB, memory__stat="anon 5")

    groups = memory_groups(proc(tmp_path, "0::/kube/pod/me"), mounts)

    assert groups == [MemoryGroup(4 * GB, 2 * GB), MemoryGroup(2 * GB, GB)]
    assert memory_allowed(groups) == 2 * GB


def test_limit_of_version_1_counts_and_no_limit_does_not(tmp_path: Path) -> None:
    """Version 1 writes a huge number where there is no limit; page cache that can go is not use."""
    mounts = tmp_path / "cgroup"
    files = {"memory__usage_in_bytes": 2 * GB, "memory__stat": f"total_inactive_file {GB}"}
    write(mounts / "memory" / "docker" / "x", memory__limit_in_bytes=3 * GB, **files)
    write(mounts / "memory", memory__limit_in_bytes=2**63 - 4096, **files)

    groups = memory_groups(proc(tmp_path, "9:cpu:/docker/x", "4:memory,hugetlb:/docker/x", "0::/"), mounts)

    assert groups == [MemoryGroup(3 * GB, GB)]


@pytest.mark.parametrize("line", ["0::/docker/of/the/host", "0::/../..", "0::/"])
def test_container_whose_own_path_is_not_mounted_finds_the_root_group(tmp_path: Path, line: str) -> None:
    """Inside a container the mount's root is the container's group, whatever path the host gave it."""
    mounts = tmp_path / "cgroup"
    write(mounts, memory__max=GB, memory__current=0, memory__stat="inactive_file 0")

    assert [group.limit_bytes for group in memory_groups(proc(tmp_path, line), mounts)] == [GB]


def test_limit_beside_version_1_is_found_under_unified(tmp_path: Path) -> None:
    """A hybrid mount keeps version 2 in a folder of its own."""
    mounts = tmp_path / "cgroup"
    write(mounts / "unified" / "me", memory__max=GB, memory__current=5, memory__stat="inactive_file 9")

    assert memory_groups(proc(tmp_path, "0::/me"), mounts) == [MemoryGroup(GB, 0)]


def test_machine_without_cgroups_is_the_host(tmp_path: Path) -> None:
    """No such files, no groups."""
    assert memory_groups(tmp_path / "absent", tmp_path) == []
    assert memory_allowed([]) == psutil.virtual_memory().total


def test_host_memory_is_not_believed_inside_a_small_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """psutil shows 24 GB and nearly all of it free; the group that bounds us is what counts."""
    host = SimpleNamespace(total=24 * GB, available=23 * GB)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: host)

    assert memory_allowed([MemoryGroup(GB, 0)]) == GB
    assert memory_pressure([MemoryGroup(GB, 96 * GB // 100)]) == pytest.approx(0.96)
    assert memory_pressure([MemoryGroup(100 * GB, GB)]) == pytest.approx(1 / 24)
    assert memory_allowed([MemoryGroup(100 * GB, GB)]) == 24 * GB


@pytest.mark.parametrize(
    ("files", "share"),
    [
        ({"cpu__max": "150000 100000"}, 1),
        ({"cpu__max": "50000 100000"}, 1),
        ({"cpu__max": "max 100000"}, None),
        ({}, None),
    ],
)
def test_cores_are_those_of_the_quota(tmp_path: Path, files: dict[str, str], share: int | None) -> None:
    """A container with one and a half cores runs one lane, not as many as the host has cores."""
    write(tmp_path, **files)

    everything = cores(tmp_path / "absent")
    assert cores(tmp_path) == (share or everything)


def test_cores_of_version_1_are_those_of_its_quota(tmp_path: Path) -> None:
    """A quota of -1 is none."""
    write(tmp_path / "cpu", cpu__cfs_quota_us=100000, cpu__cfs_period_us=100000)
    assert cores(tmp_path) == 1
    write(tmp_path / "cpu", cpu__cfs_quota_us=-1)
    assert cores(tmp_path) == cores(tmp_path / "absent")


def test_folder_on_a_memory_file_system_is_known_as_one(tmp_path: Path) -> None:
    """Spilling to tmpfs would be memory under another name; the innermost mount decides."""
    (tmp_path / "a disk").mkdir()
    mounts = tmp_path / "mounts"
    name = str(tmp_path)
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\ntmpfs {name} tmpfs rw 0 0\n/dev/vdb {name}/a\\040disk ext4 rw 0 0\n")

    assert is_in_memory(tmp_path, mounts)
    assert not is_in_memory(tmp_path / "a disk", mounts)
    assert not is_in_memory(Path("/"), mounts)
    assert not is_in_memory(tmp_path, tmp_path / "absent")


def test_memory_of_a_process_that_is_gone_is_nothing() -> None:
    """Workers come and go between two measurements."""
    assert memory.tree_memory([2**22 + 1]) == 0
    assert memory.process_memory(memory.os.getpid()) > 2**20


def test_libraries_of_two_processes_are_counted_once_whoever_else_has_them() -> None:
    """What is planned with is at least PSS, and does not change when a process that shares pages comes."""
    script = "import sys, numpy; print(flush=True); sys.stdin.read()"
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(
                subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            )
            for _ in range(2)
        )
        first.stdout.readline()
        before = memory.lonely_memory([first.pid])
        second.stdout.readline()
        after, both = memory.lonely_memory([first.pid]), memory.lonely_memory([first.pid, second.pid])
        shared = memory.tree_memory([first.pid])
        for process in (first, second):
            process.stdin.close()

    assert abs(after - before) <= 0.01 * before
    assert shared < after
    assert after < both < 1.9 * after
    assert memory.lonely_memory([2**22 + 1]) == 0


def test_memory_monitor_measures_now_and_then_and_keeps_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pressure is the larger of the tree's share of its limit and the machine's."""
    now, used, pressure = [100.0], [700], [0.1]
    monkeypatch.setattr("soundpost.resources.memory_monitor.tree_memory", lambda pids: used[0])
    monkeypatch.setattr("soundpost.resources.memory_monitor.memory_pressure", lambda: pressure[0])
    monitor = MemoryMonitor(1000, lambda: [1], clock=lambda: now[0])

    assert monitor.pressure() == 0.7
    used[0], pressure[0] = 300, 0.96
    assert not monitor.look(), "too soon for another measurement"
    now[0] += SECONDS
    assert monitor.pressure() == 0.96
    assert (monitor.used_bytes, monitor.peak_bytes) == (300, 700)
