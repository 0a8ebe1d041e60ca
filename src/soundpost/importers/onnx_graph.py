"""An .onnx file as far as it can be judged without running it: whole, self-contained, of standard operators, no state.

Needs the package onnx, which no kernel has: what a kernel carries was judged here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundpost.errors import SettingsError, WeightsError
from soundpost.inference.backends.session import Port

STANDARD = ("", "ai.onnx", "ai.onnx.ml")  # domains whose operators every runtime has
SHOWN = 4  # names that a message lists


@dataclass(frozen=True)
class Graph:
    """What the file says of itself."""

    data: bytes
    inputs: tuple[Port, ...]  # without those that the file gives a value
    outputs: tuple[Port, ...]


def read_graph(path: Path) -> Graph:
    """The graph of a file, after it was found to be one that a member may be.

    Raises:
        SettingsError: the package onnx is not installed.
        WeightsError: the file cannot be read, is cut or altered, or holds what no member may: weights outside of it,
            operators that only some runtime has, or no input or output.
    """
    onnx = _onnx()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror}. Give an .onnx file for each fold.") from error
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's DecodeError is no class of onnx's
        raise WeightsError(
            f"{path}: not ONNX, or cut, after {len(data):,} bytes ({_words(error)}). Take the whole file again, or "
            "export the network again."
        ) from error
    try:
        _refuse_external_data(model, path)
        _refuse_custom_operators(onnx, model, path)
        onnx.checker.check_model(model)
    except WeightsError:
        raise
    except Exception as error:  # ValidationError, and what the C++ side raises for a graph that was altered
        raise WeightsError(
            f"{path}: the graph is not valid ONNX ({_words(error)}). Export the network again, or take the file again."
        ) from error
    given = {tensor.name for tensor in model.graph.initializer}
    inputs = tuple(_port(onnx, value) for value in model.graph.input if value.name not in given)
    outputs = tuple(_port(onnx, value) for value in model.graph.output)
    if not inputs or not outputs:
        raise WeightsError(f"{path}: {len(inputs)} inputs and {len(outputs)} outputs. Export it with both.")
    return Graph(data, inputs, outputs)


def refuse_state(graph: Graph, answer: str, where: str) -> None:
    """A second input that comes back as an output is a state, which runs from call to call.

    Args:
        graph: what the file holds.
        answer: name of the output that answers; "" where it is not known yet.
        where: the file, for the message.

    Raises:
        WeightsError: there is such an input.
    """
    for port in graph.inputs[1:]:
        for other in graph.outputs:
            if other.name != answer and _comes_back(port, other):
                raise WeightsError(
                    f"{where}: input {port} comes back as output {other}: a recurrent state, which runs from call to "
                    "call and is no clip's answer. Export the network over a whole clip or window, its state inside."
                )


def _comes_back(given: Port, made: Port) -> bool:
    alike = len(given.shape) == len(made.shape) > 0 and given.dtype == made.dtype
    fixed = [(a, b) for a, b in zip(given.shape, made.shape, strict=False) if isinstance(a, int) and isinstance(b, int)]
    is_named_so = made.name.lower().startswith(given.name.lower().rstrip("0_"))
    return alike and all(a == b for a, b in fixed) and (is_named_so or len(fixed) == len(given.shape))


def _refuse_external_data(model: Any, path: Path) -> None:
    outside = []
    for tensor in _tensors(model):
        if tensor.external_data or tensor.data_location == tensor.EXTERNAL:
            location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "elsewhere")
            outside.append(f"{tensor.name or 'a constant'} in {location}")
    if outside:
        raise WeightsError(
            f"{path}: {len(outside)} tensors are external data ({', '.join(outside[:SHOWN])}). Write one file that "
            "holds everything: onnx.save(onnx.load(path), path, save_as_external_data=False)."
        )


def _refuse_custom_operators(onnx: Any, model: Any, path: Path) -> None:
    own = {(function.domain, function.name) for function in model.functions}
    versions = {entry.domain: entry.version for entry in model.opset_import}
    strange = []
    for node in _nodes(model):
        if (node.domain, node.op_type) in own:
            continue
        domain = "" if node.domain == "ai.onnx" else node.domain
        if domain not in STANDARD or not onnx.defs.has(node.op_type, versions.get(domain, 1), domain):
            strange.append(f"{node.domain}.{node.op_type}".lstrip("."))
    if strange:
        raise WeightsError(
            f"{path}: custom operators {', '.join(sorted(set(strange))[:SHOWN])}. Only what the ONNX standard has is "
            "run. Export the network without them."
        )


def _nodes(model: Any) -> Iterator[Any]:
    """Every node, also those of sub-graphs and of the file's own functions."""
    waiting = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while waiting:
        node = waiting.pop()
        yield node
        for attribute in node.attribute:
            for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                waiting += graph.node


def _tensors(model: Any) -> Iterator[Any]:
    """Every stored tensor: initialisers and constants, also those of sub-graphs and functions."""
    yield from model.graph.initializer
    yield from (part for tensor in model.graph.sparse_initializer for part in (tensor.values, tensor.indices))
    for node in _nodes(model):
        for attribute in node.attribute:
            yield from attribute.tensors
            if attribute.HasField("t"):
                yield attribute.t
            for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from graph.initializer


def _port(onnx: Any, value: Any) -> Port:
    tensor = value.type.tensor_type
    sizes = tuple(
        int(axis.dim_value) if axis.HasField("dim_value") else str(axis.dim_param) for axis in tensor.shape.dim
    )
    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    except (KeyError, TypeError):
        dtype = f"type {tensor.elem_type}"
    return Port(value.name, dtype, sizes)


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise SettingsError(
            f"an .onnx file is judged by the package onnx, which is not here ({error}). pip install 'soundpost[onnx]'."
        ) from error
    return onnx


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
