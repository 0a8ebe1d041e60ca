"""ONNX Runtime on the cores: one session for all lanes, each of which computes in its own thread."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from soundpost.errors import WeightsError
from soundpost.inference.backends.session import Port, runtime_error

DTYPES = {"float": "float32", "double": "float64"}  # where its names differ from numpy's
FATAL = 4  # severity from which it writes to stderr; errors come as exceptions, and style helps nobody here


class OnnxRuntime:
    """A graph in one InferenceSession, which several threads may call at once: the weights are in memory once.

    With one thread inside, a call computes in the thread of the lane that makes it. Without arena and without memory
    patterns nothing is kept of the lengths that were seen, which an engine with clips of every length must ask for.
    """

    def __init__(self, graph: bytes, lanes: int = 1) -> None:
        del lanes  # one session serves them all
        onnxruntime = import_module("onnxruntime")

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False
        options.log_severity_level = FATAL
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
            self.inputs = tuple(map(_port, self._session.get_inputs()))
            self.outputs = tuple(map(_port, self._session.get_outputs()))
        except Exception as error:  # its classes share no base but Exception
            problem = runtime_error("onnxruntime", error)
            if isinstance(problem, MemoryError):
                raise problem from error
            raise WeightsError(
                f"ONNX Runtime {onnxruntime.__version__} cannot load the graph of {len(graph):,} bytes ({problem}). "
                "Take the whole file again, or export it with an older opset."
            ) from error

    def run(self, arrays: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        """The outputs of these names, in this order."""
        try:
            answers: list[np.ndarray] = self._session.run(list(outputs), dict(arrays))
        except Exception as error:  # see above
            raise runtime_error("onnxruntime", error) from error
        return answers


def _port(node: Any) -> Port:
    kind = node.type.removeprefix("tensor(").removesuffix(")")
    sizes = tuple(size if isinstance(size, int) else str(size or "") for size in node.shape)
    return Port(node.name, DTYPES.get(kind, kind), sizes)
