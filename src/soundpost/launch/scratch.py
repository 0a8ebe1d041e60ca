"""Private folders of runs: each says whose it is, goes with its run, and is removed later when its owner died."""

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from soundpost.errors import SettingsError

PREFIX = "soundpost-run-"


@contextmanager
def private_folder(scratch_root: Path, patience_seconds: Callable[[], float]) -> Iterator[Path]:
    """A folder that says whose it is, removed at the end.

    Args:
        scratch_root: where it is made.
        patience_seconds: how long its removal may be waited for; on a disk that has stalled it takes for ever, and
            the next run then removes what remains.

    Raises:
        SettingsError: nothing can be written there.
    """
    try:
        scratch_root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=scratch_root))
        (folder / "owner.json").write_text(json.dumps({"pid": os.getpid(), "born": born(os.getpid())}))
    except OSError as error:
        raise SettingsError(
            f"scratch folder {scratch_root}: {error.strerror}. Name one that can be written by --scratch."
        ) from error
    try:
        yield folder
    finally:
        removal = threading.Thread(target=shutil.rmtree, args=(folder, True), daemon=True)
        removal.start()
        removal.join(patience_seconds())


def remove_dead(scratch_root: Path) -> list[Path]:
    """Remove private folders of runs whose process is provably gone; which ones."""
    removed = []
    for folder in sorted(scratch_root.glob(PREFIX + "*")):
        try:
            owner = json.loads((folder / "owner.json").read_text())
            dead = born(owner["pid"]) != owner["born"]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # not provably ours, or not provably dead
        if dead:
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    return removed


def born(pid: int) -> str:
    """When a process began, in the kernel's own count, with the boot it belongs to; empty when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
    return f"{boot} {stat.rpartition(')')[2].split()[19]}"
