"""OpenVINO on the cores: one compiled graph for each lane, with one thread that computes while the lane waits.

A request is started and waited for. The simpler infer() hides a want of memory: it returns the answers of the batch
before, or garbage. And after an error a request may answer wrongly or crash, so it is never used again.

The first call of a process is made alone. Tables are filled then, and two threads that do so at once wait for each
other without end: one holds the interpreter and wants the table, the other fills it and wants the interpreter.
"""

import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from soundpost.errors import WeightsError
from soundpost.inference.backends.session import Port, runtime_error

# Answers are float32 also on cores that have bfloat16. The cache of kernels by input shape, which grows with every new
# length of a clip, is switched off. Copies that bind their threads bind all of them to the same core.
CONFIG: dict[str, Any] = {
    "INFERENCE_NUM_THREADS": 1,
    "NUM_STREAMS": 1,
    "INFERENCE_PRECISION_HINT": "f32",
    "CPU_RUNTIME_CACHE_CAPACITY": 0,
    "ENABLE_CPU_PINNING": False,
}
ALONE = threading.Lock()  # held by the calls that may be the first one
IS_WARM = threading.Event()  # one call has come to its end
DTYPES = {"f16": "float16", "f32": "float32", "f64": "float64", "i32": "int32", "i64": "int64", "boolean": "bool"}


class OpenVino:
    """A graph compiled for the CPU as often as lanes call at once; the first one when it is loaded."""

    def __init__(self, graph: bytes, lanes: int = 1) -> None:
        openvino = import_module("openvino")

        self._core = openvino.Core()
        self._idle: list[Any] = []
        self._lock = threading.Lock()
        self._lanes = lanes
        self._slots = threading.Semaphore(lanes)
        try:
            self._model = self._core.read_model(graph)
            self._idle.append(self._request())
            self.inputs = tuple(map(_port, self._model.inputs))
            self.outputs = tuple(map(_port, self._model.outputs))
        except Exception as error:  # RuntimeError as a rule, but its front ends raise others
            problem = runtime_error("openvino", error)
            if isinstance(problem, MemoryError):
                raise problem from error
            raise WeightsError(
                f"OpenVINO {openvino.__version__} cannot load the graph of {len(graph):,} bytes ({problem}). "
                "Take the whole file again, or leave it to ONNX Runtime."
            ) from error

    def run(self, arrays: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        """The outputs of these names, in this order."""
        if IS_WARM.is_set():
            return self._run(arrays, outputs)
        with ALONE:
            answers = self._run(arrays, outputs)
        IS_WARM.set()
        return answers

    def _run(self, arrays: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        with self._slots:  # never more compiled copies than lanes
            with self._lock:
                request = self._idle.pop() if self._idle else None
            try:
                request = request or self._request()
                request.start_async(dict(arrays), share_inputs=True)
                request.wait()
                answers = [np.array(request.get_tensor(name).data) for name in outputs]
            except Exception as error:  # see above
                raise runtime_error("openvino", error) from error
            with self._lock:
                self._idle.append(request)
            return answers

    def _request(self) -> Any:
        return self._core.compile_model(self._model, "CPU", CONFIG).create_infer_request()


def _port(node: Any) -> Port:
    sizes = tuple(axis.get_length() if axis.is_static else "" for axis in node.partial_shape)
    kind = node.element_type.get_type_name()
    return Port(node.any_name, DTYPES.get(kind, kind), sizes)
