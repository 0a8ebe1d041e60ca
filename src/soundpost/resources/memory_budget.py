"""How the memory limit is shared out: what must be there, what a batch may take, what is left for the cache."""

from dataclasses import dataclass

from soundpost.errors import SettingsError
from soundpost.resources.memory import MIB

MARGIN_SHARE = 0.06  # of the limit, kept free for what nobody counts
NAMED_SHARE = 1.03  # of what is needed, told where a limit is refused: another start may need a hundredth more
MIN_CACHE_BYTES = 16 * MIB
GROWTH_BYTES = 110 * MIB  # of the engine: code and scratch of kernels for every new shape, the next member's arrays
WORKER_BYTES = {"fork": 70 * MIB, "spawn": 330 * MIB}  # a worker at work on a long clip, shared pages counted once
MAX_WORKER_BYTES = 700 * MIB  # of one worker, whatever there is: twenty minutes of audio
WORKERS_SHARE = 0.4  # of what is left, at most, for more workers, and again for longer clips
LANES_SHARE = 0.5  # of what is left, at most, for batches; the cache takes the rest


@dataclass(frozen=True)
class Budget:
    """Shares of the memory limit, in bytes."""

    lane_bytes: int  # of the batch of each lane, on the host
    lanes: int
    cache_bytes: int
    worker_bytes: int  # of each worker
    workers: int


def share(
    limit_bytes: int,
    resident_bytes: int,
    workers: int,
    start_method: str,
    lanes: int,
    lane_bytes: int,
    window_bytes: int,
) -> Budget:
    """Shares that stay under the limit, with fewer workers and lanes where memory is short.

    Args:
        limit_bytes: of the whole process tree.
        resident_bytes: of the tree now, with one network of each recipe loaded and before any worker's growth.
        workers: processes wanted.
        start_method: of the workers, "fork" or "spawn".
        lanes: wanted.
        lane_bytes: what the batch of one lane would use if there were no limit.
        window_bytes: of the longest single window, which a lane must be able to take.

    Raises:
        SettingsError: the limit is below what interpreter, networks, one worker and one window need.
    """
    margin = int(limit_bytes * MARGIN_SHARE)
    resident_bytes += GROWTH_BYTES
    each = WORKER_BYTES[start_method]
    lane_bytes = max(lane_bytes, window_bytes)
    free = limit_bytes - resident_bytes - margin - each - window_bytes - MIN_CACHE_BYTES
    if free < 0:
        least = NAMED_SHARE * (resident_bytes + each + window_bytes + MIN_CACHE_BYTES) / (1 - MARGIN_SHARE)
        raise SettingsError(
            f"--memory-limit {limit_bytes / 1e6:,.0f}M is below the {least / 1e6:,.0f}M that interpreter, networks, "
            "one worker and the longest window need. Give at least that."
        )
    free += window_bytes
    lanes = max(1, min(lanes, int(free * LANES_SHARE) // lane_bytes))
    lane_bytes = max(window_bytes, min(lane_bytes, int(free * LANES_SHARE) // lanes))
    free = max(0, free - lanes * lane_bytes)
    count = 1 + min(workers - 1, int(free * WORKERS_SHARE) // each)
    free -= (count - 1) * each
    more = min(MAX_WORKER_BYTES - each, int(free * WORKERS_SHARE) // count)
    return Budget(lane_bytes, lanes, MIN_CACHE_BYTES + free - count * more, each + more, count)
