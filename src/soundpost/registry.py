"""Names -> entries of registries, tables -> frozen settings; what is not known is refused."""

import dataclasses
from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar, Protocol, TypeVar

from soundpost.errors import SettingsError


class Dataclass(Protocol):
    """What every dataclass has."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


T = TypeVar("T", bound=Dataclass)


def pick(registry: Mapping[str, str], name: str, kind: str) -> Any:
    """The class or function of that name, imported when it is asked for, so that a kernel carries only what it uses.

    Args:
        registry: name -> "module:attribute", a plain dict such as MODELS.
        name: what a recipe asks for.
        kind: what the registry holds, in words, for the message ("model", "front end").

    Raises:
        SettingsError: no such entry; the message lists the known names.
    """
    if name not in registry:
        known = ", ".join(sorted(registry))
        raise SettingsError(f"{kind} '{name}' is not known; known: {known}. Correct the name in the recipe.")
    module, attribute = registry[name].split(":")
    return getattr(import_module(module), attribute)


def settings_from(settings_class: type[T], table: Mapping[str, Any], where: str) -> T:
    """A frozen settings dataclass filled from a table of a recipe; lists become tuples.

    Raises:
        SettingsError: a key that the dataclass lacks, or a missing one that has no default.
    """
    fields = {field.name: field for field in dataclasses.fields(settings_class)}
    unknown = sorted(set(table) - set(fields))
    if unknown:
        raise SettingsError(
            f"{where}: unknown setting {', '.join(unknown)}; known: {', '.join(fields)}. Remove or correct it."
        )
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    try:
        return settings_class(**values)
    except TypeError as error:
        raise SettingsError(f"{where}: {error}. Give every setting that has no default.") from error


def build(
    registry: Mapping[str, str], name: str, settings: Mapping[str, Any], kind: str, *rest: object, where: str = ""
) -> Any:
    """An entry of a registry, made with the settings of a table.

    Args:
        registry: name -> "module:attribute".
        name: what a recipe asks for.
        settings: fields of the entry's Settings; a key "name" is left aside.
        kind: what the registry holds, in words, for messages.
        rest: what the entry takes after its settings, such as a network its number of classes.
        where: the table, for messages; kind in brackets when it is not said.

    Raises:
        SettingsError: no such entry, or a setting that it does not have.
    """
    entry = pick(registry, name, kind)
    own = {key: value for key, value in settings.items() if key != "name"}
    return entry(settings_from(entry.Settings, own, where or f"[{kind.replace(' ', '_')}]"), *rest)
