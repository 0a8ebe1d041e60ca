"""soundpost import head: an ONNX file of others with something put on one of its outputs, as one file.

--head puts the linear layers of a state dict on it, as public notebooks train them on the embeddings of a network that
they leave as it is. --species makes the classes of a network that knows far more species into a contest's columns.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from soundpost.arguments import Parser
from soundpost.contest.cells import read_cells
from soundpost.contest.look import look_at
from soundpost.errors import SettingsError, SubmissionError, WeightsError
from soundpost.importers.onnx_graph import read_graph
from soundpost.importers.species import Species, SpeciesMap, map_species
from soundpost.importers.state_dicts import read_state_dict

OUTPUT = "columns"  # what the new output is called
PREFIX = "soundpost_"  # begins the name of everything that is added, so that none stands twice
ACTIVATIONS = ("relu", "gelu", "tanh", "none")
AXES_AS_INPUT = 18  # the version of ONNX's operators from which on axes of a maximum are an input


def with_head(path: Path, output: str, layers: Sequence[tuple[np.ndarray, np.ndarray]], activation: str) -> bytes:
    """The graph with linear layers on one of its outputs, an activation between them.

    Args:
        path: an .onnx file.
        output: (batch, values), which the first layer takes.
        layers: weights (out, in) and biases (out,), as torch's Linear has them.
        activation: one of ACTIVATIONS.

    Raises:
        SettingsError: no such output or activation.
        WeightsError: layers that do not fit each other.
    """
    if activation not in ACTIVATIONS:
        raise SettingsError(f"--activation '{activation}' is not known; known: {', '.join(ACTIVATIONS)}. Correct it.")
    for (weights, _), (after, _) in pairwise(layers):
        if weights.shape[0] != after.shape[1]:
            raise WeightsError(
                f"--head: a layer gives {weights.shape[0]} values and the next takes {after.shape[1]}. Give the "
                "linear layers of one head, in their order."
            )
    added = _Added(path, output)
    value = output
    for number, (weights, bias) in enumerate(layers):
        product = added.node("MatMul", value, added.constant(weights.T.astype(np.float32)))
        value = added.node("Add", product, added.constant(bias.astype(np.float32)))
        if number < len(layers) - 1:
            value = added.activated(value, activation)
    return added.finished(value, len(layers[-1][1]))


def with_columns(path: Path, output: str, found: SpeciesMap, temperatures: Sequence[float]) -> bytes:
    """The graph with the columns of a contest behind one of its outputs, the logits of its own classes.

    A column takes its class, the largest of several, or 0, and is divided by its temperature.

    Args:
        path: an .onnx file.
        output: (batch, classes).
        found: which classes stand for which columns.
        temperatures: one for each column.
    """
    added = _Added(path, output)
    classes = [[found.mapped[c]] if c in found.mapped else list(found.proxies.get(c, ())) for c in found.columns]
    longest = max(1, *map(len, classes))
    # A class behind the last one is 0 and stands for columns that nobody knows.
    first = added.node("Gather", output, added.constant(np.array([0])), axis=1)
    zero = added.node("Mul", first, added.constant(np.zeros((1, 1), np.float32)))
    extended = added.node("Concat", output, zero, axis=1)
    places = np.array([(some or [-1]) + [(some or [-1])[0]] * (longest - max(1, len(some))) for some in classes])
    picked = added.node("Gather", extended, added.constant(places), axis=1)
    largest = added.maximum(picked, 2)
    divisor = added.constant(np.array([temperatures], np.float32))
    return added.finished(added.node("Div", largest, divisor), len(found.columns))


def layers_of(arrays: Mapping[str, Any], where: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """The linear layers of a state dict, in its order.

    Raises:
        WeightsError: something in it is no part of a linear layer with a bias.
    """
    names = [name.removesuffix("weight") for name in arrays if name.endswith("weight")]
    rest = [n for n in arrays if n not in {f"{name}{part}" for name in names for part in ("weight", "bias")}]
    layers = [(np.asarray(arrays[f"{n}weight"]), np.asarray(arrays.get(f"{n}bias", ()))) for n in names]
    wrong = [n for n, (w, b) in zip(names, layers, strict=True) if w.ndim != 2 or b.shape != w.shape[:1]]
    if rest or wrong or not layers:
        raise WeightsError(
            f"{where}: {', '.join((*rest, *wrong)) or 'nothing'} is no linear layer with a bias. Give a head of linear "
            "layers alone, or export the whole network as one ONNX file."
        )
    return layers


class _Added:
    """A graph and what is put on it."""

    def __init__(self, path: Path, output: str) -> None:
        import onnx

        graph = read_graph(path)
        known = [port.name for port in graph.outputs]
        if output not in known:
            raise SettingsError(f"--on {output}: {path} has no such output; it has {', '.join(known)}. Name one.")
        self._onnx = onnx
        self._model = onnx.load_model_from_string(graph.data)
        self._path = path
        self._count = 0

    def constant(self, values: np.ndarray) -> str:
        """The name of an array that the file now holds."""
        name = self._name()
        self._model.graph.initializer.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """The name of what an operator gives."""
        name = self._name()
        self._model.graph.node.append(self._onnx.helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def activated(self, value: str, activation: str) -> str:
        """A value through an activation."""
        if activation == "gelu":
            scaled = self.node("Mul", value, self.constant(np.array(0.5**0.5, np.float32)))
            error = self.node("Add", self.node("Erf", scaled), self.constant(np.array(1.0, np.float32)))
            half = self.node("Mul", value, self.constant(np.array(0.5, np.float32)))
            return self.node("Mul", half, error)
        return value if activation == "none" else self.node(activation.capitalize(), value)

    def maximum(self, value: str, axis: int) -> str:
        """The largest along an axis, which goes."""
        version = next(entry.version for entry in self._model.opset_import if entry.domain in ("", "ai.onnx"))
        if version >= AXES_AS_INPUT:
            return self.node("ReduceMax", value, self.constant(np.array([axis])), keepdims=0)
        return self.node("ReduceMax", value, axes=[axis], keepdims=0)

    def finished(self, value: str, count: int) -> bytes:
        """The file, whose one output is this value, (batch, count)."""
        onnx, graph = self._onnx, self._model.graph
        graph.node.append(onnx.helper.make_node("Identity", [value], [OUTPUT]))
        del graph.output[:]
        graph.output.append(onnx.helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, ["batch", count]))
        try:
            onnx.checker.check_model(self._model, full_check=True)
        except Exception as error:  # shape inference raises what the C++ side has
            raise WeightsError(
                f"{self._path}: what was put on it does not fit ({str(error).splitlines()[0]}). Give a head whose "
                "first layer takes as many values as the output has."
            ) from error
        data: bytes = self._model.SerializeToString()
        return data

    def _name(self) -> str:
        self._count += 1
        return f"{PREFIX}{self._count}"


def species_of(taxonomy: Path, sample: Path) -> list[Species]:
    """The columns of a sample as its contest's taxonomy describes them; one that it does not know has no name.

    Raises:
        SettingsError: a taxonomy without the columns that are needed, or one of the files cannot be read.
    """
    try:
        header, *rows = read_cells(taxonomy)
        columns = look_at(sample).columns
        code, name, group = (header.index(needed) for needed in ("primary_label", "scientific_name", "class_name"))
    except (SubmissionError, ValueError) as error:
        raise SettingsError(
            f"--taxonomy {taxonomy}: {error}. Give the contest's taxonomy.csv, with primary_label, scientific_name and "
            "class_name, and its sample_submission.csv."
        ) from error
    known = {row[code]: Species(row[code], row[name], row[group]) for row in rows if len(row) == len(header)}
    return [known.get(column, Species(column, "", "Aves")) for column in columns]


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be read ({error}). Give the whole file.") from error


def main(arguments: Sequence[str]) -> int:
    """Write the joined file and say what it holds; 0 if it was written."""
    parser = Parser(prog="soundpost import head", description=__doc__)
    parser.add_argument("onnx", type=Path, help="the network, an .onnx file")
    parser.add_argument("--on", required=True, metavar="OUTPUT", help="the output on which something is put")
    parser.add_argument("--head", type=Path, help="state dict of linear layers: .safetensors, .pt or .pth")
    parser.add_argument("--activation", default="relu", help=f"between the layers: {', '.join(ACTIVATIONS)} (relu)")
    parser.add_argument("--species", type=Path, help="the network's classes, one scientific name a line")
    parser.add_argument("--taxonomy", type=Path, help="taxonomy.csv of the contest")
    parser.add_argument("--sample", type=Path, help="sample_submission.csv of the contest, whose columns are filled")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    given = parser.parse_args(arguments)
    if bool(given.head) == bool(given.species) or (given.species and not (given.taxonomy and given.sample)):
        raise SettingsError("Give --head, or --species with --taxonomy and --sample, to say what is put on the output.")
    if given.head:
        is_safe = given.head.suffix == ".safetensors"
        layers = layers_of((_safetensors if is_safe else read_state_dict)(given.head), str(given.head))
        data, what = with_head(given.onnx, given.on, layers, given.activation), f"{len(layers)} linear layers"
    else:
        names = [line.strip() for line in given.species.read_text("utf-8-sig").splitlines() if line.strip()]
        species = species_of(given.taxonomy, given.sample)
        found = map_species(names, species)
        data = with_columns(given.onnx, given.on, found, [each.temperature for each in species])
        what = (
            f"{len(species)} columns, {len(found.mapped)} by their species, {len(found.proxies)} by their genus, the "
            "others 0"
        )
    given.out.write_bytes(data)
    print(f"{given.out}: {len(data):,} bytes; output {OUTPUT}: {what}")
    return 0
