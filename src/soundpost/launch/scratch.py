"""Private folders of runs: whose they are, and the removal of those whose owner is dead."""

import json
import shutil
from pathlib import Path

PREFIX = "soundpost-run-"


def remove_dead(scratch_root: Path) -> list[Path]:
    """Remove private folders of runs whose process is provably gone; which ones."""
    removed = []
    for folder in sorted(scratch_root.glob(PREFIX + "*")):
        try:
            owner = json.loads((folder / "owner.json").read_text())
            dead = _born(owner["pid"]) != owner["born"]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # not provably ours, or not provably dead
        if dead:
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    return removed


def _born(pid: int) -> str:
    """When a process began, in the kernel's own count, with the boot it belongs to; empty when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
    return f"{boot} {stat.rpartition(')')[2].split()[19]}"
