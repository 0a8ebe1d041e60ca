"""Inputs of the simongrest, filipmu and hires_spectrogram sets, which are given as rules."""

import re
from typing import Any

import numpy as np
from cases import assert_close, assert_stats
from torch import Tensor, from_numpy, inference_mode, nn

DRAWN = re.compile(r"(\w+) seed (\d+) shape \[([\d,]+)\]")  # as in "standard_normal seed 130 shape [5,10]"


def rule_input(source: dict[str, Any] | str) -> np.ndarray:
    """The float32 array of a rule, given as a table or, for normal numbers, in words."""
    if isinstance(source, str):
        rule, seed, shape = DRAWN.search(source).groups()
        source = {"rule": rule, "seed": int(seed), "shape": [int(n) for n in shape.split(",")]}
    shape, rule = tuple(source["shape"]), source["rule"]
    if rule == "pattern":
        return pattern(shape)
    random = np.random.RandomState(source["seed"])
    if rule == "uniform":
        array = random.uniform(source["lo"], source["hi"], shape).astype(np.float32)
        if source.get("then") == "x[:,0,:4]=0; x[:,1,:4]=1":
            array[:, 0, :4], array[:, 1, :4] = 0, 1
        return array
    if rule not in ("standard_normal", "square of standard_normal"):
        raise ValueError(f"input rule '{rule}' is not known. Add it to tests/golden/rule_inputs.py.")
    array = random.standard_normal(shape).astype(np.float32)
    return array if rule == "standard_normal" else array**2


def pattern(shape: tuple[int, ...]) -> np.ndarray:
    """x[b,c,h,w] = (1.5+b) sin(2 pi (3h/H + 5hw/(HW) + 0.37c)), float32."""
    b, c, h, w = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in shape), indexing="ij")
    phase = 3 * h / shape[2] + 5 * h * w / (shape[2] * shape[3]) + 0.37 * c
    return ((1.5 + b) * np.sin(2 * np.pi * phase)).astype(np.float32)


def check_network(
    model: nn.Module, batch: np.ndarray, case: dict[str, Any], logits: np.ndarray, stages: list[nn.Module]
) -> None:
    """Number of parameters, logits, and what every stage gives, are those of a case of kind "network"."""
    assert case["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    seen: dict[nn.Module, Tensor] = {}
    for stage in stages:
        stage.register_forward_hook(lambda module, _, output: seen.update({module: output}))
    with inference_mode():
        answer = model(from_numpy(batch)).numpy()
    atol = case["tol"]["rel_to_max"] * float(np.abs(logits).max())
    assert_close(logits, answer, atol, case["name"])
    for number, (expected, stage) in enumerate(zip(case["stage_stats"], stages, strict=True)):
        largest = max(abs(expected["max"]), abs(expected["min"]))
        assert_stats(expected, seen[stage].numpy(), case["tol"]["rel_to_max"] * largest, f"stage {number}")
