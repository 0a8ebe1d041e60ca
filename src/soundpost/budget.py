"""How the memory limit is shared out: what must be there, what a batch may take, what is left for the cache."""

from dataclasses import dataclass

from soundpost.errors import SettingsError
from soundpost.settings import MIB

MARGIN_SHARE = 0.06  # of the limit, kept free for what nobody counts
MIN_CACHE_BYTES = 16 * MIB
MIN_BATCH_BYTES = 48 * MIB
WORKER_BYTES = {"fork": 70 * MIB, "spawn": 330 * MIB}  # a worker at work on a long clip, shared pages counted once
MAX_WORKER_BYTES = 700 * MIB  # of one worker, whatever there is: twenty minutes of audio
WORKERS_SHARE = 0.3  # of what is left, at most, for workers on long clips
BATCH_SHARE = 0.5  # of what is left, at most, for batches; the cache takes the rest


@dataclass(frozen=True)
class Budget:
    """Shares of the memory limit, in bytes."""

    batch_bytes: int  # of all lanes together, on the host
    cache_bytes: int
    worker_bytes: int  # of each worker
    workers: int


def share(limit_bytes: int, resident_bytes: int, workers: int, start_method: str, batch_wish_bytes: int) -> Budget:
    """Shares that stay under the limit, with fewer workers where memory is short.

    Args:
        limit_bytes: of the whole process tree.
        resident_bytes: of the tree now, with one network loaded and before any worker's growth.
        workers: processes wanted.
        start_method: of the workers, "fork" or "spawn".
        batch_wish_bytes: what the lanes would use if there were no limit.

    Raises:
        SettingsError: the limit is below what interpreter, network, one worker and one small batch need.
    """
    margin = int(limit_bytes * MARGIN_SHARE)
    each = WORKER_BYTES[start_method]
    needed = resident_bytes + margin + each + MIN_BATCH_BYTES + MIN_CACHE_BYTES
    if needed > limit_bytes:
        least = (resident_bytes + each + MIN_BATCH_BYTES + MIN_CACHE_BYTES) / (1 - MARGIN_SHARE)
        raise SettingsError(
            f"--memory-limit {limit_bytes / 1e6:,.0f}M is below the {least / 1e6:,.0f}M that interpreter, network, one "
            "worker and the smallest batch need. Give at least that."
        )
    free = limit_bytes - resident_bytes - margin - MIN_BATCH_BYTES - MIN_CACHE_BYTES
    count = max(1, min(workers, free // each))
    each = max(each, min(MAX_WORKER_BYTES, int(free * WORKERS_SHARE) // count))
    free = limit_bytes - resident_bytes - margin - count * each
    batch = min(batch_wish_bytes, max(MIN_BATCH_BYTES, int(free * BATCH_SHARE)))
    return Budget(batch, max(MIN_CACHE_BYTES, free - batch), each, count)
