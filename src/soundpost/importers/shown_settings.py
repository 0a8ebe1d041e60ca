"""Every setting that changes answers, with its value, whether it is a default, and what it means."""

import ast
import dataclasses
import inspect
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

from soundpost.audio.decode import AudioSettings
from soundpost.errors import SettingsError
from soundpost.front_ends import FRONT_ENDS
from soundpost.registry import pick, settings_from
from soundpost.views import VIEWS

# What no setting changes, and what another library may do otherwise.
MEL = {"mel scale": "Slaney's (htk = False in librosa), equal areas", "window": "periodic Hann, centred frames"}
FIXED: dict[str, Mapping[str, str]] = {
    "axis_picture": {"window": "periodic Hann"},
    "log_mel": {**MEL, "spectrum": "power 2", "decibels": "10 log10(max(power, 1e-10)), not relative to the maximum"},
    "log_stft": {**MEL, "spectrum": "magnitude (power 1)", "logarithm": "natural, of magnitude + 1e-4"},
    "pcen": {**MEL, "spectrum": "power 2"},
    "picture": {
        **MEL,
        "spectrum": "power 2",
        "decibels": "stretched over 0 ... 255, cut to whole numbers",
    },
    "picture_stack": {},
    "reassigned_picture": {"filters": "Gaussian, not a Fourier transform"},
    "segments": {**MEL, "decibels": "relative to nothing; with statistics of the whole clip"},
    "window_picture": {"window": MEL["window"], "spectrum": "power 2"},
}


@dataclass(frozen=True)
class Shown:
    """One setting as a person should see it."""

    name: str
    value: Any
    is_default: bool
    meaning: str


def shown(settings: Any, given: Mapping[str, Any]) -> list[Shown]:
    """Every field of a settings dataclass, with what stands beside it in its source.

    Args:
        settings: an instance.
        given: what a person wrote; the rest are defaults.
    """
    kind: type = type(settings)
    meanings = comments(kind)
    return [
        Shown(field.name, getattr(settings, field.name), field.name not in given, meanings.get(field.name, ""))
        for field in dataclasses.fields(settings)
    ]


def resolved(table: Mapping[str, Any], where: str) -> Iterator[tuple[str, list[Shown], Mapping[str, str]]]:
    """[audio], [front_end] and each view of a recipe with all their settings, and what none of them changes.

    Args:
        table: the recipe's.
        where: the recipe, for messages.

    Raises:
        SettingsError: an entry or a setting that is not known, or sample rates that differ.
    """
    audio = _nameless(table.get("audio", {}))
    yield "[audio]", shown(settings_from(AudioSettings, audio, f"{where} [audio]"), audio), {}
    tables = [("front end", FRONT_ENDS, "[front_end]", table["front_end"])]
    tables += [("view", VIEWS, "[[views]]", view) for view in table.get("views", [{"name": "whole"}])]
    for kind, registry, title, whole in tables:
        name, given = whole.get("name", ""), _nameless(whole)
        settings = settings_from(pick(registry, name, kind).Settings, given, f"{where} {title}")
        yield f"{title} {name}", shown(settings, given), FIXED.get(name, {}) if kind == "front end" else {}


def refuse_other_rates(table: Mapping[str, Any], where: str) -> None:
    """Refuse a front end that takes the waveform for one of another rate than [audio] makes it.

    Raises:
        SettingsError: with both rates; or no [audio], whose rate would be a guess.
    """
    rate = table.get("audio", {}).get("sample_rate")
    if rate is None:
        raise SettingsError(f"{where}: no sample_rate in [audio]. Say which one the network was trained with, in Hz.")
    whole = table["front_end"]
    settings = settings_from(pick(FRONT_ENDS, whole.get("name", ""), "front end").Settings, _nameless(whole), where)
    expected = getattr(settings, "sample_rate", rate)
    if expected != rate:
        said = "" if "sample_rate" in whole else " (its default)"
        raise SettingsError(
            f"{where}: [audio] gives {rate} Hz and [front_end] {whole['name']} takes it for {expected} Hz{said}: every "
            "band would lie elsewhere. Write the rate of the training into both."
        )


def lines(table: Mapping[str, Any], where: str) -> list[str]:
    """The settings of a recipe as lines for a person, defaults marked.

    Raises:
        SettingsError: see resolved.
    """
    text = []
    for title, settings, fixed in resolved(table, where):
        text.append(title)
        for entry in settings:
            mark = "(default)" if entry.is_default else ""
            text.append(f"    {entry.name:<15} = {plain(entry.value):<12} {mark:<9}  {entry.meaning}".rstrip())
        text += [f"    {name:<15}   {words}" for name, words in fixed.items()]
    return text


@cache
def comments(settings_class: type) -> dict[str, str]:
    """Field of a dataclass -> the comment beside it, or the lines of comment above it."""
    path = Path(inspect.getsourcefile(settings_class) or "")
    data = path.read_bytes()
    classes = [node for node in ast.walk(ast.parse(data)) if isinstance(node, ast.ClassDef)]
    node = next(node for node in classes if node.name == settings_class.__name__)
    marks = [token for token in tokenize.tokenize(BytesIO(data).readline) if token.type == tokenize.COMMENT]
    texts = {mark.start[0]: (mark.string.lstrip("# "), mark.line) for mark in marks}
    found = {}
    for entry in node.body:
        if not isinstance(entry, ast.AnnAssign) or not isinstance(entry.target, ast.Name):
            continue
        beside = texts.get(entry.end_lineno or entry.lineno)
        above: list[str] = []
        line = entry.lineno - 1
        while beside is None and line in texts and texts[line][1].lstrip().startswith("#"):
            above.insert(0, texts[line][0])
            line -= 1
        found[entry.target.id] = beside[0] if beside else " ".join(above)
    return found


def plain(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return f"[{', '.join(map(plain, value))}]" if isinstance(value, (tuple, list)) else str(value)


def _nameless(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key != "name"}
