"""Network families by name. Each class takes (settings, n_classes) and has its Settings dataclass as an attribute."""

from torch import nn

MODELS: dict[str, type[nn.Module]] = {}

__all__ = ["MODELS"]
