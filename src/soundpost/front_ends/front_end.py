"""What every front end is: waveforms of equal length in, spectrograms out, no state and no randomness."""

from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import Tensor


class FrontEnd(Protocol):
    """A waveform -> spectrogram transform, fixed by its settings alone."""

    Settings: ClassVar[type]

    settings: Any

    def shape(self, samples: int) -> tuple[int, int, int]:
        """(channels, bins, frames) of the spectrogram of a waveform of that many samples, without computing it."""
        ...

    def __call__(self, waveforms: Tensor) -> Tensor:
        """(batch, samples) float32 in [-1, 1] -> (batch, channels, bins, frames) float32, on the input's device.

        A row's result is the same alone and in any batch.
        """
        ...


@runtime_checkable
class Compiling(Protocol):
    """A front end that computes with code which is compiled when it is first needed, once in each process."""

    def compile(self) -> None:
        """Compile it now, so that processes forked later have it; it takes seconds and starts no thread.

        Raises:
            SettingsError: the compiler cannot be used.
        """
        ...
