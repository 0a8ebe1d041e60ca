"""Everything that decides how a recipe's weights are made, as data: one training.toml.

format = 1
name = "compact"; template = "argus"      a published recipe whose tables are taken where the plan has none of its own
[audio] [front_end] [model] [[views]]     as in recipe.toml; average, activation as there
[sets.NAME]                               where clips come from, see soundpost.training.clips
[folds] [sampler] [[augment]] [mix] [loss] [optimiser] [validation]
[input]                                   what a batch is made of, see soundpost.training.inputs
[[stages]]                                one after the other; each may have its own sampler, augment, mix, loss,
                                          optimiser, validation and heard instead of the plan's
[out_of_fold]                             a view; out-of-fold answers are kept for each of its windows, too
[aliases]                                 label -> column of the submission
"""

import dataclasses
import difflib
import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from soundpost.errors import SettingsError
from soundpost.registry import Dataclass, settings_from
from soundpost.training.best_epoch import BestEpochSettings
from soundpost.training.mixing import MixSettings
from soundpost.training.optimisers import OptimiserSettings

T = TypeVar("T", bound=Dataclass)
FORMAT = 1
TEMPLATES = resources.files("soundpost") / "importers" / "templates"
PLANS = resources.files("soundpost") / "training" / "recipes"
NO_TABLES: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class SetSettings:
    """One set of clips."""

    of: str = "curated"  # "curated" or "noisy": which csv and folder of the command line
    rules: tuple[Mapping[str, Any], ...] = NO_TABLES  # tables of SETS, one after the other
    folds: Mapping[str, Any] = field(default_factory=dict)  # a table of FOLDS; empty: the plan's for curated, else none
    heard: str = "other_folds"  # by the member of a fold: "other_folds", "own_fold" or "all"
    soft: bool = True  # where the csv has a column scores, labels are as likely as it says; False: certain


@dataclass(frozen=True)
class LossSettings:
    """What is made small."""

    name: str = "bce"  # an entry of LOSSES, with its settings in `settings`
    settings: Mapping[str, Any] = field(default_factory=dict)
    heads: tuple[float, ...] = (1.0,)  # weights of the network's outputs, the first that of prediction
    smoothing: float = 0.0  # how far targets are smoothed
    by_set: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # set -> table with name, weight, settings


@dataclass(frozen=True)
class ValidationSettings:
    """How an epoch is scored, where something looks at its score."""

    measure: str = "lwlrap"  # one of soundpost.training.measures
    batch: int = 200  # clips, for measures that are a mean of batches
    every: int = 1  # epochs
    # "held_out": the fold's own, as published mostly; or "heard": curated clips of the other folds, for stages that do
    # not train on them: then nothing of the member depends on its fold.
    clips: str = "held_out"


@dataclass(frozen=True)
class StageSettings:
    """One stretch of training."""

    name: str = "all"
    epochs: int = 10
    batch: int = 32
    drops_last: bool = False  # the last batch of an epoch where it is short
    schedule: Mapping[str, Any] = field(default_factory=lambda: {"name": "constant"})
    begin: str = "on"  # where the stage before ended; or "anew", with fresh weights
    keep: str = "last"  # or "best": the epoch of the highest score
    best: Mapping[str, Any] = field(default_factory=dict)  # BestEpochSettings
    slow_starts: int = 0  # epochs of patience after which a first batch runs slower; 0: never
    slow_factor: float = 0.3
    trainable: tuple[str, ...] = ()  # prefixes of names, or "norms"; empty: everything
    heard: tuple[str, ...] = ()  # names of sets; empty: all
    # Set -> table of NOISY, by what was learnt before this stage; with `parts`, a member hears one part of them.
    select: Mapping[str, Any] = field(default_factory=dict)
    augment: tuple[Mapping[str, Any], ...] | None = None
    sampler: Mapping[str, Any] | None = None
    mix: Mapping[str, Any] | None = None
    loss: Mapping[str, Any] | None = None
    optimiser: Mapping[str, Any] | None = None
    validation: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Plan:
    """One recipe in the making."""

    format: int = FORMAT
    name: str = "compact"
    template: str = ""
    note: str = ""  # what departs from the published training
    audio: Mapping[str, Any] = field(default_factory=lambda: {"sample_rate": 44100})
    front_end: Mapping[str, Any] = field(
        default_factory=lambda: {
            "name": "log_mel",
            "sample_rate": 44100,
            "n_fft": 2048,
            "hop_length": 882,
            "n_mels": 64,
            "fmin": 40.0,
            "fmax": 18000.0,
            "top_db": 0.0,
            "pad_mode": "constant",
        }
    )
    model: Mapping[str, Any] = field(default_factory=lambda: {"name": "compact"})
    views: tuple[Mapping[str, Any], ...] = ({"name": "whole"},)
    average: str = "probability"
    activation: str = "sigmoid"
    sets: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"curated": {}})
    folds: Mapping[str, Any] = field(default_factory=lambda: {"name": "column"})
    input: Mapping[str, Any] = field(default_factory=lambda: {"name": "windows"})
    sampler: Mapping[str, Any] = field(default_factory=lambda: {"name": "every_clip"})
    augment: tuple[Mapping[str, Any], ...] = NO_TABLES
    mix: Mapping[str, Any] = field(default_factory=dict)
    loss: Mapping[str, Any] = field(default_factory=dict)
    optimiser: Mapping[str, Any] = field(default_factory=dict)
    validation: Mapping[str, Any] = field(default_factory=dict)
    store: str = "float32"  # in which spectrograms are kept; float16 takes half the room
    norms: str = "own"  # a way of soundpost.training.norms
    initialise: str = "own"  # a way of soundpost.training.initialise
    autocast: str = "none"  # "bfloat16", or "float16", which is bfloat16 on a processor
    average_decay: float = 0.0  # per step, of a moving average of the weights that is what is kept; 0: none
    stages: tuple[Mapping[str, Any], ...] = ({},)
    out_of_fold: Mapping[str, Any] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)

    def stage(self, number: int) -> StageSettings:
        """A stage with its own tables, or the plan's."""
        own = strict(StageSettings, self.stages[number], f"[[stages]] {number + 1}")
        names = ("augment", "sampler", "mix", "loss", "optimiser", "validation")
        return dataclasses.replace(own, **{name: getattr(self, name) for name in names if getattr(own, name) is None})

    def digest(self) -> str:
        """sha256 of everything the plan says that decides a member, in hexadecimal."""
        said = dataclasses.asdict(dataclasses.replace(self, name="", note="", aliases={}))
        del said["out_of_fold"]
        text = json.dumps(said, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def strict(settings_class: type[T], table: Mapping[str, Any], where: str) -> T:
    """Settings from a table; an unknown key is refused with the nearest right one.

    Raises:
        SettingsError: an unknown key, or a missing one.
    """
    known = [one.name for one in fields(settings_class)]
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            meant = f"; did you mean {near[0]}?" if near else "."
            raise SettingsError(f"{where}: unknown key {key}{meant} Known: {', '.join(known)}.")
    return settings_from(settings_class, table, where)


def read_plan(path: Path) -> Plan:
    """The plan that a TOML file describes; what it leaves out is as in its template, or as in Plan().

    Raises:
        SettingsError: no such file, not TOML, or a key that is not known.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        near = f" Published plans: {', '.join(plan_names())}." if not path.suffix else ""
        raise SettingsError(f"plan {path}: {error.strerror}. Name a training.toml.{near}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"plan {path}: not UTF-8. Save it as UTF-8.") from error
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not TOML ({error}). Correct it.") from error
    return plan_of(table, str(path))


def plan_of(table: Mapping[str, Any], where: str) -> Plan:
    """A plan from its table, every table of it checked.

    Raises:
        SettingsError: a key that is not known, anywhere.
    """
    if name := table.get("template"):
        path = TEMPLATES / f"{name}.toml"
        if not path.is_file():
            raise SettingsError(f"{where}: template '{name}' is not there. Name one of soundpost/importers/templates.")
        base = tomllib.loads(path.read_text(encoding="utf-8"))
        taken = ("audio", "front_end", "model", "views", "average", "activation")
        table = {key: base[key] for key in taken if key in base} | dict(table)
    plan = strict(Plan, table, where)
    if plan.format != FORMAT:
        raise SettingsError(f"{where}: format = {plan.format}; this version reads {FORMAT}.")
    for key, settings in plan.sets.items():
        strict(SetSettings, settings, f"{where} [sets.{key}]")
    for number in range(len(plan.stages)):
        stage = plan.stage(number)
        strict(BestEpochSettings, stage.best, f"{where} [[stages]] {stage.name} best")
        strict(MixSettings, stage.mix or {}, f"{where} [mix]")
        strict(LossSettings, stage.loss or {}, f"{where} [loss]")
        strict(OptimiserSettings, stage.optimiser or {}, f"{where} [optimiser]")
        validation = strict(ValidationSettings, stage.validation or {}, f"{where} [validation]")
        if validation.clips not in ("held_out", "heard"):
            said = f"{where} [validation] clips = '{validation.clips}'"
            raise SettingsError(f"{said}; known: held_out, heard. Correct it.")
        for key, known in (("keep", ("last", "best")), ("begin", ("on", "anew"))):
            if (value := getattr(stage, key)) not in known:
                said = f"{where} [[stages]] {stage.name}: {key} = '{value}'"
                raise SettingsError(f"{said}; known: {', '.join(known)}. Correct it.")
    return plan


def plan_names() -> list[str]:
    """Plans that travel with the package, such as argus/corr_noisy_007."""
    root = Path(str(PLANS))
    return sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.toml"))


def find_plan(text: str) -> Path:
    """A file, or a published plan by its name."""
    path = Path(text)
    if path.is_file() or text not in plan_names():
        return path
    return Path(str(PLANS)) / f"{text}.toml"
