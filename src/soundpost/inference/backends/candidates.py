"""The runtimes that may compute one member's graph on the cores; each opens it when it is first asked for."""

from collections.abc import Sequence

from soundpost.errors import WeightsError
from soundpost.inference.backends.choice import BackendChoice
from soundpost.inference.backends.graph_network import GraphNetwork
from soundpost.inference.backends.graph_settings import GraphSettings
from soundpost.inference.backends.opening import open_first, open_session


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
        self._graph = graph
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

    def close(self) -> None:
        """Decided: let go of the file's bytes and of every network that nobody else holds."""
        self._graph = b""
        self._opened.clear()
        self.names = ()
