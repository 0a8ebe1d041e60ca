"""Training clips composed in the mel-power domain: several sources in sequence or on top of each other, in any colour.

Powers of sounds that do not depend on each other add, so mixing, gain, equalisation and background are sums and
products of mel powers; only the speeds need the waveform, and the bank holds those ready.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from soundpost.training.bank import Bank

SMALLEST = 1e-10  # power; the floor of the front end's dB


@dataclass(frozen=True)
class ComposeSettings:
    """How a training clip comes about; probabilities unless a unit is given."""

    layers: tuple[float, ...] = (0.4, 0.4, 0.2)  # for one, two, three sources in a clip
    sequence: float = 0.4  # for several sources that follow one another, rather than overlap
    snr_db: float = 9.0  # dB; levels of further sources against the first, either way
    gain_db: float = 24.0  # dB below full scale at most
    stretch: float = 0.15  # natural log; time alone is stretched by up to exp of this, either way
    shift_bands: int = 0  # mel bands that a source is moved by at most, either way; pitch alone
    silence: float = 0.25  # for digital silence at the beginning, and for such at the end
    gaps: float = 0.3  # for a looped source with silence between its repeats
    tilt_db: float = 8.0  # dB at either end of the frequency axis, per source
    ripple_db: float = 4.0  # dB, amplitude of slow waves along the frequency axis, per source
    background: float = 0.5  # for steady noise under the clip
    background_db: tuple[float, float] = (-55.0, -20.0)  # dB against the clip's mean power
    mask_bands: int = 12  # mel bands at most in each of two masks
    mask_frames: float = 0.2  # what part of the clip each of two masks takes at most
    smoothing: float = 0.04  # what part of a target is taken from what is there and given to what is not


class Composer:
    """Draws batches of training clips from a bank; the same generator state gives the same batch."""

    def __init__(self, bank: Bank, settings: ComposeSettings, generator: torch.Generator) -> None:
        self.bank = bank
        self.settings = settings
        self.generator = generator
        self.device = bank.powers.device
        # Energy up to each frame at the recording's own pace, to find out which stretch of a source is heard at all.
        energy = bank.powers.sum(1, dtype=torch.float64).cumsum(0)
        self.energy = torch.cat([torch.zeros_like(energy[:1]), energy])

    def batch(self, first: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """One clip for each source in first, which is heard in it, with its targets.

        Args:
            first: (batch,) rows of the bank.
            frames: length of the clips.

        Returns:
            (batch, 1, mels, frames) float32, dB; (batch, classes) targets in [0, 1].
        """
        settings, count, depth = self.settings, len(first), len(self.settings.layers)
        others = self._integers(len(self.bank.truth), (count, depth - 1))
        sources = torch.cat([first[:, None], others], dim=1)
        start, end = self._spans(count, frames)
        powers = self._layers(sources, start, end, frames)
        heard = powers.sum((2, 3)) > 0
        level = powers.mean((2, 3)) / ((end - start).clamp(min=1) / frames)
        snr = 10 ** (self._uniform((count, depth), -settings.snr_db, settings.snr_db) / 10)
        snr[:, 0] = 1
        gain = torch.where(heard, snr * level[:, :1] / level.clamp(min=1e-20), torch.zeros_like(level))
        clips = (powers * gain[..., None, None] * self._colour((count, depth))[:, :, None]).sum(1)
        clips = clips + self._background(clips)
        clips = clips * 10 ** (self._uniform((count, 1, 1), -settings.gain_db, 0) / 10)
        log_mels = 10 * torch.log10(clips.clamp(min=SMALLEST))
        targets = (self.bank.truth[sources] * heard[..., None]).amax(1)
        targets = targets * (1 - settings.smoothing) + settings.smoothing / 2
        return self._mask(log_mels).transpose(1, 2)[:, None], targets

    def _spans(self, count: int, frames: int) -> tuple[Tensor, Tensor]:
        """First and last-but-one frame of each layer, (batch, layers); equal where a layer is not used."""
        settings, depth = self.settings, len(self.settings.layers)
        at_least = torch.tensor(settings.layers, device=self.device).flip(0).cumsum(0).flip(0)
        on = self._uniform((count, 1), 0, at_least[0].item()) < at_least
        head = torch.where(self._chance((count, 1), settings.silence), self._uniform((count, 1), 0.05, 0.3), 0)
        tail = torch.where(self._chance((count, 1), settings.silence), self._uniform((count, 1), 0.05, 0.5), 0)
        shares = self._uniform((count, depth), 0.2, 1) * on
        edges = (shares / shares.sum(1, keepdim=True)).cumsum(1)
        # The first layer of a sequence must not always come first.
        turned = self._chance((count, 1), 0.5)
        before = torch.cat([torch.zeros_like(edges[:, :1]), edges[:, :-1]], dim=1)
        following = torch.where(turned, 1 - edges, before), torch.where(turned, 1 - before, edges)
        width = self._uniform((count, depth), 0.3, 1)
        width[:, 0] = 1
        place = self._uniform((count, depth), 0, 1) * (1 - width)
        chosen = self._chance((count, 1), settings.sequence)
        start = torch.where(chosen, following[0], place)
        end = torch.where(chosen, following[1], place + width)
        body = (1 - head - tail) * frames
        start, end = (head * frames + start * body).round(), (head * frames + end * body).round()
        end = torch.maximum(end, start + 1).clamp(max=frames)
        return torch.minimum(start, end - 1), torch.where(on, end, torch.minimum(start, end - 1))

    def _layers(self, sources: Tensor, start: Tensor, end: Tensor, frames: int) -> Tensor:
        """Mel powers of each layer on its own, (batch, layers, frames, mels)."""
        shape, settings = sources.shape, self.settings
        speed = self._integers(len(self.bank.lengths), shape)
        stretch = torch.exp(self._uniform(shape, -settings.stretch, settings.stretch))
        length = self.bank.lengths[speed, sources]
        gap = torch.where(self._chance(shape, settings.gaps), self._uniform(shape, 0.02, 0.5) * frames, 0)
        # The loudest of three places to begin: a bark may be a tenth of its recording.
        span = ((end - start) * stretch).clamp(min=1)
        begins = (self._uniform((*shape, 3), 0, 1) * (length[..., None] - span[..., None]).clamp(min=1)).long()
        stops = torch.minimum(begins + span[..., None].long(), length[..., None])
        first = self.bank.begins[speed, sources][..., None]
        best = (self.energy[first + stops] - self.energy[first + begins]).argmax(-1, keepdim=True)
        begin = begins.gather(-1, best)[..., 0]
        moment = torch.arange(frames, device=self.device)
        at = begin[..., None] + (moment - start[..., None]) * stretch[..., None]
        at = torch.remainder(at, (length + gap)[..., None]).long()
        inside = (moment >= start[..., None]) & (moment < end[..., None]) & (at < length[..., None])
        powers = self.bank.powers[first + torch.minimum(at, length[..., None] - 1)]
        return self._shifted(powers) * inside[..., None]

    def _shifted(self, powers: Tensor) -> Tensor:
        """Each layer's bands moved up or down by its own number; the band at the edge fills what they leave."""
        most, mels = self.settings.shift_bands, powers.shape[3]
        if most == 0:
            return powers
        shift = self._integers(2 * most + 1, powers.shape[:2]) - most
        source = (torch.arange(mels, device=self.device) - shift[..., None]).clamp(0, mels - 1)
        return powers.gather(3, source[:, :, None].expand(powers.shape))

    def _colour(self, shape: tuple[int, int]) -> Tensor:
        """A smooth gain per mel band, as other microphones and rooms have it: (batch, layers, mels)."""
        axis = torch.linspace(-1, 1, self.bank.powers.shape[1], device=self.device)
        curve = self._uniform((*shape, 1), -1, 1) * self.settings.tilt_db * axis
        for waves in (1, 2, 3):
            phase = self._uniform((*shape, 1), 0, 2 * math.pi)
            height = self._uniform((*shape, 1), 0, self.settings.ripple_db / waves)
            curve = curve + height * torch.sin(math.pi * waves * axis + phase)
        return 10 ** (curve / 10)

    def _background(self, clips: Tensor) -> Tensor:
        """Steady noise of a random colour under each clip, (batch, frames, mels)."""
        count = len(clips)
        level = 10 ** (self._uniform((count, 1, 1), *self.settings.background_db) / 10)
        level = level * self._chance((count, 1, 1), self.settings.background)
        grain = -torch.log(self._uniform(clips.shape, 1e-6, 1))  # power of noise is exponentially distributed
        return clips.mean((1, 2), keepdim=True) * level * self._colour((count, 1)) * grain

    def _mask(self, log_mels: Tensor) -> Tensor:
        """Two bands and two stretches of each clip put to its mean, (batch, frames, mels)."""
        count, frames, mels = log_mels.shape
        fill = log_mels.mean((1, 2), keepdim=True)
        for axis, size, most in ((2, mels, self.settings.mask_bands), (1, frames, self.settings.mask_frames * frames)):
            place = torch.arange(size, device=self.device).view((1, 1, -1) if axis == 2 else (1, -1, 1))
            for _ in range(2):
                width = self._uniform((count, 1, 1), 0, 1) * most
                begin = self._uniform((count, 1, 1), 0, 1) * (size - width)
                log_mels = torch.where((place >= begin) & (place < begin + width - 0.5), fill, log_mels)
        return log_mels

    def _uniform(self, shape: tuple[int, ...] | torch.Size, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=self.generator, device=self.device)

    def _integers(self, below: int, shape: tuple[int, ...] | torch.Size) -> Tensor:
        return torch.randint(below, shape, generator=self.generator, device=self.device)

    def _chance(self, shape: tuple[int, ...], probability: float) -> Tensor:
        return self._uniform(shape, 0, 1) < probability
