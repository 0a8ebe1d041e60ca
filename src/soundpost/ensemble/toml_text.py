"""A table of plain values -> TOML, without a package, as Kaggle's image has none that writes it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

WIDTH = 120  # characters; a longer list has its values one below the other


def toml_text(table: Mapping[str, Any]) -> str:
    """A table as TOML: values first, then tables, then lists of tables, each in the order that is given.

    Args:
        table: strings, whole numbers, finite numbers, truth values, lists of these, tables and lists of tables.
    """
    return "\n".join(_lines(table, ())).strip("\n") + "\n"


def _lines(table: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[str]:
    values = {key: value for key, value in table.items() if not _is_table(value) and not _is_tables(value)}
    for key, value in values.items():
        yield _assigned(_key(key), value)
    for key, value in table.items():
        place = (*above, _key(key))
        name = ".".join(place)
        if _is_table(value):
            yield f"\n[{name}]"
            yield from _lines(value, place)
        elif _is_tables(value):
            for row in value:
                yield f"\n[[{name}]]"
                yield from _lines(row, place)


def _assigned(key: str, value: Any) -> str:
    line = f"{key} = {_value(value)}"
    if len(line) <= WIDTH or isinstance(value, str) or not isinstance(value, Sequence):
        return line
    rows = "".join(f"    {_value(row)},\n" for row in value)
    return f"{key} = [\n{rows}]"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's strings are TOML's, but for DEL, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(_value, value)) + "]"
    raise TypeError(f"{type(value).__name__} is no value of TOML that is written here")


def _key(key: str) -> str:
    is_bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if is_bare else _value(key)


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_tables(value: Any) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and len(value) > 0
        and all(isinstance(row, Mapping) for row in value)
    )
