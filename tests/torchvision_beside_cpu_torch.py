"""Lets timm be imported beside torch's CPU build, for the tests alone.

The compiled operators of PyPI's torchvision do not load there, and torchvision registers Python kernels for them when
it is imported: here they get names, so that it can be. None of them can be called; no network of timm does.
"""

import importlib.util

import torch

OPERATORS = (
    "nms",
    "qnms",
    "roi_align",
    "_roi_align_backward",
    "roi_pool",
    "_roi_pool_backward",
    "ps_roi_align",
    "_ps_roi_align_backward",
    "ps_roi_pool",
    "_ps_roi_pool_backward",
    "deform_conv2d",
    "_deform_conv2d_backward",
)


def has_timm() -> bool:
    """Whether timm and the torchvision that it imports are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("timm", "torchvision"))


LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
if torch.version.cuda is None:
    for name in OPERATORS:
        if not hasattr(torch.ops.torchvision, name):
            LIBRARY.define(f"{name}(Tensor x) -> Tensor")
