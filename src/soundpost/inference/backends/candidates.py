"""The runtimes that may compute one member's graph on the cores; each opens it when it is first asked for."""

from collections.abc import Callable, Sequence

from torch import Tensor

from soundpost.errors import WeightsError
from soundpost.inference.backends.choice import BackendChoice
from soundpost.inference.backends.graph_network import GraphNetwork
from soundpost.inference.backends.graph_settings import GraphSettings
from soundpost.inference.backends.opening import open_first, open_session
from soundpost.inference.shared_windows import Run, Sharing
from soundpost.resources.memory_budget import KEPT_TIMES, LANE_TIMES, OPENING_TIMES

TRIED_WINDOWS = 8  # how much of a batch runtimes are compared on


class Candidates:
    """A member's graph, and who may compute it.

    Args:
        graph: the bytes of its .onnx file.
        settings: how windows go in and answers come out.
        n_classes: how many numbers a window's answer has.
        names: runtimes that are here, in the order in which they are tried.
        choice: decides between them, shared by the members of a recipe.
        lanes: calls that may run beside each other.
    """

    def __init__(
        self,
        graph: bytes,
        settings: GraphSettings,
        n_classes: int,
        names: Sequence[str],
        choice: BackendChoice,
        lanes: int,
    ) -> None:
        self.names = tuple(names)
        self.choice = choice
        self.taken = ""  # the runtime that computes in torch's place
        self._graph = graph
        self._n_bytes = len(graph)
        self._settings = settings
        self._n_classes = n_classes
        self._lanes = lanes
        self._opened: dict[str, GraphNetwork] = {}

    def first(self, member: str) -> GraphNetwork:
        """The network by the first runtime that loads the graph; those before it are candidates no more.

        Raises:
            WeightsError: there is none.
        """
        name, session = open_first(self.names, self._graph, member, self._lanes)
        self.names = self.names[self.names.index(name) :]
        self._opened[name] = GraphNetwork(session, self._settings, self._n_classes, len(self._graph))
        return self._opened[name]

    def network(self, name: str) -> GraphNetwork:
        """The network by one runtime.

        Raises:
            RuntimeError: it cannot load the graph.
        """
        if name not in self._opened:
            try:
                session = open_session(name, self._graph, self._lanes)
            except WeightsError as error:
                raise RuntimeError(str(error)) from error
            self._opened[name] = GraphNetwork(session, self._settings, self._n_classes, len(self._graph))
        return self._opened[name]

    def settle_overlap(
        self,
        member: str,
        inputs: Tensor,
        sharing: Sharing,
        by_runtime: Callable[[Tensor], Tensor],
        by_torch: Callable[[Tensor, Sharing], Tensor],
    ) -> None:
        """Measure the runtime that was taken on windows that overlap, where none that lie so were measured yet.

        Args:
            member: its name.
            inputs: prepared windows, (windows, ...).
            sharing: what they have in common.
            by_runtime: answers of such windows by the runtime.
            by_torch: the same by torch, which computes once what they share.
        """
        overlap = _overlap(inputs, sharing)
        if not self.taken or not self.choice.is_open(self.taken, overlap):
            return
        run = sharing.longest
        few = Run(0, min(TRIED_WINDOWS, run.count), run.step)
        some, common = inputs[run.first : run.first + few.count], Sharing((few,), sharing.margin)
        self.choice.compare_overlapping(
            member, self.taken, overlap, lambda: by_runtime(some), lambda: by_torch(some, common)
        )

    def is_slower(self, inputs: Tensor, sharing: Sharing) -> bool:
        """Whether the runtime that was taken takes longer over a batch than torch, which shares its windows' work."""
        if not self.taken or not sharing.runs:
            return False
        return self.choice.is_slower(self.taken, _overlap(inputs, sharing), len(inputs), sharing.overlapping)

    def coming_bytes(self, is_alone: bool) -> int:
        """Host memory that may come once a runtime has opened the graph: other runtimes, lanes' copies, more members.

        Args:
            is_alone: no other member of the recipe will be opened beside it.
        """
        opening, kept = 0.0, 0.0
        for name in self.names:
            opening = max(opening, kept + OPENING_TIMES[name])
            kept += KEPT_TIMES[name]
        is_open = is_alone and len(self.names) == 1
        lanes = (self._lanes - 1) * max(LANE_TIMES[name] for name in self.names)
        return int(self._n_bytes * (lanes + (0.0 if is_open else 1.0 + opening)))

    def close(self) -> None:
        """Decided: let go of the file's bytes and of every network that nobody else holds."""
        self._graph = b""
        self._opened.clear()
        self.names = ()


def _overlap(inputs: Tensor, sharing: Sharing) -> tuple[int, int]:
    """Frames of prepared windows, and from one to the next."""
    return inputs.shape[-1], sharing.longest.step
