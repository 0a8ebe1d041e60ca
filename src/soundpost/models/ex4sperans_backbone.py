"""The late variant of ex4sperans: a ResNet over the log-spectrogram, under the head that its other networks have.

Source: systems specification of ex4sperans/freesound-classification, section 3.5. Names of the state dict are those of
its checkpoints, less backbone.last_linear, which nothing reads.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from soundpost.errors import SettingsError
from soundpost.models.layers import classifier, residual_stage

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}


@dataclass(frozen=True)
class BackboneSettings:
    """Which backbone."""

    backbone: str = "resnet18"  # or "resnet34"
    output_dropout: float = 0.0  # before the last linear layer


class Backbone(nn.Module):
    """Stem and four stages of a ResNet; everything below its classifier."""

    def __init__(self, blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = residual_stage(64, 64, blocks[0], 1)
        self.layer2 = residual_stage(64, 128, blocks[1], 2)
        self.layer3 = residual_stage(128, 256, blocks[2], 2)
        self.layer4 = residual_stage(256, 512, blocks[3], 2)

    def forward(self, batch: Tensor) -> Tensor:
        """(batch, 3, bins, frames) -> (batch, 512, ceil(bins / 32), ceil(frames / 32))."""
        stem = F.max_pool2d(F.relu(self.bn1(self.conv1(batch))), 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(stem))))


class Ex4speransBackbone(nn.Module):
    """Three copies of the log-spectrogram through batch norm, backbone, global maximum and classifier."""

    Settings: ClassVar[type] = BackboneSettings

    def __init__(self, settings: BackboneSettings, n_classes: int) -> None:
        super().__init__()
        if settings.backbone not in BLOCKS:
            raise SettingsError(
                f"backbone '{settings.backbone}' is not known; known: {', '.join(BLOCKS)}. Correct [model]."
            )
        self.input_norm = nn.BatchNorm2d(3)
        self.backbone = Backbone(BLOCKS[settings.backbone])
        self.output_transform = classifier(512, n_classes, settings.output_dropout)

    def forward(self, batch: Tensor) -> Tensor:
        """Logits (batch, classes) of natural log amplitudes (batch, 1, bins, frames)."""
        planes = self.input_norm(batch.expand(-1, 3, -1, -1))
        return self.output_transform(self.backbone(planes).amax((2, 3)))
