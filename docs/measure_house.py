"""Prints how a checkout's source hangs together, read from its imports: python docs/measure_house.py [CHECKOUT].

A room is a package inside the package, or a file at its top level. A floor holds the rooms that import only rooms of
the floors below; a house without circles has as many floors as its longest way down.
"""

import argparse
import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = "soundpost"
LONG_LINES = 40  # a function with more lines is counted as long


def modules(source: Path) -> dict[str, Path]:
    """Every module by its name without the package's; a package's __init__ by the package's name."""
    found = {}
    for path in sorted((source / PACKAGE).rglob("*.py")):
        name = ".".join(path.relative_to(source / PACKAGE).with_suffix("").parts)
        found[name.removesuffix("__init__").rstrip(".")] = path
    del found[""]
    return found


def known(path: Path, names: set[str]) -> set[str]:
    """The modules among names that a file imports, inside functions, too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    found = {name.removeprefix(f"{PACKAGE}.") for name in found if name.startswith(f"{PACKAGE}.")}
    return {name for name in found & names if not any(other.startswith(f"{name}.") for other in found & names)}


def floors(below: dict[str, set[str]]) -> list[list[str]]:
    """Rooms floor by floor, from the ground up.

    Args:
        below: room -> the rooms that it imports.

    Raises:
        CycleError: two rooms import each other, straight or by way of others.
    """
    sorter = TopologicalSorter(below)
    sorter.prepare()
    found = []
    while ready := sorter.get_ready():
        found.append(sorted(ready))
        sorter.done(*ready)
    return found


def room(name: str) -> str:
    """The package, or the file at the top level, that a module stands in."""
    return name.split(".")[0]


def rooms_below(arrows: dict[str, set[str]]) -> dict[str, set[str]]:
    """Room -> the other rooms that its modules import, from module -> modules."""
    below: dict[str, set[str]] = {}
    for name, others in arrows.items():
        below.setdefault(room(name), set()).update({room(other) for other in others} - {room(name)})
    return below


def long_functions(path: Path) -> list[int]:
    """Lines of each function that has more than LONG_LINES."""
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    lines = [(n.end_lineno or 0) - n.lineno + 1 for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [count for count in lines if count > LONG_LINES]


def measures(checkout: Path) -> dict[str, str]:
    """What there is to say about a checkout, line by line."""
    found = modules(checkout / "src")
    arrows = {name: known(path, set(found)) - {name} for name, path in found.items()}
    below = rooms_below(arrows)
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in found.values()}
    longest = max(lengths, key=lambda path: lengths[path])
    long = [count for path in found.values() for count in long_functions(path)]
    try:
        n_floors = str(len(floors(below)))
    except CycleError as error:
        n_floors = f"none, for a circle: {' -> '.join(error.args[1])}"
    return {
        "files": str(len(found)),
        "files at the top level of the package, besides __init__": str(
            sum(path.parent.name == PACKAGE for path in found.values())
        ),
        "longest file": f"{lengths[longest]} lines, {longest.relative_to(checkout / 'src' / PACKAGE)}",
        "rooms": str(len(below)),
        "floors": n_floors,
        "pairs of rooms of which one imports the other": str(sum(map(len, below.values()))),
        "pairs of files of which one imports the other": str(sum(map(len, arrows.values()))),
        f"functions over {LONG_LINES} lines": f"{len(long)}, the longest {max(long, default=0)}",
    }


def main() -> None:
    """Print the measures of one checkout."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("checkout", nargs="?", type=Path, default=Path(__file__).resolve().parent.parent)
    for name, value in measures(parser.parse_args().checkout).items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
