"""Mel pictures of windows as image networks of BirdCLEF 2023 to 2026 take them: level, mel, decibels, picture steps."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from soundpost.errors import SettingsError
from soundpost.functional.mel import Bands, decibels, mel_power
from soundpost.functional.stft import Framing, check_waveforms, hann

LEVELS = ("as_is", "peak", "deviation")
SCOPES = ("window", "recording")
SMALLEST = 1e-6  # deviation of a waveform or a picture, range of a picture


@dataclass(frozen=True)
class WindowPictureSettings:
    """Sizes and steps; the defaults are those of the second place of BirdCLEF 2025."""

    sample_rate: int = 32000  # Hz
    level: str = "peak"  # what each window's waveform is brought to: "as_is", "peak" to 1, or its "deviation" to 1
    n_fft: int = 2048  # samples
    win_length: int = 0  # samples of the Hann window; 0 is n_fft
    hop_length: int = 512  # samples
    pad_mode: str = "reflect"  # "reflect" as torch, "constant" (zeros) as librosa since 0.9
    is_scaled: bool = True  # power divided by the sum of the window's squares
    n_mels: int = 128
    fmin: float = 20.0  # Hz
    fmax: float = 0.0  # Hz; 0 is half the sample rate
    mel_scale: str = "htk"  # "htk" as torchaudio, "slaney" as librosa
    mel_norm: str = ""  # "" for filters of height 1, "slaney" for filters of equal area
    top_db: float = 80.0  # dB below the maximum, the smallest value; 0 sets no such floor
    scope: str = "window"  # over which the maximum is taken: "window", or "recording": all windows of a call
    steps: tuple[str, ...] = ("standardise", "min_max")  # names in STEPS, done to the picture
    offset: float = 0.0  # dB, of the step affine: (picture - offset) / scale
    scale: float = 1.0
    size: tuple[int, ...] = ()  # (bins, frames) of the step resize
    epsilon: float = SMALLEST  # added to deviation and range

    def __post_init__(self) -> None:
        unknown = [step for step in self.steps if step not in STEPS]
        if unknown or self.level not in LEVELS or self.scope not in SCOPES:
            raise SettingsError(
                f"level '{self.level}', scope '{self.scope}', steps {', '.join(self.steps)}; known levels: "
                f"{', '.join(LEVELS)}; scopes: {', '.join(SCOPES)}; steps: {', '.join(STEPS)}. Correct [front_end]."
            )
        if ("resize" in self.steps) != (len(self.size) == 2):
            raise SettingsError(f"size {self.size} with steps {', '.join(self.steps)}. Give resize two numbers.")


class WindowPicture:
    """Pictures of windows; with scope "recording" the windows of one recording belong into one call."""

    Settings: ClassVar[type] = WindowPictureSettings

    def __init__(self, settings: WindowPictureSettings) -> None:
        self.settings = settings
        self.framing = Framing(settings.n_fft, settings.hop_length, settings.pad_mode, win_length=settings.win_length)
        self.bands = Bands(
            settings.sample_rate,
            settings.n_fft,
            settings.n_mels,
            settings.fmin,
            settings.fmax,
            settings.mel_scale,
            settings.mel_norm,
        )

    def shape(self, samples: int) -> tuple[int, int, int]:
        """(1, n_mels, frames), or (1, *size) where the picture is resized; frames = 1 + samples // hop_length."""
        if self.settings.size:
            return 1, self.settings.size[0], self.settings.size[1]
        return 1, self.settings.n_mels, self.framing.frames(samples)

    def __call__(self, waveforms: Tensor) -> Tensor:
        """(windows, samples) -> (windows, 1, bins, frames) float32; the lowest band is row 0.

        Source: specification of BirdCLEF systems, section 3; torchaudio's MelSpectrogram and AmplitudeToDB.
        """
        check_waveforms(waveforms)
        pictures = torch.stack([self._decibels(waveform) for waveform in waveforms])
        if self.settings.top_db:
            maxima = pictures.amax(dim=(1, 2), keepdim=True)
            top = maxima.amax() if self.settings.scope == "recording" else maxima
            pictures = torch.maximum(pictures, top - self.settings.top_db)
        for step in self.settings.steps:
            pictures = STEPS[step](pictures, self.settings)
        return pictures[:, None]

    def _decibels(self, waveform: Tensor) -> Tensor:
        """(samples,) -> (mels, frames) in dB, without a floor."""
        if self.settings.level == "peak":
            peak = waveform.abs().max()
            waveform = waveform / peak if peak > torch.finfo(torch.float32).tiny else waveform
        elif self.settings.level == "deviation":
            waveform = waveform / waveform.std().clamp(min=SMALLEST)
        power = mel_power(waveform, self.framing, self.bands)
        if self.settings.is_scaled:
            length = self.settings.win_length or self.settings.n_fft
            power = power / hann(length, torch.float64, waveform.device).square().sum().item()
        return decibels(power, 0.0)


def _standardised(pictures: Tensor, correction: int, epsilon: float) -> Tensor:
    """Mean 0 and deviation 1 for each picture; a picture of one value becomes zeros."""
    mean = pictures.mean(dim=(1, 2), keepdim=True)
    deviation = pictures.std(dim=(1, 2), keepdim=True, correction=correction)
    return torch.where(_is_flat(pictures), 0.0, (pictures - mean) / (deviation + epsilon))


def _min_max(pictures: Tensor, settings: WindowPictureSettings) -> Tensor:
    low, high = pictures.amin(dim=(1, 2), keepdim=True), pictures.amax(dim=(1, 2), keepdim=True)
    return (pictures - low) / (high - low + settings.epsilon)


def _turned_min_max(pictures: Tensor, settings: WindowPictureSettings) -> Tensor:
    """The maximum becomes 0 and the minimum 1, as some published networks were trained."""
    low, high = pictures.amin(dim=(1, 2), keepdim=True), pictures.amax(dim=(1, 2), keepdim=True)
    return (pictures - high) / (low - high + settings.epsilon)


def _affine(pictures: Tensor, settings: WindowPictureSettings) -> Tensor:
    return (pictures - settings.offset) / settings.scale


def _resize(pictures: Tensor, settings: WindowPictureSettings) -> Tensor:
    """Bilinear with antialiasing, as torchvision's Resize on tensors; a picture of one value stays one."""
    size = (settings.size[0], settings.size[1])
    resized = F.interpolate(pictures[:, None], size=size, mode="bilinear", antialias=True)[:, 0]
    return torch.where(_is_flat(pictures), pictures[:, :1, :1], resized)


def _is_flat(pictures: Tensor) -> Tensor:
    """(windows, 1, 1): whether all of a picture is one value, whose deviation would be rounding noise."""
    return pictures.amax(dim=(1, 2), keepdim=True) == pictures.amin(dim=(1, 2), keepdim=True)


STEPS: dict[str, Callable[[Tensor, WindowPictureSettings], Tensor]] = {
    "standardise": lambda pictures, settings: _standardised(pictures, 1, settings.epsilon),
    "standardise_population": lambda pictures, settings: _standardised(pictures, 0, settings.epsilon),
    "min_max": _min_max,
    "turned_min_max": _turned_min_max,
    "affine": _affine,
    "resize": _resize,
}
