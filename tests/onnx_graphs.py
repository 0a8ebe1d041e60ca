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


FEATURES = np.random.default_rng(6).normal(0, 0.3, (16, 6)).astype(np.float32)  # (bins, features)
CLASSES = np.random.default_rng(7).normal(0, 0.3, (6, 4)).astype(np.float32)  # (features, classes)


def embedder() -> bytes:
    """Logits of four classes, the six features that they are made of, and both for each frame, as five outputs."""
    nodes = [
        helper.make_node("Squeeze", ["windows", "one"], ["bins_first"]),
        helper.make_node("Transpose", ["bins_first"], ["frames_first"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["frames_first", "features"], ["frame_features"]),
        helper.make_node("Transpose", ["frame_features"], ["features_first"], perm=[0, 2, 1]),
        helper.make_node("ReduceMean", ["frame_features"], ["embedding"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["frame_features", "classes"], ["frame_logits"]),
        helper.make_node("MatMul", ["embedding", "classes"], ["logits"]),
    ]
    outputs: dict[str, Sequence[int | str]] = {
        "logits": ("batch", 4),
        "embedding": ("batch", 6),
        "frame_logits": ("batch", "frames", 4),
        "frame_features": ("batch", "frames", 6),
        "features_first": ("batch", 6, "frames"),
    }
    constants = {"one": np.array([1], np.int64), "features": FEATURES, "classes": CLASSES}
    return graph_bytes(nodes, {"windows": ("batch", 1, 16, "frames")}, outputs, constants)


def embedder_features(windows: np.ndarray) -> np.ndarray:
    """The embedding of embedder, by numpy: (batch, 1, 16, frames) -> (batch, 6)."""
    features: np.ndarray = windows.mean((1, 3)) @ FEATURES
    return features
