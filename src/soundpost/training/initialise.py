"""How weights start where a published system did not start as torch does."""

from math import sqrt

import torch
from torch import nn

from soundpost.errors import SettingsError

WAYS = ("own", "keras", "fastai2_head")


def initialise(network: nn.Module, way: str) -> None:
    """Put fresh weights into a network.

    Args:
        network: changed in place.
        way: "own" leaves them as the network made them.

    Raises:
        SettingsError: another way.
    """
    if way not in WAYS:
        raise SettingsError(f"initialise = '{way}'; known: {', '.join(WAYS)}. Correct it.")
    for module in network.modules():
        if way == "keras":
            keras(module)
    if way == "fastai2_head":
        fastai2_head(network.get_submodule("1"))


@torch.no_grad()
def keras(module: nn.Module) -> None:
    """Glorot uniform over the window, orthogonal recurrent weights, zero biases.

    The three gates of a GRU count as one matrix.

    Source: systems specification of qrfaction.
    """
    if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, nn.GRU):
        for name, value in module.named_parameters(recurse=False):
            if name.startswith("weight_ih"):
                limit = sqrt(6 / sum(value.shape))
                nn.init.uniform_(value, -limit, limit)
            elif name.startswith("weight_hh"):
                # Keras' matrix is (hidden, 3 hidden) with orthonormal rows; torch keeps it the other way round.
                value.copy_(nn.init.orthogonal_(torch.empty(value.shape[1], value.shape[0])).T)
            else:
                nn.init.zeros_(value)


@torch.no_grad()
def fastai2_head(head: nn.Module) -> None:
    """Kaiming normal weights of variance 2 / inputs, batch norms of weight 1 and bias 1e-3, no other biases.

    Source: systems specification of the high-resolution spectrograms, fastai2.
    """
    for module in head.modules():
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.ones_(module.weight)
            nn.init.constant_(module.bias, 1e-3)
