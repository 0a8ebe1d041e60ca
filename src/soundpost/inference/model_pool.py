"""The members of a run and their networks, loaded while others predict."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from soundpost.ensemble.passes import Pass, all_passes
from soundpost.ensemble.recipes import Member, Recipe
from soundpost.ensemble.weights_folder import Assets
from soundpost.errors import DeviceError, KitError, SettingsError, WeightsError, sentence
from soundpost.inference.autotune import Choice, half_choice
from soundpost.inference.backends.candidates import Candidates
from soundpost.inference.backends.choice import BackendChoice
from soundpost.inference.backends.graph_recipe import graph_candidates
from soundpost.inference.backends.graph_settings import GraphSettings
from soundpost.inference.backends.opening import AUTO, usable
from soundpost.inference.device_errors import is_device_error, is_out_of_memory
from soundpost.inference.devices import beside_computing, choose_precision
from soundpost.inference.fold_group import FoldGroup
from soundpost.inference.predictor import Predictor
from soundpost.inference.sizes import Sizes


class ModelPool:
    """Who takes part, and their networks on every device.

    Args:
        assets: submission, recipes and weights.
        names: members to use, recipe/fold; empty: all.
        n_views: view sets of each recipe to use, the cheapest first; 0: all.
        precision: "auto", "float32", "float16" or "bfloat16".
        skipped: told the name of a member that is left out, and why.
        backend: "auto", "torch", or a runtime by name, for networks on the CPU.

    Raises:
        SettingsError: a name that no member has, or a runtime that was asked for and cannot be used.
    """

    def __init__(
        self,
        assets: Assets,
        names: Sequence[str],
        n_views: int,
        precision: str,
        skipped: Callable[[str, str], None],
        backend: str = AUTO,
    ) -> None:
        self.recipes = assets.submission.recipes
        self.members = _chosen([(r, m) for r in self.recipes for m in r.members], names)
        self.passes = [p for p in all_passes(self.members) if not n_views or p.view < n_views]
        self.sizes = Sizes()
        self.devices: list[str] = []  # to be set before the first network is asked for
        self.notes: deque[str] = deque()  # what lanes have found out, for the log
        self._assets = assets
        self._precision = precision
        self._backend = backend
        self._runtimes = usable(backend) if backend != AUTO or self._has_graphs() else ()
        self._backend_choices: dict[str, BackendChoice] = {}
        self._tell = skipped
        self._skipped: set[int] = set()
        self._loader = ThreadPoolExecutor(1, "loader")
        self._loaded: dict[int, Future[dict[str, Predictor]]] = {}
        self._choices: dict[tuple[str, str], Choice] = {}

    def open_passes(self) -> list[Pass]:
        """Passes of the members that have not been left out."""
        return [p for p in self.passes if p.member not in self._skipped]

    def compile(self) -> None:
        """Compile what front ends are computed with, to be called before any process is forked that computes them.

        A member whose front end cannot be computed here is named and left out.
        """
        for recipe in {recipe.name: recipe for recipe, _ in self.members}.values():
            try:
                self.sizes.compile(recipe)
            except Exception as error:  # whatever a compiler raises costs the members of that recipe, and is named
                for number in (i for i, (owner, _) in enumerate(self.members) if owner is recipe):
                    self.skip(number, str(error) if isinstance(error, KitError) else sentence(error))

    def predictors(self, number: int) -> dict[str, Predictor] | None:
        """A member's network on every device; None, and it is named and left out, when it cannot be used.

        None as well of one that has been left out.

        Raises:
            DeviceError: a device breaks, or has no room, while the network is moved to it.
        """
        if number in self._skipped:
            return None
        try:
            return self.load(number).result()
        except DeviceError:
            raise
        except KitError as error:
            self.skip(number, str(error))
        except Exception as error:  # whatever the making of a network raises costs that member, and is named
            self.skip(number, sentence(error))
        return None

    def fold_group(self, numbers: Sequence[int]) -> dict[str, FoldGroup]:
        """Loaded members of one recipe as one group on every device."""
        loaded = [self.load(number).result() for number in numbers]
        return {
            device: FoldGroup([predictors[device] for predictors in loaded]) for device in dict.fromkeys(self.devices)
        }

    def load(self, number: int) -> Future[dict[str, Predictor]]:
        """Begin to load a member's network, beside whatever goes on."""
        if number not in self._loaded:
            self._loaded[number] = self._loader.submit(self._build, *self.members[number])
        return self._loaded[number]

    def unload(self, number: int) -> None:
        """No pass needs this member's network any more."""
        self._loaded.pop(number, None)

    def skip(self, number: int, reason: str) -> None:
        """Leave a member out from now on."""
        if number not in self._skipped:
            self._skipped.add(number)
            self._tell(self.members[number][1].name, reason)

    def _build(self, recipe: Recipe, member: Member) -> dict[str, Predictor]:
        arrays = self._assets.arrays(member)
        return {device: self._on(device, recipe, member, arrays) for device in dict.fromkeys(self.devices)}

    def _has_graphs(self) -> bool:
        return any(recipe.is_graph or member.exported for recipe, member in self.members)

    def _candidates(
        self, recipe: Recipe, member: Member, arrays: Mapping[str, np.ndarray], device: str
    ) -> Candidates | None:
        """Runtimes for the member's graph; None where torch computes it, on a GPU or for want of a graph.

        Raises:
            WeightsError: a runtime was asked for, and the member has no graph that it could compute.
        """
        choice = self._backend_choices.setdefault(recipe.name, BackendChoice(self._backend, self.notes.append))
        lanes = max(1, self.devices.count(device))
        if recipe.is_graph:
            return graph_candidates(recipe, arrays, self._runtimes, choice, lanes)
        if device != "cpu" or not self._runtimes:
            return None
        try:
            graph = self._assets.graph(member)
        except WeightsError as error:
            if self._backend != AUTO:
                raise
            self.notes.append(f"{member.name}: torch alone computes it: {error}")
            return None
        if graph is None:
            if self._backend == AUTO:
                return None
            raise WeightsError(
                f"member {member.name}: --backend {self._backend} computes ONNX graphs, and its recipe names none. "
                f"Export it: soundpost import export --recipe {recipe.name}, or build the kernel with "
                f"--with {self._backend}; or take --backend auto."
            )
        return Candidates(graph, GraphSettings(), len(recipe.labels), self._runtimes, choice, lanes)

    def _on(self, device: str, recipe: Recipe, member: Member, arrays: Mapping[str, np.ndarray]) -> Predictor:
        """A member's network on a device; tried once more, with what the allocator holds unused, where it has no room.

        Raises:
            DeviceError: the device breaks, or has no room for the weights of one network.
        """
        precision = choose_precision(self._precision, device)
        key = (recipe.name, precision)
        choice = self._choices.setdefault(key, half_choice(self._precision == "auto", self.notes.append))
        candidates = self._candidates(recipe, member, arrays, device)
        try:
            try:
                with beside_computing(device):
                    return Predictor(recipe, member, arrays, device, precision, choice, candidates)
            except RuntimeError as error:
                if device == "cpu" or not is_out_of_memory(error):
                    raise
            torch.cuda.empty_cache()
            predictor = Predictor(recipe, member, arrays, device, precision, choice, candidates)
        except Exception as error:
            if device != "cpu" and is_device_error(error):
                raise DeviceError(
                    f"{device}: {member.name} cannot be moved to it: {sentence(error)}. The run goes on without it.",
                    device,
                ) from error
            raise
        self.notes.append(f"{member.name}: {device} had room for it only after unused memory was given back")
        return predictor


def _chosen(members: list[tuple[Recipe, Member]], names: Sequence[str]) -> list[tuple[Recipe, Member]]:
    if not names:
        return members
    known = {member.name: (recipe, member) for recipe, member in members}
    absent = [name for name in names if name not in known]
    if absent:
        raise SettingsError(f"--members {', '.join(absent)}: not here; known: {', '.join(known)}. Correct the list.")
    return [known[name] for name in names]
