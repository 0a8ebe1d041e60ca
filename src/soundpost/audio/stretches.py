"""A recording cut into stretches of one length that together cover it."""

import math

SHORTEST_SECONDS = 0.5  # a rest that is shorter belongs to the stretch before it


def cut(seconds: float, window: float, hop: float = 0.0) -> list[tuple[float, float]]:
    """Begin and length in seconds of every stretch of a recording; together they cover it.

    Args:
        seconds: how long the recording is.
        window: length of a stretch, in seconds.
        hop: from one stretch to the next, in seconds; 0: the window.
    """
    if seconds <= window:
        return [(0.0, seconds)]
    hop = hop or window
    count = 1 + math.ceil((seconds - window) / hop)
    found = [(i * hop, min(window, seconds - i * hop)) for i in range(count)]
    if found[-1][1] < SHORTEST_SECONDS:
        begin, _ = found[-2]
        found[-2:] = [(begin, seconds - begin)]
    return found
