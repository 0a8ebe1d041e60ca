"""Small ONNX graphs for tests, made node by node, and a network of the kit exported."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WEIGHTS = np.random.default_rng(5).normal(0, 1, (4, 16)).astype(np.float32)  # (classes, bins)


def graph_bytes(
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, Sequence[int | str]],
    outputs: dict[str, Sequence[int | str]],
    constants: dict[str, np.ndarray],
    domains: Sequence[str] = ("",),
) -> bytes:
    """A model of float32 inputs and outputs, by name and shape."""
    graph = helper.make_graph(
        list(nodes),
        "network",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    imports = [helper.make_opsetid(domain, 17 if not domain else 1) for domain in domains]
    return helper.make_model(graph, opset_imports=imports, ir_version=9).SerializeToString()


def tagger(scale: float = 1.0, shape: Sequence[int | str] = ("batch", 1, 16, "frames")) -> bytes:
    """Logits of four classes: a linear layer over the mean of each of 16 bins; the frames of a window may be any."""
    nodes = [
        helper.make_node("ReduceMean", ["windows"], ["means"], axes=[1, 3], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["logits"]),
    ]
    return graph_bytes(nodes, {"windows": shape}, {"logits": ("batch", 4)}, {"weights": scale * WEIGHTS.T.copy()})


def tagger_logits(windows: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """What tagger answers, by numpy: (batch, 1, 16, frames) -> (batch, 4)."""
    logits: np.ndarray = windows.mean((1, 3)) @ (scale * WEIGHTS.T)
    return logits


def slow_tagger(scale: float = 1.0, products: int = 40) -> bytes:
    """What tagger answers, after products of large matrices that depend on the windows and add nothing."""
    size = 500
    nodes = [
        helper.make_node("ReduceMean", ["windows"], ["means"], axes=[1, 3], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["bare"]),
        helper.make_node("ReduceMean", ["windows"], ["level"], axes=[0, 1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["level", "large"], ["product0"]),
        *(helper.make_node("MatMul", [f"product{i}", "large"], [f"product{i + 1}"]) for i in range(products)),
        helper.make_node("ReduceMean", [f"product{products}"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["bare", "nothing"], ["logits"]),
    ]
    constants = {
        "weights": scale * WEIGHTS.T.copy(),
        "large": np.full((size, size), 1 / size, np.float32),
        "zero": np.zeros((), np.float32),
    }
    return graph_bytes(nodes, {"windows": ("batch", 1, 16, "frames")}, {"logits": ("batch", 4)}, constants)
