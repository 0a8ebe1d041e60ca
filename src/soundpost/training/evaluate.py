"""A member's answers to clips through a view, as the kernel gives them: weighted mean over a clip's windows."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from soundpost.views.view import View, Window

BATCH = 64  # windows shown at once


@torch.inference_mode()
def answer(network: nn.Module, spectrograms: Sequence[Tensor], view: View) -> np.ndarray:
    """Probabilities (clips, classes) float64 of each spectrogram (channels, bins, frames), windows averaged."""
    groups: dict[int, list[tuple[int, Window]]] = defaultdict(list)
    for clip, spectrogram in enumerate(spectrograms):
        for window in view.windows(spectrogram.shape[-1]):
            groups[window.frames].append((clip, window))
    total: dict[int, np.ndarray] = {}
    weight = np.zeros(len(spectrograms))
    for members in groups.values():
        for begin in range(0, len(members), BATCH):
            part = members[begin : begin + BATCH]
            batch = torch.stack([view.cut(spectrograms[clip], window) for clip, window in part])
            rows = torch.sigmoid(network(view.prepare(batch)).float()).double().cpu().numpy()
            for (clip, window), row in zip(part, rows, strict=True):
                total[clip] = total.get(clip, 0) + window.weight * row
                weight[clip] += window.weight
    return np.stack([total[clip] / weight[clip] for clip in range(len(spectrograms))])
