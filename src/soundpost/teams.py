"""Folds that share a batch: windows are cut, moved and prepared once for all members of a recipe.

The networks then run one after the other, or stacked as one, whichever a real batch shows to be faster. On a CPU
the stacked networks see so many fewer windows at a time that they take no more memory than one network does.
"""

import threading
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call

from soundpost.errors import sentence
from soundpost.folding import logits_of
from soundpost.predict import Predictor
from soundpost.trials import HALF_BOUND, SAME_BOUND, compare
from soundpost.views.view import View

STACK_GAIN = 1.05  # times as fast, at least, for stacked networks to replace one after the other


class Stacking:
    """Whether the networks of a team run stacked, decided once for all devices.

    Args:
        is_tried: whether there is enough to do for a trial, which takes a second or two.
        tell: takes one sentence for the log.
    """

    def __init__(self, is_tried: bool, tell: Callable[[str], None] = lambda _: None) -> None:
        self.lock = threading.Lock()
        self.is_open = is_tried
        self.is_taken = False
        self._tell = tell

    def decide(self, team: "Team", inputs: Tensor) -> None:
        """Try both on a batch as it is prepared."""
        ways = [lambda run=run: team.probabilities(run(inputs)) for run in (team.in_turn, team.stacked)]
        name = f"{team.members[0].recipe.name} x {len(team.members)}"
        try:
            if len({member.is_half for member in team.members}) > 1:
                raise ValueError("half precision holds for some of them only")
            trial = compare(*ways, team.device)
        except Exception as error:  # no room for all of them, or an operation that cannot be stacked
            self._tell(f"{name}: one network after the other; stacked they ended in {sentence(error)}")
        else:
            bound = HALF_BOUND if team.members[0].is_half else SAME_BOUND
            self.is_taken = trial.speed >= STACK_GAIN and trial.change <= bound
            self._tell(
                f"{name}: {'stacked' if self.is_taken else 'one network after the other'}; stacked was "
                f"{trial.speed:.2f} times as fast, its probabilities within {trial.change:.1g}"
            )
        self.is_open = False


class Team:
    """Members of one recipe on one device that answer the same windows; used as one Predictor is.

    Args:
        members: at least two.
        stacking: shared by the teams of all devices.
    """

    def __init__(self, members: Sequence[Predictor], stacking: Stacking) -> None:
        self.members = tuple(members)
        self.device = members[0].device
        self._stacking = stacking
        self._weights: dict[str, Tensor] = {}
        self._own = threading.local()  # functional_call changes the network that it calls, so each lane has one

    def on_cpu(self) -> "Team":
        """The same members on the CPU, for a window that fits no GPU."""
        return Team([member.on_cpu() for member in self.members], Stacking(is_tried=False))

    @torch.inference_mode()
    def __call__(self, batch: Tensor, view: View) -> Tensor:
        """Answers (windows, members, classes) of stacked windows, see Predictor."""
        inputs = self.members[0].prepare(batch, view)
        for member in self.members:
            member.settle(inputs)
        if self._stacking.is_open:
            with self._stacking.lock:
                if self._stacking.is_open:
                    self._stacking.decide(self, inputs[: self._rows(inputs)])
        return self.stacked(inputs) if self._stacking.is_taken else self.in_turn(inputs)

    def in_turn(self, inputs: Tensor) -> Tensor:
        """Answers of prepared windows, one network after the other."""
        return torch.stack([member.answer(inputs) for member in self.members], dim=1)

    def stacked(self, inputs: Tensor) -> Tensor:
        """Answers of prepared windows, all networks as one."""
        first, network = self.members[0], self._network()
        parts = inputs.split(self._rows(inputs))
        return torch.cat([first.through(network, part, first.is_half) for part in parts])

    def probabilities(self, answers: Tensor) -> Tensor:
        """Answers as probabilities, whatever the recipe averages."""
        return self.members[0].probabilities(answers)

    def _rows(self, inputs: Tensor) -> int:
        return len(inputs) if self.device.type == "cuda" else -(-len(inputs) // len(self.members))

    def _network(self) -> Callable[[Tensor], Tensor]:
        """(windows, ...) -> logits (windows, members, classes)."""
        if not self._weights:
            states = [{**dict(m.model.named_parameters()), **dict(m.model.named_buffers())} for m in self.members]
            self._weights = {name: torch.stack([state[name] for state in states]) for name in states[0]}
        if not hasattr(self._own, "network"):
            self._own.network = deepcopy(self.members[0].model).to("meta")
        one = partial(_logits, self._own.network)
        return partial(torch.vmap(one, in_dims=(0, None), out_dims=1), self._weights)


def _logits(network: nn.Module, weights: dict[str, Tensor], inputs: Tensor) -> Tensor:
    return logits_of(functional_call(network, weights, (inputs,)))
