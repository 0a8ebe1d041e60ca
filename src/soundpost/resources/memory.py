"""What this machine really allows: memory of the cgroup, space on disk, cores, devices that work.

psutil and /proc/meminfo show the host; a container's limit stands in its cgroup, version 1 or 2, of the process's
own group or of any ancestor, so the smallest of all of them counts.
"""

import ctypes
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

MIB = 2**20
GIB = 2**30

_NO_LIMIT = 2**60  # cgroup v1 writes 2^63 - 4096 where there is none


@dataclass(frozen=True)
class MemoryGroup:
    """One cgroup that bounds this process."""

    limit_bytes: int
    used_bytes: int  # without page cache that the kernel can drop at once


def memory_groups(proc: Path = Path("/proc/self"), mounts: Path = Path("/sys/fs/cgroup")) -> list[MemoryGroup]:
    """Every memory limit of this process's cgroup and of its ancestors, versions 1 and 2; empty without cgroups.

    Args:
        proc: folder that holds the file cgroup of the process.
        mounts: where the cgroup file systems are mounted.
    """
    try:
        lines = (proc / "cgroup").read_text().splitlines()
    except OSError:
        return []
    groups: list[MemoryGroup] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            for root in (mounts, mounts / "unified"):
                groups += _walk(root, path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            groups += _walk(
                mounts / "memory", path, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
            )
    return groups


def _walk(root: Path, path: str, limit_name: str, used_name: str, cache_name: str) -> Iterable[MemoryGroup]:
    folder = root.joinpath(*(part for part in path.split("/") if part not in ("", "..")))  # ".." leads out of the mount
    while True:
        try:
            limit = int((folder / limit_name).read_text())  # "max" raises ValueError: no limit in this group
            used = int((folder / used_name).read_text())
            if limit < _NO_LIMIT:
                yield MemoryGroup(limit, max(0, used - _stat(folder / "memory.stat", cache_name)))
        except (OSError, ValueError):
            pass
        if folder == root or root not in folder.parents:
            return
        folder = folder.parent


def _stat(file: Path, key: str) -> int:
    for line in file.read_text().splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return int(value)
    return 0


def memory_allowed(groups: Iterable[MemoryGroup] | None = None) -> int:
    """Bytes that this process tree may use in all: the smallest cgroup limit, or the machine's memory."""
    groups = memory_groups() if groups is None else groups
    return min([psutil.virtual_memory().total, *(group.limit_bytes for group in groups)])


def memory_pressure(groups: Iterable[MemoryGroup] | None = None) -> float:
    """The largest used share, 0 to 1, among the host's memory and every cgroup above this process."""
    groups = memory_groups() if groups is None else groups
    host = psutil.virtual_memory()
    shares = [1 - host.available / host.total, *(group.used_bytes / group.limit_bytes for group in groups)]
    return max(shares)


def tree_memory(pids: Iterable[int]) -> int:
    """Resident bytes of these processes with shared pages counted once (PSS); a process that is gone counts 0."""
    return sum(process_memory(pid) for pid in pids)


def lonely_memory(pids: Iterable[int]) -> int:
    """Resident bytes of these processes as they would be if no other process had the same libraries open.

    PSS is smaller as long as one has, and grows when it ends; so this is what to plan with.
    """
    anonymous = 0
    files: dict[tuple[str, ...], int] = {}  # device, inode, offset -> bytes, of the process that has most of it
    for pid in pids:
        try:
            anonymous += _rollup(pid, "Pss_Anon:")
            for place, resident in _mapped_files(pid):
                files[place] = max(files.get(place, 0), resident)
        except OSError:
            anonymous += process_memory(pid)
    return anonymous + sum(files.values())


def _mapped_files(pid: int) -> Iterator[tuple[tuple[str, ...], int]]:
    """Where each mapping of a file lies in which file, and how many unchanged bytes of it are resident."""
    place: tuple[str, ...] = ()
    resident = 0
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        key, *values = line.split()
        if key == "Rss:":
            resident = int(values[0]) * 1024
        elif key == "Anonymous:" and place[1] != "0":
            yield place, resident - int(values[0]) * 1024
        elif "-" in key and not key.endswith(":"):
            place = (values[2], values[3], values[1])


def process_memory(pid: int) -> int:
    """Proportional set size of one process in bytes; its RSS where the kernel does not tell; 0 when it is gone."""
    with suppress(OSError):
        return _rollup(pid, "Pss:")
    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return 0


def _rollup(pid: int, key: str) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/{pid}/smaps_rollup has no line {key}")


def reset_peak_memory() -> int:
    """Set this process's peak of resident memory back to what is resident now, and tell that in bytes."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS:")


def peak_memory() -> int:
    """The most bytes that this process has had resident since reset_peak_memory, or since it began."""
    return _status("VmHWM:")


def _status(key: str) -> int:
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1]) * 1024
    return 0


def return_free_memory() -> None:
    """Give the allocator's free pages back to the system, where its library can."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def cores(mounts: Path = Path("/sys/fs/cgroup")) -> int:
    """Processors that this process may use: its affinity, and its cgroup's quota where there is one."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):  # cgroup versions 2 and 1
        try:
            quota, period = map(int, " ".join((mounts / file).read_text() for file in files).split())
        except (OSError, ValueError):  # "max": no quota
            continue
        if quota > 0 and period > 0:
            count = min(count, max(1, quota // period))
    return count


def is_in_memory(folder: Path, mounts: Path = Path("/proc/mounts")) -> bool:
    """Whether a folder lies on tmpfs, so that files in it are memory and not disk."""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return False
    target = folder.resolve()
    best, kind = "", ""
    for line in lines:
        _, mount, fs_type, *_ = line.split(" ")
        mount = mount.replace("\\040", " ")
        inside = target.is_relative_to(mount)
        if inside and len(mount) >= len(best):
            best, kind = mount, fs_type
    return kind in {"tmpfs", "ramfs"}


def disk_free(folder: Path) -> int:
    """Bytes that an ordinary user may still write below a folder."""
    return psutil.disk_usage(str(folder)).free
