"""A recipe is everything the kernel must know about its members, as data; a submission is a list of recipes.

recipe.toml

    format = 1
    name = "compact"
    average = "probability"            # over the windows of a clip: "probability" or "logit"
    activation = "sigmoid"             # "sigmoid" (multi-label), "softmax" (single label), "none" (has been done)
    labels = ["Baby_cry", ...]         # in the order of the network's outputs
    priors = [0.1, ...]                # one per label: what a clip without an answer gets

    [audio]                            # soundpost.audio.decode.AudioSettings
    [windows]                          # soundpost.audio.windows.WindowSettings, where rows are windows of recordings
    [front_end]                        # name, and that front end's settings
    [model]                            # name, and that model's settings
    [[views]]                          # cheapest first: name, and that view's settings
    [aliases]                          # label -> column of the submission, where the names differ
    [gains]                            # what members and views add: see soundpost.ensemble.passes
    [[members]]                        # best first: fold, file, sha256, scores; bytes when it comes by a dataset
    [members.exported]                 # the same network as an ONNX file: file, sha256; bytes as above

submission.toml

    format = 1
    blend = "mean"                     # soundpost.ensemble.blend.BLENDS
    recipes = ["compact"]              # folders beside this file
    second_level = []                  # folders of recipes that see the first level's probabilities; read by the blend
    dataset = ""                       # owner/slug that holds the members with bytes, code/owner/slug: its output does
    [[wheels]]                         # runtimes that come by it: package, python, file, sha256, bytes
    [contest]                          # soundpost.contest.settings.ContestSettings; what is left out is learnt
    [[after]]                          # steps on the finished table, in their order: name of AFTER, and its settings
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from soundpost.errors import SettingsError

FORMAT = 1
DEFAULT_RATE = 44100  # Hz, of [audio] where nothing is said
AVERAGES = ("probability", "logit")  # the first is what a recipe has that names none
ACTIVATIONS = ("sigmoid", "softmax", "none")
RECIPE_KEYS = {"format", "name", "labels", "audio", "front_end", "model", "views", "members", "priors", "aliases"} | {
    "average",
    "activation",
    "gains",
    "windows",
}
ONNX = "onnx"  # [model] name of a recipe whose members are ONNX files


@dataclass(frozen=True)
class Named:
    """One entry of a registry, asked for by name, with its settings."""

    name: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Member:
    """One fold of one recipe."""

    recipe: str
    fold: str
    file: str  # beside recipe.toml, a .safetensors or .onnx file
    sha256: str  # what that file must have
    scores: Mapping[str, float] = field(default_factory=dict)  # out of fold: lwlrap, accuracy
    n_bytes: int = 0  # size of a file that comes as an attached dataset; 0: it lies beside recipe.toml
    exported: "Member | None" = None  # the same network as an ONNX file, for runtimes beside torch

    @property
    def name(self) -> str:
        """recipe/fold, as it is called in logs and on the command line."""
        return f"{self.recipe}/{self.fold}"


@dataclass(frozen=True)
class Recipe:
    """Front end, network, views, labels and members that belong together."""

    name: str
    labels: tuple[str, ...]
    audio: Mapping[str, Any]
    front_end: Named
    model: Named
    views: tuple[Named, ...]
    members: tuple[Member, ...]
    priors: tuple[float, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)
    average: str = "probability"
    activation: str = "sigmoid"
    gains: Mapping[str, Sequence[float]] = field(default_factory=dict)
    windows: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_graph(self) -> bool:
        """Whether the members are ONNX files, for which there is no torch network."""
        return self.model.name == ONNX

    def digest(self) -> str:
        """Names the spectrograms of this recipe: equal audio and front-end settings give equal digests."""
        front_end = {"name": self.front_end.name, **self.front_end.settings}
        settings = {"audio": dict(self.audio), "front_end": front_end}
        if self.windows:
            settings["windows"] = dict(self.windows)
        text = json.dumps(settings, sort_keys=True, default=list)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Submission:
    """The recipes that are blended, and how."""

    recipes: tuple[Recipe, ...]
    blend: Named
    second_level: tuple[Recipe, ...] = ()  # their front end is "first_level": the inputs of their stage of the blend
    dataset: str = ""  # owner/slug of the dataset that holds members that do not lie beside their recipe
    contest: Mapping[str, Any] = field(default_factory=dict)  # [contest]
    after: tuple[Mapping[str, Any], ...] = ()  # [[after]], steps on the finished table
    wheels: tuple["Wheel", ...] = ()  # runtimes that it holds as well


@dataclass(frozen=True)
class Wheel:
    """A package that comes by a dataset, for one version of Python."""

    package: str
    python: str  # "3.12"
    file: str
    sha256: str
    n_bytes: int

    @property
    def name(self) -> str:
        """How it is called in messages."""
        return f"{self.package} for Python {self.python}"


def parse_recipe(text: str, where: str) -> Recipe:
    """The recipe that the text of a recipe.toml describes.

    Raises:
        SettingsError: not TOML, another format, a key missing or unknown, or lists whose lengths disagree.
    """
    table = _table(text, where)
    _refuse_unknown(table, RECIPE_KEYS, where)
    missing = sorted({"name", "labels", "front_end", "model", "members"} - set(table))
    if missing:
        raise SettingsError(f"{where}: {', '.join(missing)} missing. Write it again with the trainer or importer.")
    for key, choices in (("average", AVERAGES), ("activation", ACTIVATIONS)):
        if table.get(key, choices[0]) not in choices:
            raise SettingsError(f"{where}: {key} = '{table[key]}'; known: {', '.join(choices)}. Correct it.")
    _refuse_other_rates(table, where)
    labels, priors, aliases = _columns(table, where)
    return Recipe(
        name=table["name"],
        labels=labels,
        audio=MappingProxyType(dict(table.get("audio", {}))),
        front_end=_named(table["front_end"], f"{where} [front_end]"),
        model=_named(table["model"], f"{where} [model]"),
        views=tuple(_named(v, f"{where} [[views]]") for v in table.get("views", [{"name": "whole"}])),
        members=_members(table, where),
        priors=priors,
        aliases=MappingProxyType(aliases),
        average=table.get("average", AVERAGES[0]),
        activation=table.get("activation", ACTIVATIONS[0]),
        gains=MappingProxyType({key: tuple(map(float, scores)) for key, scores in table.get("gains", {}).items()}),
        windows=MappingProxyType(dict(table.get("windows", {}))),
    )


def _columns(table: Mapping[str, Any], where: str) -> tuple[tuple[str, ...], tuple[float, ...], dict[str, str]]:
    """Labels, one prior for each, and aliases of some."""
    labels = tuple(table["labels"])
    if len(set(labels)) != len(labels) or not labels:
        raise SettingsError(f"{where}: labels must be distinct and at least one, got {len(labels)}. Correct the list.")
    priors = tuple(float(p) for p in table.get("priors", [1 / len(labels)] * len(labels)))
    if len(priors) != len(labels):
        raise SettingsError(f"{where}: {len(labels)} labels but {len(priors)} priors. Give one prior for each label.")
    aliases = dict(table.get("aliases", {}))
    stray = sorted(set(aliases) - set(labels))
    if stray:
        raise SettingsError(f"{where}: aliases for {', '.join(stray)}, which are no labels. Correct [aliases].")
    return labels, priors, aliases


def _members(table: Mapping[str, Any], where: str) -> tuple[Member, ...]:
    """The members of [[members]], at least one; a recipe without any view could not show them anything."""
    incomplete = [key for m in table["members"] for key in ("fold", "file", "sha256") if key not in m]
    if incomplete or not table["members"] or table.get("views") == []:
        lack = f"a member without {incomplete[0]}" if incomplete else "no member or no view"
        raise SettingsError(f"{where}: {lack}. Write it again with the trainer or importer.")
    return tuple(_member(entry, table["name"], where) for entry in table["members"])


def parse_submission(text: str, recipes: Mapping[str, str], where: str) -> Submission:
    """The submission that the text of a submission.toml describes.

    Args:
        text: what stands in submission.toml.
        recipes: name -> text of its recipe.toml.
        where: the file, for messages.
    """
    table = _table(text, where)
    _refuse_unknown(
        table, {"format", "recipes", "blend", "second_level", "dataset", "contest", "after", "wheels"}, where
    )
    second_level = table.get("second_level", [])
    absent = [name for name in (*table.get("recipes", []), *second_level) if name not in recipes]
    if absent or not table.get("recipes"):
        known = ", ".join(sorted(recipes)) or "none"
        raise SettingsError(f"{where}: recipes {absent or '[]'} not found; known: {known}. Correct the list.")
    blend = table.get("blend", "mean")
    return Submission(
        recipes=tuple(parse_recipe(recipes[name], f"{name}/recipe.toml") for name in table["recipes"]),
        blend=_named({"name": blend} if isinstance(blend, str) else blend, f"{where} [blend]"),
        dataset=table.get("dataset", ""),
        second_level=tuple(parse_recipe(recipes[name], f"{name}/recipe.toml") for name in second_level),
        contest=MappingProxyType(dict(table.get("contest", {}))),
        after=tuple(MappingProxyType(dict(step)) for step in table.get("after", [])),
        wheels=tuple(_wheel(entry, where) for entry in table.get("wheels", [])),
    )


def _wheel(entry: Mapping[str, Any], where: str) -> Wheel:
    try:
        return Wheel(entry["package"], entry["python"], entry["file"], entry["sha256"], int(entry["bytes"]))
    except KeyError as error:
        raise SettingsError(f"{where} [[wheels]]: {error} missing. Build the kernel again.") from error


def _table(text: str, where: str) -> dict[str, Any]:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{where}: not TOML ({error}). Write it again with the trainer or importer.") from error
    if table.get("format") != FORMAT:
        raise SettingsError(
            f"{where}: format {table.get('format')!r}, this kit reads {FORMAT}. Use the kit that wrote it."
        )
    return table


def _refuse_unknown(table: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise SettingsError(f"{where}: unknown key {', '.join(unknown)}; known: {', '.join(sorted(known))}. Remove it.")


def _refuse_other_rates(table: Mapping[str, Any], where: str) -> None:
    """A front end that is told one rate and given another would place every band elsewhere, without a word."""
    given = table.get("audio", {}).get("sample_rate", DEFAULT_RATE)
    expected = table["front_end"].get("sample_rate", given)
    if given != expected:
        raise SettingsError(
            f"{where}: [audio] gives {given} Hz and [front_end] takes it for {expected} Hz. Write the rate of the "
            "training into both."
        )


def _member(entry: Mapping[str, Any], recipe: str, where: str) -> Member:
    exported = entry.get("exported")
    if exported is not None and not {"file", "sha256"} <= set(exported):
        raise SettingsError(f"{where}: exported of fold {entry['fold']} lacks file or sha256. Export it again.")
    return Member(
        recipe,
        str(entry["fold"]),
        entry["file"],
        entry["sha256"],
        MappingProxyType(dict(entry.get("scores", {}))),
        int(entry.get("bytes", 0)),
        _member({"fold": entry["fold"], **exported}, recipe, where) if exported is not None else None,
    )


def _named(table: Mapping[str, Any], where: str) -> Named:
    if "name" not in table:
        raise SettingsError(f"{where}: name missing. Say which one is meant.")
    return Named(table["name"], MappingProxyType({k: v for k, v in table.items() if k != "name"}))
