"""A network of somebody's own: made by a class or function in a file beside recipe.toml, or in an installed package.

The file, and those that it imports, are run when the network is made: they are the person's own code, and they travel
with their kernel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn

from soundpost.errors import KitError, SettingsError, WeightsError, sentence
from soundpost.own_code.by_name import own_code

AXES = ("batch", "channels", "bins", "frames")


@dataclass(frozen=True)
class OwnNetworkSettings:
    """What makes the network, what it takes, and which of its outputs is the answer."""

    attribute: str  # class or function that gives the network
    file: str = ""  # where it stands, below the folder of recipe.toml; this file travels with the kernel
    files: tuple[str, ...] = ()  # the files that it imports; they lie there too, and travel as well
    module: str = ""  # or in which module of an installed package, such as torchvision.models
    arguments: Mapping[str, Any] = field(default_factory=dict)  # what it is called with, by name
    packages: tuple[str, ...] = ()  # which it needs beside those that every kernel has
    axes: tuple[str, ...] = AXES  # the order in which it takes them; one that is left out must have length 1
    channels: int = 0  # how many it takes: a spectrogram of one channel fills them all; 0 leaves them as they are
    output: str = ""  # key of a dict or place in a tuple, "a.1" for one within another; "" is the answer as it comes
    folder: str = ""  # where the file lies; filled in when a weights folder is read

    def __post_init__(self) -> None:
        if set(self.axes) - set(AXES) or len(set(self.axes)) != len(self.axes) or self.axes[:1] != AXES[:1]:
            raise SettingsError(f"[model] axes {', '.join(self.axes)}; known: {', '.join(AXES)}. Begin with batch.")
        if bool(self.file) == bool(self.module):
            raise SettingsError("[model] must say either file or module. Write it again with soundpost import add.")


class OwnNetwork(nn.Module):
    """The network as "network", behind a change of axes and in front of a choice among its outputs."""

    Settings: ClassVar[type] = OwnNetworkSettings

    def __init__(self, settings: OwnNetworkSettings, n_classes: int) -> None:
        super().__init__()
        self.settings = settings
        self.n_classes = n_classes
        maker = own_code(settings.file, settings.module, settings.attribute, settings.folder, settings.files)
        try:
            network = maker(**settings.arguments)
        except (KitError, MemoryError):
            raise
        except Exception as error:  # code of somebody else may raise anything
            raise SettingsError(
                f"{settings.attribute} of {settings.file or settings.module} cannot be made: {sentence(error)}. "
                "Correct its code or its arguments in [model]. Files beside it that are not Python do not travel."
            ) from error
        if not isinstance(network, nn.Module):
            raise WeightsError(
                f"{settings.attribute} gives {type(network).__name__}, which is no torch.nn.Module. Name the class."
            )
        self.network = network

    def forward(self, windows: Tensor) -> Tensor:
        """(batch, channels, bins, frames) -> what the network answers, (batch, classes)."""
        if self.settings.channels and windows.shape[1] == 1:
            windows = windows.expand(-1, self.settings.channels, -1, -1)
        return chosen(self.network(arranged(windows, self.settings.axes)), self.settings.output)


def arranged(windows: Tensor, axes: Sequence[str]) -> Tensor:
    """(batch, channels, bins, frames) in the order of axes, less those of length 1 that it does not name.

    Raises:
        WeightsError: an axis that is left out has another length.
    """
    dropped = [i for i, axis in enumerate(AXES) if axis not in axes]
    if any(windows.shape[i] != 1 for i in dropped):
        raise WeightsError(
            f"windows {tuple(windows.shape)}, {', '.join(AXES)}: axes {', '.join(axes)} leave out one that is longer "
            "than 1. Name it in [model] axes."
        )
    order = [AXES.index(axis) for axis in axes]
    return windows.permute(*order, *dropped).reshape([windows.shape[i] for i in order])


def chosen(answer: Any, output: str) -> Tensor:
    """The tensor that a network's answer holds under that key.

    Args:
        answer: a tensor, or a dict, list or tuple of such, nested or not.
        output: keys and places, with dots between; "" where the answer is a tensor.

    Raises:
        SettingsError: no such output, or none is named and there are several; the message lists them.
    """
    found = answer
    for key in filter(None, output.split(".")):
        if isinstance(found, Mapping) and key in found:
            found = found[key]
        elif isinstance(found, Sequence) and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        else:
            raise SettingsError(f"output '{output}' is not there; known: {_listed(answer)}. Correct output in [model].")
    if not isinstance(found, Tensor):
        raise SettingsError(
            f"the network answers with {type(found).__name__}: {_listed(answer)}. Name one as output in [model]."
        )
    return found


def _listed(answer: Any, before: str = "") -> str:
    """Every tensor in an answer by its key, with its shape."""
    if isinstance(answer, Tensor):
        return f"{before.rstrip('.') or 'the answer itself'} {tuple(answer.shape)}"
    if isinstance(answer, Mapping):
        entries = list(answer.items())
    elif isinstance(answer, Sequence) and not isinstance(answer, str):
        entries = list(enumerate(answer))
    else:
        return f"{before.rstrip('.')} {type(answer).__name__}"
    return ", ".join(_listed(value, f"{before}{key}.") for key, value in entries) or "nothing"
