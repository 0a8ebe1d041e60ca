"""Heads over the map of an image network: pooling over mels, then clip-wise and frame-wise outputs.

Maps are (batch, channels, mel positions, time positions); frame-wise outputs (batch, frames, classes). Parameters are
called as in the published checkpoints (BirdCLEF 2023 to 2026), which importers.timm puts under "head".
"""

import torch
from torch import Tensor, nn

SMALLEST = 1e-6
HIDDEN = 512  # channels between pooling and attention

Outputs = dict[str, Tensor]


class MelMean(nn.Module):
    """Mean over mel positions."""

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, channels, mels, frames) -> (batch, channels, frames)."""
        return maps.mean(dim=2)


class MelGem(nn.Module):
    """Generalised mean over mel positions, with a learnt exponent."""

    def __init__(self, clamped: bool = False, is_scalar: bool = False) -> None:
        super().__init__()
        self.clamped = clamped  # the exponent is raised to at least 1
        self.p = nn.Parameter(torch.tensor(3.0) if is_scalar else torch.full((1,), 3.0))

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, channels, mels, frames) -> (batch, channels, frames)."""
        p = self.p.clamp(min=1.0) if self.clamped else self.p
        return maps.clamp(min=SMALLEST).pow(p).mean(dim=2).pow(1.0 / p)


class MapGem(nn.Module):
    """Generalised mean over the whole map, with a fixed exponent."""

    def __init__(self, p: float = 3.0) -> None:
        super().__init__()
        self.p = p

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, channels, mels, frames) -> (batch, channels)."""
        return maps.clamp(min=SMALLEST).pow(self.p).mean(dim=(2, 3)).pow(1.0 / self.p)


class OwnClassifier(nn.Module):
    """The classifier that the image network has itself."""

    def forward(self, logits: Tensor) -> Outputs:
        """The network's logits by name."""
        return {"logits": logits}


class GemClassifier(nn.Module):
    """A generalised mean over the whole map, then the classes (2024, third place)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.global_pool = MapGem()
        self.logits = nn.Linear(channels, classes)

    def forward(self, maps: Tensor) -> Outputs:
        """Logits of the clip."""
        return {"logits": self.logits(self.global_pool(maps))}


class AttentionSed(nn.Module):
    """Attention over time between a bottleneck and the classes (2023 first, 2025 second place).

    The answers are probabilities of frames weighed by attention; "short" ones take the middle of a longer window, and
    the attention anew over it.
    """

    def __init__(self, channels: int, classes: int, mixed: float, share: float) -> None:
        super().__init__()
        self.pooling = MelGem()
        self.dense_layers = nn.Sequential(nn.Dropout(0.5), nn.Linear(channels, HIDDEN), nn.ReLU(), nn.Dropout(0.5))
        self.attention = nn.Conv1d(HIDDEN, classes, 1)
        self.fix_scale = nn.Conv1d(HIDDEN, classes, 1)
        self.mixed = mixed  # share of the loudest frame in the mixed answer
        self.share = share  # how much of the window, in its middle, is the row

    def forward(self, maps: Tensor) -> Outputs:
        """Outputs by name: probabilities, logits and frames of the whole window and of its middle."""
        hidden = self.dense_layers(self.pooling(maps).transpose(1, 2)).transpose(1, 2)
        attention, values = self.attention(hidden).tanh(), self.fix_scale(hidden)
        first, last = middle(values.shape[2], self.share)
        inside, weights = values[:, :, first:last], attention[:, :, first:last].softmax(dim=2)
        whole = attention.softmax(dim=2)
        loudest, clip = values.sigmoid().amax(dim=2), (weights * inside.sigmoid()).sum(dim=2)
        mixed = self.mixed * inside.sigmoid().amax(dim=2) + (1 - self.mixed) * clip
        return {
            "clipwise_pred_long": (whole * values.sigmoid()).sum(dim=2),
            "clipwise_logits_long": (whole * values).sum(dim=2),
            "clipwise_pred_short": clip,
            "clipwise_logits_short": (weights * inside).sum(dim=2),
            "timewise_pred_max": loudest,
            "clipwise_timewisemax_pred_short": mixed,
            "framewise_logits_long": values.transpose(1, 2),
            "framewise_logits_short": inside.transpose(1, 2),
            "framewise_pred_short": inside.sigmoid().transpose(1, 2),
            "framewise_atten_short": attention[:, :, first:last].transpose(1, 2),
            "framewise_clipwise_pred_short": mixed,
        }


class FrameAttention(nn.Module):
    """Classes and attention for every frame, straight from normalised channels (2026, second place)."""

    def __init__(self, channels: int, classes: int, has_gem: bool) -> None:
        super().__init__()
        if has_gem:
            self.gem_pool = MelGem(clamped=True)
        self.fc = nn.Linear(channels, classes)
        self.att_fc = nn.Linear(channels, classes)
        self.bn = nn.BatchNorm1d(channels)

    def forward(self, maps: Tensor) -> Outputs:
        """Outputs by name: logits of the clip by mean and by attention, and of frames."""
        pooled = self.gem_pool(maps) if hasattr(self, "gem_pool") else maps.mean(dim=2)
        frames = self.bn(pooled).transpose(1, 2)
        values, attention = self.fc(frames), self.att_fc(frames).softmax(dim=1)
        return {
            "att_clipwise": (values * attention).sum(dim=1),
            "clipwise_logits": values.mean(dim=1),
            "frame_logits": values,
        }


class BottleneckAttention(nn.Module):
    """A bottleneck, then attention over the classes' logits of frames (2026, a distilled network)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.gem_freq = MelGem(clamped=True, is_scalar=True)
        self.dense = nn.Sequential(nn.Dropout(0.5), nn.Linear(channels, HIDDEN), nn.ReLU(), nn.Dropout(0.5))
        self.att = nn.Conv1d(HIDDEN, classes, 1)
        self.cla = nn.Conv1d(HIDDEN, classes, 1)

    def forward(self, maps: Tensor) -> Outputs:
        """Outputs by name: logits of clip and frames."""
        hidden = self.dense(self.gem_freq(maps).transpose(1, 2)).transpose(1, 2)
        values = self.cla(hidden)
        weights = self.att(hidden).tanh().softmax(dim=2)
        return {"clip_logits": (weights * values).sum(dim=2), "framewise_logits": values.transpose(1, 2)}


class LogSumExp(nn.Module):
    """A soft maximum over the frames' logits (2026, silver)."""

    def __init__(self, channels: int, classes: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.cls_fc = nn.Sequential(
            nn.Linear(channels, channels), nn.ReLU(), nn.Dropout(0.5), nn.Linear(channels, classes)
        )

    def forward(self, maps: Tensor) -> Outputs:
        """Outputs by name: logits of clip and frames."""
        values = self.cls_fc(maps.mean(dim=2).transpose(1, 2))
        count = torch.log(torch.tensor(float(values.shape[1])))
        soft = self.temperature * (torch.logsumexp(values / self.temperature, dim=1) - count)
        return {"logits": soft, "frame_logits": values}


def middle(frames: int, share: float) -> tuple[int, int]:
    """First frame and end of the middle of a window; the end follows from the start before it is rounded."""
    start = frames / 2 - frames * share / 2
    return int(start), int(start + frames * share)
