"""Members' probabilities -> one answer for each clip, from whatever has answered it by now.

A rule combines inputs, and a blend says what is combined, as data of submission.toml:

    blend = "mean"                         # over all members

    [blend]
    name = "geometric_mean"                # over the recipes
    folds = "mean"                         # over the folds of each recipe, first
    weights = {argus = 2.0, compact = 1.0} # one for each input; those not named weigh 1

    [blend]                                # stages: each reads members, recipes and earlier stages by name
    name = "stages"
    folds = "geometric_mean"
    [[blend.stages]]
    output = "stacked"
    name = "second_level"                  # a trained network on its inputs' probabilities side by side, in this order
    recipe = "fcnet"                       # its folds are blended by `folds`, too
    inputs = ["first", "second"]
    [[blend.stages]]
    output = "answer"
    name = "geometric_mean"
    inputs = ["first", "second", "stacked"]

Clips that not every member has answered: a rule blends the inputs that have answered, with their weights (equal ones if
all of those weigh 0); a second level answers only clips that all its inputs have answered; a clip takes the answer of
the last stage that has one, else the plain mean of its members.

A row that is not finite counts as one that is not there, whether a member, a fold of a second level or a rule gave it.
So a network that has diverged costs its own say and is named; what the others say stands.
"""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from soundpost.ensemble.recipes import Named
from soundpost.ensemble.rules import BLENDS
from soundpost.errors import SettingsError, ShapeError

# Probabilities (clips, inputs, classes) -> (clips, classes); one with an attribute `name` is called by it in reports.
Network = Callable[[np.ndarray], np.ndarray]


class Answer(NamedTuple):
    """What one input knows by now."""

    probabilities: np.ndarray  # (clips, classes); rows that are not there may hold anything
    there: np.ndarray  # (clips,) bool


class Blended(NamedTuple):
    """One answer for each clip, and who had none to give that could be used."""

    probabilities: np.ndarray  # (clips, classes) float32, finite; zeros where nobody has answered
    there: np.ndarray  # (clips,) bool: whether anybody has answered
    not_finite: dict[str, np.ndarray]  # member, second-level fold or stage -> (clips,) bool: its rows left out


@dataclass(frozen=True)
class Stage:
    """One step of a blend."""

    output: str  # the name under which later stages read it
    name: str  # a rule in BLENDS, or "second_level"
    inputs: tuple[str, ...]  # members ("recipe/fold"), recipes, outputs of earlier stages
    weights: Mapping[str, float] = field(default_factory=dict)  # input -> weight; 1 where not named
    recipe: str = ""  # the second level's, by name
    options: Mapping[str, Any] = field(default_factory=dict)  # further arguments of the rule


class Blend:
    """A blend made ready for the members of one run; calling it changes none of its arguments."""

    def __init__(
        self, rule: Named, members: Sequence[str], second_level: Mapping[str, Sequence[Network]] | None = None
    ) -> None:
        """Check the rule against what there is to blend.

        Args:
            rule: the [blend] of a submission.
            members: names ("recipe/fold") in the order of the table's first axis.
            second_level: recipe -> its folds as functions (clips, inputs, classes) -> (clips, classes).

        Raises:
            SettingsError: a rule, input, weight or network that is not there.
        """
        self.members = tuple(members)
        self.second_level = dict(second_level or {})
        settings = dict(rule.settings)
        self.folds = settings.pop("folds", "")
        if self.folds and self.folds not in BLENDS:
            raise SettingsError(
                f"[blend] folds = '{self.folds}'; known: {_listed(BLENDS)}. Correct it in submission.toml."
            )
        self.recipes = tuple(dict.fromkeys(name.split("/")[0] for name in members))
        if rule.name == "stages":
            stages = [_stage(table) for table in settings.pop("stages", [])]
            _refuse(settings, "[blend]")
        else:
            inputs = self.recipes if self.folds else self.members
            stages = [_stage({"output": "answer", "name": rule.name, "inputs": inputs, **settings})]
        self.stages = tuple(stages)
        self._check()

    def __call__(self, probabilities: np.ndarray, done: np.ndarray) -> np.ndarray:
        """One answer for each clip, (clips, classes) float32; arguments and errors as those of blended."""
        return self.blended(probabilities, done).probabilities

    def blended(self, probabilities: np.ndarray, done: np.ndarray) -> Blended:
        """One answer for each clip, and whose rows had to be left out because they are not finite.

        Args:
            probabilities: (members, clips, classes) in [0, 1]; what is not done may hold anything.
            done: (members, clips) bool.

        Raises:
            ShapeError: the table does not have one layer for each member.
        """
        if probabilities.ndim != 3 or done.shape != probabilities.shape[:2] or len(done) != len(self.members):
            raise ShapeError(
                f"blend of {len(self.members)} members over probabilities {probabilities.shape} and done {done.shape}: "
                "(members, clips, classes) and (members, clips) are needed. Pass the table of this run."
            )
        left_out: dict[str, np.ndarray] = {}
        known = {
            name: _finite(name, Answer(layer, there), left_out)
            for name, layer, there in zip(self.members, probabilities, done, strict=True)
        }
        result = _combine(BLENDS["mean"], list(known.values()))
        for recipe in self.recipes:
            folds = [known[name] for name in self.members if name.split("/")[0] == recipe]
            known[recipe] = _finite(recipe, _combine(BLENDS[self.folds or "mean"], folds), left_out)
        for stage in self.stages:
            answer = _finite(f"stage '{stage.output}'", self._staged(stage, known, left_out), left_out)
            known[stage.output] = answer
            result = Answer(
                np.where(answer.there[:, None], answer.probabilities, result.probabilities), result.there | answer.there
            )
        return Blended(result.probabilities, result.there, left_out)

    def _staged(self, stage: Stage, known: Mapping[str, Answer], left_out: dict[str, np.ndarray]) -> Answer:
        """The answer of one stage from what is known before it."""
        inputs = [known[name] for name in stage.inputs]
        if stage.name != "second_level":
            weights = [float(stage.weights.get(name, 1.0)) for name in stage.inputs]
            return _combine(BLENDS[stage.name], inputs, weights, stage.options)
        folds = []
        for number, network in enumerate(self.second_level[stage.recipe]):
            name = getattr(network, "name", f"{stage.recipe}/{number}")
            folds.append(_finite(name, _second_level(network, inputs), left_out))
        return _combine(BLENDS[self.folds or "mean"], folds)

    def _check(self) -> None:
        known = {*self.members, *self.recipes}
        if not self.stages:
            raise SettingsError("[blend] has no stages. Add one [[blend.stages]] at least.")
        for stage in self.stages:
            where = f"[blend] stage '{stage.output}'"
            unknown = sorted((set(stage.inputs) - known) | (set(stage.weights) - set(stage.inputs)))
            if unknown or not stage.inputs:
                raise SettingsError(
                    f"{where}: inputs {_listed(unknown) or 'none'} not known; known: {_listed(known)}. "
                    "Correct inputs and weights in submission.toml."
                )
            if not all(0 <= weight < np.inf for weight in stage.weights.values()):
                raise SettingsError(f"{where}: a weight below 0 or not finite. Give finite weights of 0 and more.")
            if stage.output in known:
                raise SettingsError(f"{where}: that name is taken. Give the stage a name of its own.")
            if stage.name == "second_level":
                if not self.second_level.get(stage.recipe):
                    raise SettingsError(
                        f"{where}: no second-level recipe '{stage.recipe}'; known: "
                        f"{_listed(self.second_level) or 'none'}. Add it to second_level in submission.toml."
                    )
                _refuse(stage.options, where)
            elif stage.name not in BLENDS:
                raise SettingsError(
                    f"{where}: blend '{stage.name}' is not known; known: {_listed(BLENDS)}. Correct it."
                )
            else:
                allowed = set(inspect.signature(BLENDS[stage.name]).parameters) - {"inputs", "weights"}
                _refuse({name: value for name, value in stage.options.items() if name not in allowed}, where)
                _try_options(stage, where)
            known.add(stage.output)


def without(rule: Named, removed: Collection[str]) -> Named:
    """The same rule for a run that leaves some members out, so that a blend may be cut as a plan may.

    Inputs and weights that were removed are dropped, and so are second levels that lose an input, or their own recipe;
    what is left with no input at all is dropped, too.

    Args:
        rule: the [blend] of a submission.
        removed: members ("recipe/fold"), and recipes of which no member is left.
    """
    gone = set(removed)
    settings = dict(rule.settings)
    if rule.name == "stages":
        stages = []
        for stage in settings.get("stages", []):
            inputs = [name for name in stage.get("inputs", []) if name not in gone]
            is_cut = stage.get("name") == "second_level" and (
                len(inputs) < len(stage.get("inputs", [])) or stage.get("recipe") in gone
            )
            if is_cut or not inputs:
                gone.add(stage.get("output", ""))
                continue
            weights = {name: weight for name, weight in stage.get("weights", {}).items() if name not in gone}
            stages.append({**stage, "inputs": inputs, "weights": weights})
        if not stages:
            return Named("mean", {key: value for key, value in settings.items() if key == "folds"})
        settings["stages"] = stages
    elif "weights" in settings:
        settings["weights"] = {name: weight for name, weight in settings["weights"].items() if name not in gone}
    return Named(rule.name, settings)


def _combine(
    rule: Callable[..., np.ndarray],
    inputs: Sequence[Answer],
    weights: Sequence[float] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Answer:
    done = np.stack([answer.there for answer in inputs])
    weight = done * np.array(weights or [1.0] * len(inputs))[:, None]
    weight = np.where(weight.sum(0) > 0, weight, done)
    there = np.asarray(done.any(axis=0))
    weight = weight / np.where(there, weight.sum(0), 1.0)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what comes of it is looked at by _finite
        blended = rule([answer.probabilities for answer in inputs], weight, **(options or {}))
        return Answer(np.where(there[:, None], blended, 0.0).astype(np.float32), there)


def _finite(name: str, answer: Answer, left_out: dict[str, np.ndarray]) -> Answer:
    """The answer without its rows that are not finite; those are noted under the name."""
    spoilt = np.logical_and(answer.there, ~np.isfinite(answer.probabilities).all(axis=1))
    if not spoilt.any():
        return answer
    left_out[name] = spoilt | left_out.get(name, np.zeros_like(spoilt))
    return Answer(answer.probabilities, np.logical_and(answer.there, ~spoilt))


def _second_level(network: Network, inputs: Sequence[Answer]) -> Answer:
    there = np.logical_and.reduce([answer.there for answer in inputs])
    probabilities = np.zeros(inputs[0].probabilities.shape, np.float32)
    if there.any():
        probabilities[there] = network(np.stack([answer.probabilities[there] for answer in inputs], axis=1))
    return Answer(probabilities, there)


def _stage(table: Mapping[str, Any]) -> Stage:
    known = {"output", "name", "inputs", "weights", "recipe"}
    missing = sorted({"output", "name", "inputs"} - set(table))
    if missing:
        raise SettingsError(f"[[blend.stages]] without {_listed(missing)}. Give each stage output, name and inputs.")
    return Stage(
        table["output"],
        table["name"],
        tuple(table["inputs"]),
        dict(table.get("weights", {})),
        table.get("recipe", ""),
        {key: value for key, value in table.items() if key not in known},
    )


def _try_options(stage: Stage, where: str) -> None:
    """Refuse options with which a rule has no answer, before a run rather than at its first write."""
    halves = np.full((1, 2), 0.5)
    try:
        usable = bool(np.isfinite(BLENDS[stage.name]([halves], np.ones((1, 1)), **stage.options)).all())
    except (ArithmeticError, TypeError, ValueError):
        usable = False
    if not usable:
        raise SettingsError(
            f"{where}: blend '{stage.name}' has no answer with {dict(stage.options)}. Correct it in submission.toml."
        )


def _refuse(settings: Mapping[str, Any], where: str) -> None:
    if settings:
        raise SettingsError(f"{where}: unknown setting {_listed(settings)}. Remove or correct it in submission.toml.")


def _listed(names: Any) -> str:
    return ", ".join(sorted(names))
