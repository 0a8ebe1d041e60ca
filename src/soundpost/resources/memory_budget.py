"""The memory policy on one page: what a run may take of the machine, and how it is shared out among its parts.

What must be there comes first (interpreter, networks, one worker, one window), then what a batch may take, then more
workers; the cache gets the rest. Every share and size that the kit allows itself of memory is named here.
"""

from dataclasses import dataclass

from soundpost.errors import SettingsError
from soundpost.resources.memory import MIB

# ---------------------------------------------------------------- the limit, and what happens near it

# A run that is given no limit takes this share of what the machine allows.
LIMIT_SHARE = 0.92
# An engine that was killed from outside is started again with this share of the limit that it had.
SHRINK_SHARE = 0.6
# Above this share of the limit the allocator is asked at every look to give back the pages that it holds unused.
TRIM_SHARE = 0.6
# Above this share of the limit nothing new is kept in memory and batches are halved.
SQUEEZE_SHARE = 0.93
# Where the whole machine uses this share of its memory, new spectrograms go to disk whoever has taken the memory.
PRESSURE_SHARE = 0.95

# ---------------------------------------------------------------- what must be there

# This share of the limit is kept free for what nobody counts.
MARGIN_SHARE = 0.06
# A refused limit is told with this much more than is needed, because another start may need a hundredth more.
NAMED_SHARE = 1.03
# The engine grows by so much after it was measured: code and scratch of kernels for every new shape, the next member.
GROWTH_BYTES = 110 * MIB
# A worker at work on a long clip has so much by itself, shared pages counted once.
WORKER_BYTES = {"fork": 70 * MIB, "spawn": 330 * MIB}
# One worker never gets more than this, whatever there is; it is enough for twenty minutes of audio.
MAX_WORKER_BYTES = 700 * MIB
# A worker holds so many bytes for each sample of its clip: the waveform, its copy and the spectrogram.
BYTES_PER_SAMPLE = 20
# While it opens a graph, a runtime takes so many times its file, keeps so many, and takes so many for each further
# lane: the most that was seen of networks of 16 to 81 MB.
OPENING_TIMES = {"onnxruntime": 5.0, "openvino": 4.5}
KEPT_TIMES = {"onnxruntime": 1.2, "openvino": 4.2}
LANE_TIMES = {"onnxruntime": 0.0, "openvino": 2.1}
# At most this share of what is left goes to more workers, and then again to longer clips.
WORKERS_SHARE = 0.4

# ---------------------------------------------------------------- batches

# At most this share of what is left goes to the batches of all lanes.
LANES_SHARE = 0.5
# A batch on a core takes so much: batches that stay near its cache run up to twice as fast as large ones. Networks that
# are tried out to be quicker with more get it.
LANE_BYTES = 32 * MIB
# Folds that share batches on a CPU are loaded together up to so many bytes of weights.
FOLD_GROUP_BYTES = 32 * MIB
# A batch is taken for so many times the bytes that were measured, as allocators keep pages of batches of many shapes.
PROBE_SLACK = 2.0
# Batches may take this share of the free memory of a GPU.
GPU_SHARE = 0.8

# ---------------------------------------------------------------- a GPU's host memory

# This share of the limit is kept free for what CUDA takes of the host later, where no cgroup bounds it.
CUDA_SHARE = 0.15
# A thread's cuDNN keeps so many plans, one for each shape of each convolution; the oldest go first.
CUDNN_PLANS = 1000
# A plan takes so much of the host.
CUDNN_PLAN_BYTES = 200_000
# A lane on a GPU has so many page-locked buffers for batches.
PINNED_BATCHES = 2

# ---------------------------------------------------------------- the cache

# The cache reserves addresses for this share of the limit before it is known what is left for it.
CACHE_CEILING_SHARE = 0.8
# A run that has less than this for spectrograms is refused.
MIN_CACHE_BYTES = 16 * MIB
# This share of the cache, and never more than so many bytes, is room for spectrograms that are used once and dropped.
STAGING_SHARE = 0.25
MAX_STAGING_BYTES = 256 * MIB
# A run that is given no limit for its disk takes this share of what is free there.
DISK_SHARE = 0.5


@dataclass(frozen=True)
class Budget:
    """Shares of the memory limit, in bytes."""

    lane_bytes: int  # host memory for the batch of each lane
    lanes: int
    cache_bytes: int
    worker_bytes: int  # for each worker
    workers: int


def share(
    limit_bytes: int,
    resident_bytes: int,
    workers: int,
    start_method: str,
    lanes: int,
    lane_bytes: int,
    window_bytes: int,
    margin_share: float = MARGIN_SHARE,
) -> Budget:
    """Shares that stay under the limit, with fewer workers and lanes where memory is short.

    Args:
        limit_bytes: what the whole process tree may use.
        resident_bytes: what the tree uses now, with one network of each recipe loaded and before any worker's growth.
        workers: processes wanted.
        start_method: how workers come to be, "fork" or "spawn".
        lanes: wanted.
        lane_bytes: what the batch of one lane would use if there were no limit.
        window_bytes: what the longest single window takes, which a lane must be able to take.
        margin_share: part of the limit that is kept free for what nobody counts.

    Raises:
        SettingsError: the limit is below what interpreter, networks, one worker and one window need.
    """
    margin = int(limit_bytes * margin_share)
    resident_bytes += GROWTH_BYTES
    each = WORKER_BYTES[start_method]
    lane_bytes = max(lane_bytes, window_bytes)
    free = limit_bytes - resident_bytes - margin - each - window_bytes - MIN_CACHE_BYTES
    if free < 0:
        least = NAMED_SHARE * (resident_bytes + each + window_bytes + MIN_CACHE_BYTES) / (1 - margin_share)
        raise SettingsError(
            f"--memory-limit {limit_bytes / 1e6:,.0f}M is below the {least / 1e6:,.0f}M that interpreter, networks, "
            "one worker and the longest window need. Give at least that."
        )
    free += window_bytes
    least_bytes = max(window_bytes, min(lane_bytes, LANE_BYTES))  # larger batches are worth less than another lane
    lanes = max(1, min(lanes, int(free * LANES_SHARE) // least_bytes))
    lane_bytes = max(window_bytes, min(lane_bytes, int(free * LANES_SHARE) // lanes))
    free = max(0, free - lanes * lane_bytes)
    count = 1 + min(workers - 1, int(free * WORKERS_SHARE) // each)
    free -= (count - 1) * each
    more = min(MAX_WORKER_BYTES - each, int(free * WORKERS_SHARE) // count)
    return Budget(lane_bytes, lanes, MIN_CACHE_BYTES + free - count * more, each + more, count)
