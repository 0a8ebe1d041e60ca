"""Processors that pass for GPUs: to torch "cpu:0" is a processor, to the engine a device beside the cores."""

import pytest
import torch
from fakes_by_name import FAKE_MODELS

from soundpost.engine import provision
from soundpost.models import MODELS

GPUS = ("cpu:0", "cpu:1")


def stand_in(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let runs in this process find these GPUs, without what only CUDA can do; recipes may ask for the fakes."""
    for name, place in FAKE_MODELS.items():
        monkeypatch.setitem(MODELS, name, place)
    monkeypatch.setattr(provision, "choose_devices", lambda asked: list(names))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**28, 2**28))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
