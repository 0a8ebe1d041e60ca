"""Windows of noise as a recipe's front end and views make them, to show a network what it will see."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from soundpost.front_ends import FRONT_ENDS
from soundpost.registry import build
from soundpost.views import VIEWS

SECONDS = (1.0, 3.0, 12.0)  # how long each noise is
COUNT = 2  # windows of each length, so that a batch can be told from a window


def tried_windows(
    audio: Mapping[str, Any], front_end: Mapping[str, Any], views: Sequence[Mapping[str, Any]], where: str
) -> list[Tensor]:
    """COUNT windows for each length that the views give, (COUNT, channels, bins, frames) each, prepared.

    Args:
        audio: [audio] of the recipe.
        front_end: its name and settings.
        views: name and settings of each.
        where: the recipe or file, for messages.
    """
    made = build(FRONT_ENDS, front_end.get("name", ""), front_end, "front end", where=f"{where} [front_end]")
    rate = int(audio.get("sample_rate", 44100)) or 44100
    generator = torch.Generator().manual_seed(0)
    batches: dict[tuple[int, ...], Tensor] = {}
    for seconds in SECONDS:
        spectrograms = made(0.1 * torch.randn(COUNT, round(seconds * rate), generator=generator))
        for given in views:
            view = build(VIEWS, given.get("name", ""), given, "view", where=f"{where} [[views]]")
            window = view.windows(spectrograms.shape[3])[0]
            batch = view.prepare(torch.stack([view.cut(spectrogram, window) for spectrogram in spectrograms]))
            batches.setdefault(tuple(batch.shape), batch)
    return list(batches.values())
