"""Image networks of the timm library by name, with the heads that audio contests put on them.

timm is imported when a network is built, not before: it is an extra here, and in Kaggle's image it is installed.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from soundpost.errors import SettingsError
from soundpost.models.sed_heads import (
    AttentionSed,
    BottleneckAttention,
    FrameAttention,
    GemClassifier,
    LogSumExp,
    Outputs,
    OwnClassifier,
)

CHANNELS = ("equal", "mel_position")
NEAREST = 1e-7  # a probability is kept so far from 0 and 1 when its logit is taken


@dataclass(frozen=True)
class TimmSettings:
    """Which network of timm, which head, and which of its outputs is the answer."""

    timm: str  # name in timm.list_models(), as "tf_efficientnetv2_s.in21k_ft_in1k"
    head: str = "classifier"  # one of HEADS
    in_chans: int = 3  # channels of the network; a spectrogram of one channel fills them all
    channels: str = "equal"  # "equal": all the spectrogram; "mel_position": the last one is each row's place, 0 to 1
    output: str = ""  # which output of the head is the answer; "" is its first
    classes: int = 0  # classes of the checkpoint, where it has more than the recipe; 0: the recipe's
    selected: tuple[int, ...] = ()  # which of them are the recipe's, in its order
    has_gem: bool = False  # frame_attention: generalised mean over mels instead of the mean
    stem_stride: int = 0  # frame_attention: of the first convolution (the fourth of an NFNet); 0: timm's own
    mixed: float = 0.5  # attention_sed: share of the loudest frame in the mixed output
    share: float = 1.0  # attention_sed: of the window, in its middle, that a row lies in
    temperature: float = 1.0  # log_sum_exp: 1 / sharpness of the soft maximum
    clip_weight: float = 1.0  # share of the answer; the rest goes to the maximum over frames, as probabilities
    logit_limit: float = 0.0  # largest |logit| of the answer; 0 sets none

    def __post_init__(self) -> None:
        if self.channels not in CHANNELS or self.head not in HEADS:
            raise SettingsError(
                f"[model] head '{self.head}', channels '{self.channels}'; known heads: {', '.join(HEADS)}; known "
                f"channels: {', '.join(CHANNELS)}. Correct the recipe."
            )


class TimmNetwork(nn.Module):
    """A timm network as "backbone" and a head as "head"; forward gives logits, outputs() all that the head knows."""

    Settings: ClassVar[type] = TimmSettings

    def __init__(self, settings: TimmSettings, n_classes: int) -> None:
        super().__init__()
        self.settings = settings
        classes = settings.classes or n_classes
        if len(settings.selected or range(classes)) != n_classes:
            raise SettingsError(
                f"[model] gives {len(settings.selected or range(classes))} classes and the recipe has {n_classes} "
                "labels. Correct classes and selected."
            )
        if settings.head == "classifier":
            self.backbone, channels = create(settings, num_classes=classes), 0
        elif settings.head == "attention_sed":
            self.backbone = create(settings, features_only=True, exportable=True)
            channels = int(cast("Any", self.backbone).feature_info.channels()[-1])
        else:
            self.backbone = create(settings, num_classes=0, global_pool="")
            body = cast("Any", self.backbone)
            channels = int(getattr(body, "head_hidden_size", None) or body.num_features)
            _set_stem_stride(self.backbone, settings)
        self.head = HEADS[settings.head](settings, channels, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """(batch, 1 or in_chans, mels, frames) -> logits (batch, classes) of the answer that the settings name."""
        outputs = self.outputs(pictures)
        name = self.settings.output or next(iter(outputs))
        if name not in outputs:
            raise SettingsError(f"[model] output '{name}'; known: {', '.join(outputs)}. Correct the recipe.")
        answer = self._limited(outputs[name])
        if self.settings.clip_weight < 1:
            weight, frames = self.settings.clip_weight, next(outputs[key] for key in FRAME_LOGITS if key in outputs)
            loudest = self._limited(frames.amax(dim=1))
            answer = logits_of(weight * answer.sigmoid() + (1 - weight) * loudest.sigmoid())
        elif "_pred_" in name:
            answer = logits_of(outputs[name])
        return answer[..., list(self.settings.selected)] if self.settings.selected else answer

    def outputs(self, pictures: Tensor) -> Outputs:
        """All outputs of the head by name, over all classes of the checkpoint."""
        maps = self.backbone(with_channels(pictures, self.settings))
        outputs: Outputs = self.head(maps[-1] if isinstance(maps, list) else maps)
        return outputs

    def _limited(self, logits: Tensor) -> Tensor:
        limit = self.settings.logit_limit
        return logits.clamp(-limit, limit) if limit else logits


FRAME_LOGITS = ("framewise_logits", "frame_logits", "framewise_logits_short")  # whichever a head gives


def create(settings: TimmSettings, **options: Any) -> nn.Module:
    """A network of timm without weights.

    Raises:
        SettingsError: timm is not installed, or does not know the name.
    """
    try:
        import timm
    except ImportError as error:
        raise SettingsError(
            f"[model] timm = '{settings.timm}' needs the package timm, which is not installed here ({error}). "
            "Install timm, or run where it is, as in Kaggle's image."
        ) from error
    try:
        with warnings.catch_warnings():  # published checkpoints name bodies as older versions of timm did
            warnings.filterwarnings("ignore", "Mapping deprecated model name")
            network: nn.Module = timm.create_model(settings.timm, False, in_chans=settings.in_chans, **options)
    except RuntimeError as error:
        raise SettingsError(
            f"[model] timm = '{settings.timm}': {error}. Take a name that timm.list_models() of version "
            f"{timm.__version__} has."
        ) from error
    return network


def with_channels(pictures: Tensor, settings: TimmSettings) -> Tensor:
    """(batch, 1, mels, frames) as the network's channels; pictures that have them already stay."""
    if pictures.shape[1] == settings.in_chans and settings.channels == "equal":
        return pictures
    result = pictures[:, :1].expand(-1, settings.in_chans, -1, -1)
    if settings.channels == "equal":
        return result
    mels = pictures.shape[2]
    place = torch.linspace(0.0, 1.0, mels, device=pictures.device, dtype=pictures.dtype)
    last = place[None, None, :, None].expand(len(pictures), 1, mels, pictures.shape[3])
    return torch.cat([result[:, :-1], last], dim=1)


def logits_of(probabilities: Tensor) -> Tensor:
    """Logits whose sigmoid are these probabilities, which are kept a little away from 0 and 1."""
    return torch.logit(probabilities, eps=NEAREST)


def _set_stem_stride(backbone: nn.Module, settings: TimmSettings) -> None:
    if settings.stem_stride:
        place = 3 if "nfnet" in settings.timm else 0
        stem = [module for module in backbone.modules() if isinstance(module, nn.Conv2d)][place]
        stem.stride = (settings.stem_stride, settings.stem_stride)


HEADS: dict[str, Callable[[TimmSettings, int, int], nn.Module]] = {
    "classifier": lambda settings, channels, classes: OwnClassifier(),
    "gem_classifier": lambda settings, channels, classes: GemClassifier(channels, classes),
    "attention_sed": lambda settings, channels, classes: AttentionSed(
        channels, classes, settings.mixed, settings.share
    ),
    "frame_attention": lambda settings, channels, classes: FrameAttention(channels, classes, settings.has_gem),
    "bottleneck_attention": lambda settings, channels, classes: BottleneckAttention(channels, classes),
    "log_sum_exp": lambda settings, channels, classes: LogSumExp(channels, classes, settings.temperature),
}
