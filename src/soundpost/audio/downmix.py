"""Several channels -> one: their mean, except where the mean is silence and the channels are not."""

import numpy as np

CANCELLED = 1e-3  # a mean with less than this part of the channels' energy has lost 30 dB: they are in anti-phase


class Downmix:
    """Gathers blocks of samples as one channel and notices channels that cancel each other.

    Args:
        channel: the one to keep; None keeps the mean of all.
    """

    def __init__(self, channel: int | None = None) -> None:
        self.count = 0  # sample times so far
        self._channel = channel
        self._blocks: list[np.ndarray] = []
        self._energies: np.ndarray | None = None  # (channels,), float64
        self._energy = 0.0  # sum over the samples that were kept

    def add(self, block: np.ndarray) -> None:
        """Take the next samples, (samples, channels) float32; the channels are as many as in the block before."""
        self.count += len(block)
        channels = block.shape[1]
        if channels == 1:
            self._blocks.append(block[:, 0])
        elif self._channel is not None:
            self._blocks.append(block[:, min(self._channel, channels - 1)].copy())
        else:
            mono = (block[:, 0] + block[:, 1]) * np.float32(0.5) if channels == 2 else block.mean(axis=1)
            self._blocks.append(mono)
            self._weigh(block, mono)

    def waveform(self) -> np.ndarray:
        """All samples so far, (samples,) float32."""
        return np.concatenate(self._blocks) if self._blocks else np.zeros(0, np.float32)

    def cut(self, samples: int) -> "Downmix":
        """The same without what lies beyond so many samples."""
        if self.count > samples:
            self._blocks, self.count = [self.waveform()[:samples]], samples
        return self

    def without_head(self, samples: int) -> "Downmix":
        """The same without the first so many samples."""
        self._blocks = [self.waveform()[samples:]]
        self.count = len(self._blocks[0])
        return self

    def better_channel(self) -> int | None:
        """The loudest channel where the channels cancel each other; None where their mean is sound."""
        if self._energies is None or not self._energies.any():
            return None
        cancelled = self._energy < CANCELLED * self._energies.mean()
        return int(self._energies.argmax()) if cancelled else None

    def _weigh(self, block: np.ndarray, mono: np.ndarray) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            energies = np.einsum("ij,ij->j", block, block).astype(np.float64)
            energy = float(np.dot(mono, mono))
        if not np.isfinite(energies).all():
            return  # samples that are no numbers say nothing about the phase
        if self._energies is None or len(self._energies) != len(energies):
            self._energies, self._energy = np.zeros(len(energies)), 0.0
        self._energies += energies
        self._energy += energy
