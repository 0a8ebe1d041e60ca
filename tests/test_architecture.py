"""What the source promises about itself: imports point down, families are pure, everything public is explained."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from soundpost.closure import NEVER_BUNDLED
from soundpost.front_ends import FRONT_ENDS
from soundpost.models import MODELS
from soundpost.views import VIEWS

TESTS = Path(__file__).resolve().parent
SOURCE = TESTS.parent / "src"
PACKAGE = "soundpost"

# From the bottom up; a module may import what stands in rows above it, never its neighbours. A folder is one entry.
ROWS = (
    ("errors", "excerpt", "versions"),
    ("recipes", "registry", "settings"),
    ("audio", "blend", "budget", "cache", "clips", "deadline", "forecast", "grouping", "labels", "locate", "metrics"),
    ("named_machines", "pack_format", "plan", "progress", "report", "resources", "submission"),
    ("answers", "gauge", "weights", "writer"),
    ("attached", "draft"),
    ("assets",),
    ("front_ends", "models", "views"),
    ("devices", "folding", "second_level", "trials", "workers"),
    ("libraries",),
    ("predict",),
    ("compiling", "teams"),
    ("fitting", "roster"),
    ("lanes", "probing", "workshop"),
    ("feeding",),
    ("runner",),
    ("dry_run",),
    ("engine",),
    ("supervisor",),
    ("main",),
)
FAMILIES = ("front_ends", "models", "views")
# Entries of a registry that know others of their family, because that is what they are.
MADE_OF_SIBLINGS = {"front_ends.picture_stack"}
MAY_TOUCH_THE_WORLD = {"asyncio", "ctypes", "datetime", "glob", "io", "mmap", "multiprocessing", "os", "pathlib"} | {
    "pickle",
    "random",
    "secrets",
    "shutil",
    "socket",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
    "urllib",
}
OPENS = {"fromfile", "load", "loadtxt", "memmap", "open", "read_bytes", "read_text", "save", "savez", "tofile"}
DRAWS = {
    "bernoulli",
    "bernoulli_",
    "choice",
    "default_rng",
    "exponential_",
    "manual_seed",
    "multinomial",
    "normal",
    "normal_",
    "permutation",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "random_",
    "randperm",
    "seed",
    "shuffle",
    "uniform",
    "uniform_",
}


def modules() -> dict[str, Path]:
    """Every module of the kit by its name without the package's, __init__ by its folder's."""
    found = {}
    for path in sorted((SOURCE / PACKAGE).rglob("*.py")):
        name = ".".join(path.relative_to(SOURCE / PACKAGE).with_suffix("").parts)
        found[name.removesuffix("__init__").rstrip(".")] = path
    del found[""]
    return found


MODULES = modules()


def imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports anywhere, functions included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import. Write the full name."
            module = str(node.module)
            for alias in node.names:
                full = f"{module}.{alias.name}"
                is_module = full.removeprefix(f"{PACKAGE}.") in MODULES or module == PACKAGE
                found.add(full if is_module else module)
    return found


def own(path: Path) -> set[str]:
    """Names of the kit's modules that a file imports, without the package's."""
    return {name.removeprefix(f"{PACKAGE}.") for name in imports(path) if name.startswith(f"{PACKAGE}.")}


def is_never_bundled(name: str) -> bool:
    full = f"{PACKAGE}.{name}"
    return any(full == never or full.startswith(f"{never}.") for never in NEVER_BUNDLED)


def row_of(name: str) -> int:
    """The row of a bundled module."""
    head = name.split(".")[0]
    rows = [number for number, row in enumerate(ROWS) if head in row]
    assert rows, f"{name} stands in no row of ROWS and is not in closure.NEVER_BUNDLED. Give it its place."
    return rows[0]


BUNDLED = [name for name in MODULES if not is_never_bundled(name)]
FAMILY_MODULES = [name for name in MODULES if name.split(".")[0] in FAMILIES and "." in name]
ENTRIES = {
    place.split(":")[0].removeprefix(f"{PACKAGE}.")
    for family in (FRONT_ENDS, MODELS, VIEWS)
    for place in family.values()
}


def calls(path: Path) -> Iterator[tuple[str, int]]:
    """Every call's dotted name and line."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node.lineno


@pytest.mark.parametrize("name", BUNDLED)
def test_imports_of_a_bundled_module_point_down(name: str) -> None:
    """A module knows only what stands below it, and never what is not bundled."""
    head = name.split(".")[0]
    for other in own(MODULES[name]):
        assert not is_never_bundled(other), f"{name} imports {other}, which is never bundled"
        if other.split(".")[0] != head and {head, other.split(".")[0]} - set(FAMILIES):
            assert row_of(other) < row_of(name), f"{name} imports {other}, which does not stand below it"


def test_rows_name_modules_that_exist_and_each_once() -> None:
    """The table is about this source."""
    heads = {name.split(".")[0] for name in BUNDLED}
    named = [name for row in ROWS for name in row]
    assert len(named) == len(set(named))
    assert set(named) == heads


@pytest.mark.parametrize("name", FAMILY_MODULES)
def test_front_ends_models_and_views_know_torch_numpy_and_the_ground_alone(name: str) -> None:
    """No clock, no files, no processes, no engine: tensors in, tensors out."""
    ground = {*ROWS[0], *ROWS[1]}
    for full in imports(MODULES[name]):
        head, _, rest = full.partition(".")
        if head == PACKAGE:
            assert rest in ground or rest.split(".")[0] in FAMILIES, f"{name} imports {full}"
        else:
            is_library = head not in sys.stdlib_module_names
            assert head in {"torch", "numpy"} if is_library else head not in MAY_TOUCH_THE_WORLD, f"{name}: {full}"


@pytest.mark.parametrize("name", FAMILY_MODULES)
def test_entries_of_registries_do_not_know_each_other(name: str) -> None:
    """What two share stands in a file of its own, so that a kernel carries only what its recipes ask for."""
    if name not in MADE_OF_SIBLINGS:
        assert own(MODULES[name]) & ENTRIES == set(), f"{name} imports an entry of a registry"


@pytest.mark.parametrize("name", FAMILY_MODULES)
def test_front_ends_models_and_views_open_nothing_and_draw_nothing(name: str) -> None:
    """The same input gives the same output; only the making of weights may draw."""
    for call, line in calls(MODULES[name]):
        chain, _, last = call.rpartition(".")
        assert last not in OPENS, f"{name}:{line}: {call}() opens a file"
        if not re.search(r"(^|\.)init$", chain):
            assert last not in DRAWS, f"{name}:{line}: {call}() draws randomness"


@pytest.mark.parametrize("folder", FAMILIES)
def test_import_of_a_family_imports_none_of_its_members(folder: str) -> None:
    """Registries are plain dicts of names, so that what is not asked for is not loaded."""
    assert imports(MODULES[folder]) == set()


def undocumented(tree: ast.Module, prefix: str = "") -> Iterator[str]:
    """Public functions, classes and methods without a docstring; what is inside a function is not public."""
    for node in tree.body:
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) or node.name.startswith("_"):
            continue
        if ast.get_docstring(node) is None:
            yield prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from undocumented(node, f"{prefix}{node.name}.")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_has_a_docstring(name: str) -> None:
    """Modules, classes, functions and methods say what one gets."""
    tree = ast.parse(MODULES[name].read_text("utf-8"))
    assert ast.get_docstring(tree), f"{name} does not open with the idea it holds"
    assert list(undocumented(tree)) == []


TEST_FILES = sorted(TESTS.rglob("test_*.py"))


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.name)
def test_every_test_says_in_a_sentence_what_it_shows(path: Path) -> None:
    """Someone could disagree with it; and an exception that is expected is known by its words."""
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree), f"{path.name} does not say what it is about"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            sentence = (ast.get_docstring(node) or "").strip()
            assert sentence.endswith((".", "?", "!")), f"{path.name}:{node.lineno}: {node.name} has no sentence"
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.raises":
            words = {keyword.arg for keyword in node.keywords}
            assert "match" in words, f"{path.name}:{node.lineno}: pytest.raises without match"
