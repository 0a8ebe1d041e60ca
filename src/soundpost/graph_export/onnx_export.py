"""A torch member -> an ONNX graph that gives its logits: batch norms folded, any batch, any length, answers checked."""

import io
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from soundpost.ensemble.recipes import Member, Recipe
from soundpost.errors import SettingsError, WeightsError, sentence
from soundpost.graph_export.tried_windows import tried_windows
from soundpost.inference.backends.graph_network import GraphNetwork
from soundpost.inference.backends.graph_settings import GraphSettings
from soundpost.inference.backends.opening import open_first, usable
from soundpost.inference.fuse_batch_norm import fold_batch_norms, logits_of
from soundpost.inference.network import build

BOUND = 1e-4  # largest change of a logit, relative to the largest logit, that another order of sums may cause
OPSET = 17  # which ONNX Runtime has had since 2022
INPUT, OUTPUT = "windows", "logits"
NEEDED = ("onnx", "onnxscript")  # packages that torch.onnx.export asks for


class _Logits(nn.Module):
    """A network without its auxiliary outputs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, windows: Tensor) -> Tensor:
        """(batch, ...) -> (batch, classes)."""
        return logits_of(self.network(windows))


def export(recipe: Recipe, member: Member, arrays: Mapping[str, np.ndarray]) -> bytes:
    """The member's network as the bytes of an .onnx file; its input is what the recipe's views prepare.

    Args:
        recipe: the member's; its front end and views give the windows that the answers are compared on.
        member: which fold.
        arrays: its state dict.

    Raises:
        SettingsError: the packages that an export needs are not here.
        WeightsError: no export answers as the network does; the message has the difference of each.
    """
    front_end = {"name": recipe.front_end.name, **recipe.front_end.settings}
    views = [{"name": view.name, **view.settings} for view in recipe.views]
    batches = tried_windows(recipe.audio, front_end, views, recipe.name)
    return export_network(build(recipe, member, arrays), batches, member.name)


def export_network(network: nn.Module, batches: Sequence[Tensor], name: str) -> bytes:
    """A network as the bytes of an .onnx file: any batch and, where it is shown several lengths, any length.

    Two exporters of torch are tried, the quicker one first: the older one fixes what the network computes with Python
    numbers, the newer one refuses lengths that it cannot prove. What neither gets right is refused.

    Args:
        network: in evaluation mode, on the CPU.
        batches: what it is to be compared on, (windows, ..., frames) each.
        name: the member's, for messages.

    Raises:
        As export.
    """
    absent = [package for package in NEEDED if find_spec(package) is None]
    if absent or not usable():
        raise SettingsError(
            f"export of {name}: {', '.join(absent) or 'onnxruntime'} is not here. pip install 'soundpost[onnx]'."
        )
    with torch.inference_mode():
        wanted = [logits_of(network(batch)) for batch in batches]
    folded = _thawed(_Logits(fold_batch_norms(network, batches[0][:1])))
    reasons = []
    for way, exporter in (("tracing", _traced), ("torch.export", _exported)):
        try:
            graph = _quietly(exporter, folded, batches[-1])
            difference = _difference(graph, batches, wanted, name)
        except Exception as error:  # exporters raise whatever the network's code meets
            reasons.append(f"{way}: {sentence(error)}")
            continue
        if difference <= BOUND:
            return graph
        reasons.append(f"{way}: logits differ by {difference:.2g} of the largest")
    raise WeightsError(
        f"export of {name}: {'; '.join(reasons)}; at most {BOUND:g} is right. The member "
        "stays with torch. Where lengths are the trouble, compute them as tensors, not as Python numbers."
    )


def _thawed(network: nn.Module) -> nn.Module:
    """A copy whose parameters are ordinary tensors: folding makes them in inference mode, which no exporter takes."""
    copy = deepcopy(network)
    for module in copy.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(parameter.clone(), requires_grad=False))
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, buffer.clone())
    return copy.eval()


def _traced(network: nn.Module, batch: Tensor) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        torch.onnx.export(
            network,
            (batch,),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "batch", batch.ndim - 1: "frames"}, OUTPUT: {0: "batch"}},
        )
        return path.read_bytes()


def _exported(network: nn.Module, batch: Tensor) -> bytes:
    any_size = torch.export.Dim.AUTO
    program = torch.onnx.export(
        network,
        (batch,),
        dynamo=True,
        verbose=False,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes=({0: any_size, batch.ndim - 1: any_size},),
    )
    assert program is not None
    graph: bytes = program.model_proto.SerializeToString()
    return graph


def _quietly(exporter: Callable[[nn.Module, Tensor], bytes], network: nn.Module, batch: Tensor) -> bytes:
    """Without the exporters' advice to their own developers; what matters is compared afterwards."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            return exporter(network, batch)
    finally:
        logging.disable(level)


@torch.inference_mode()
def _difference(graph: bytes, batches: Sequence[Tensor], wanted: Sequence[Tensor], member: str) -> float:
    """Largest change of a logit relative to the largest, over all lengths, windows alone and together."""
    _, session = open_first(usable(), graph, member)
    n_classes = wanted[0].shape[1]
    network = GraphNetwork(session, GraphSettings(), n_classes, len(graph))
    largest = max(1.0, *(float(logits.abs().max()) for logits in wanted))
    changes = [
        float((network(batch[:count]) - logits[:count]).abs().max())
        for batch, logits in zip(batches, wanted, strict=True)
        for count in (1, len(batch))
    ]
    return max(changes) / largest
