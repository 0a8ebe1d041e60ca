"""What the source promises about itself: imports point down, families are pure, everything public is explained."""

import ast
import io
import re
import sys
import tokenize
import tomllib
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from soundpost.front_ends import FRONT_ENDS
from soundpost.kernel.dependencies import NEVER_BUNDLED, NEVER_TRAINING
from soundpost.models import MODELS
from soundpost.views import VIEWS

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
SOURCE = ROOT / "src"
PACKAGE = "soundpost"

HOUSE = tomllib.loads((ROOT / "docs" / "house.toml").read_text("utf-8"))
MAY_IMPORT: dict[str, list[str]] = HOUSE["may_import"]
RULES: dict[str, list[str]] = HOUSE["rules"]
FREE_TO_ALL = {"errors"}
FAMILIES = ("front_ends", "models", "views")
TOP_LEVEL = {"", "arguments", "cli", "errors", "exit_status", "registry", "settings", "tagger"}
MOST_LINES = 300
# Modules of families that bring in a library of Kaggle's image by name.
BY_NAME = {"front_ends.landing": {"numba"}, "models.timm_body": {"timm"}}
MOST_FUNCTION_LINES = 60
FRAGMENT = re.compile(r"(of|that)\b", re.IGNORECASE)  # how a comment begins whose noun is the name beside it
ARGUMENT = re.compile(r"\s+\w+: (?=(of|that)\b)", re.IGNORECASE)  # the same in a line below Args:
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


def room(name: str) -> str:
    """The package, or the file at the top level, that a module stands in."""
    return name.split(".")[0]


def is_never_bundled(name: str) -> bool:
    """Whether no kernel carries a module."""
    return any(name == never or name.startswith(f"{never}.") for never in RULES["never_bundled"])


BUNDLED = [name for name in MODULES if not is_never_bundled(name)]
FAMILY_MODULES = [name for name in MODULES if room(name) in (*FAMILIES, "functional") and "." in name]
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


@pytest.mark.parametrize("name", MODULES)
def test_module_imports_what_its_room_may_import(name: str) -> None:
    """The table is the whole truth about who knows whom."""
    known = {room(other) for other in own(MODULES[name])} - {room(name)} - FREE_TO_ALL
    allowed = MAY_IMPORT.get(room(name), [])
    if room(name) == "launch" and name not in RULES["engine_process"]:
        allowed = [other for other in allowed if other not in ("engine", "forecast")]

    assert known <= set(allowed), f"{name} imports {sorted(known - set(allowed))}; its room may import {allowed}"


def test_table_of_imports_names_every_room_once_and_uses_all_that_it_allows() -> None:
    """A right that nobody uses is a door that should be closed; rooms that are announced but not built may wait."""
    rooms = {room(name) for name in MODULES} - FREE_TO_ALL
    used = {(room(name), room(other)) for name in MODULES for other in own(MODULES[name])}
    idle = {(one, other) for one in rooms for other in MAY_IMPORT[one] if (one, other) not in used}

    assert rooms <= set(MAY_IMPORT), f"{rooms - set(MAY_IMPORT)} stand in no row of docs/house.toml"
    assert {name for names in MAY_IMPORT.values() for name in names} <= set(MAY_IMPORT)
    assert idle == set()


def test_table_of_imports_has_no_circle() -> None:
    """Rooms can be walked from the ground up."""
    tuple(TopologicalSorter(MAY_IMPORT).static_order())  # raises CycleError


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_module_imports_nothing_that_is_never_bundled(name: str) -> None:
    """What a kernel carries runs without what makes weights and kernels."""
    assert [other for other in own(MODULES[name]) if is_never_bundled(other)] == []


def test_rule_of_what_is_never_bundled_is_the_one_of_the_build() -> None:
    """The table and the bundler say the same."""
    assert [f"soundpost.{name}" for name in RULES["never_bundled"]] == list(NEVER_BUNDLED)
    assert [f"soundpost.{name}" for name in RULES["never_in_training"]] == list(NEVER_TRAINING)


def heads(path: Path) -> set[str]:
    """Full names of what a file imports before any of its functions is called."""
    found = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("name", RULES["no_torch_below"])
def test_guard_of_a_training_session_imports_no_torch_at_any_depth(name: str) -> None:
    """The process that outlives its workers stays small; they import torch once they are under guard."""
    waiting, seen = [name], set()
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        found = heads(MODULES[module])
        assert "torch" not in {full.split(".")[0] for full in found}, module
        own_heads = {full.removeprefix(f"{PACKAGE}.") for full in found if full.startswith(f"{PACKAGE}.")}
        waiting += sorted(own_heads & set(MODULES))


@pytest.mark.parametrize("name", [name for name in MODULES if room(name) in RULES["no_torch"]])
def test_rooms_of_the_supervisor_import_no_torch(name: str) -> None:
    """The process that guards a run starts at once and stays small; the engine's process imports it in a function."""
    tree = ast.parse(MODULES[name].read_text("utf-8"))
    at_once = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    heads = {alias.name.split(".")[0] for node in at_once if isinstance(node, ast.Import) for alias in node.names}
    heads |= {str(node.module).split(".")[0] for node in at_once if isinstance(node, ast.ImportFrom)}

    assert "torch" not in heads


def test_top_level_of_the_package_holds_the_ground_and_the_doors_alone() -> None:
    """Everything else has a room."""
    assert {path.stem.removeprefix("__init__") for path in (SOURCE / PACKAGE).glob("*.py")} <= TOP_LEVEL


@pytest.mark.parametrize("name", MODULES)
def test_file_holds_one_idea(name: str) -> None:
    """A file that grows past the limit holds two."""
    assert len(MODULES[name].read_text("utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("name", FAMILY_MODULES)
def test_front_ends_models_and_views_know_torch_and_numpy_alone(name: str) -> None:
    """No clock, no files, no processes, no engine: tensors in, tensors out."""
    for full in imports(MODULES[name]):
        head, _, _ = full.partition(".")
        if head != PACKAGE:
            is_library = head not in sys.stdlib_module_names
            may = {"torch", "numpy"} | BY_NAME.get(name, set())
            assert head in may if is_library else head not in MAY_TOUCH_THE_WORLD, f"{name}: {full}"


@pytest.mark.parametrize("name", FAMILY_MODULES)
def test_entries_of_registries_do_not_know_each_other(name: str) -> None:
    """What two share stands in a file of its own, so that a kernel carries only what its recipes ask for."""
    if name not in RULES["made_of_siblings"]:
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


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method, wherever it stands."""
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("name", MODULES)
def test_function_fits_on_a_screen(name: str) -> None:
    """A function that grows past the limit does two things; its docstring counts, so that it stays short, too."""
    found = functions(ast.parse(MODULES[name].read_text("utf-8")))
    lengths = {function.name: (function.end_lineno or 0) - function.lineno + 1 for function in found}

    assert {which: lines for which, lines in lengths.items() if lines > MOST_FUNCTION_LINES} == {}


CLASSES = {
    node.name: node
    for path in MODULES.values()
    for node in ast.walk(ast.parse(path.read_text("utf-8")))
    if isinstance(node, ast.ClassDef)
}


def stored(function: ast.FunctionDef) -> set[str]:
    """Attributes of self that a method gives a value to."""
    return {
        node.attr
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


def born(cls: ast.ClassDef) -> set[str]:
    """Attributes that an object has from the beginning: its class's, its __init__'s, and those of its bases."""
    found = {
        node.target.id for node in cls.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    found |= {
        name.id
        for node in cls.body
        if isinstance(node, ast.Assign)
        for name in node.targets
        if isinstance(name, ast.Name)
    }
    for node in cls.body:
        if isinstance(node, ast.FunctionDef) and node.name in ("__init__", "__post_init__"):
            found |= stored(node)
    for base in cls.bases:
        if isinstance(base, ast.Name) and base.id in CLASSES:
            found |= born(CLASSES[base.id])
    return found


@pytest.mark.parametrize("name", MODULES)
def test_every_attribute_is_born_in_init(name: str) -> None:
    """Whoever reads __init__ knows all that an object can hold, and no method asks whether something is there yet."""
    late = {
        f"{cls.name}.{method.name}": sorted(stored(method) - born(cls))
        for cls in ast.walk(ast.parse(MODULES[name].read_text("utf-8")))
        if isinstance(cls, ast.ClassDef)
        for method in cls.body
        if isinstance(method, ast.FunctionDef)
    }

    assert {where: attributes for where, attributes in late.items() if attributes} == {}


def fragments(path: Path) -> Iterator[str]:
    """Comments, docstrings and descriptions of arguments that begin in the middle of a sentence."""
    text = path.read_text("utf-8")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and FRAGMENT.match(token.string.lstrip("# ")):
            yield f"{path.name}:{token.start[0]}: {token.string}"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (ast.get_docstring(node) or "").splitlines()
            found = [line for line in lines[:1] if FRAGMENT.match(line)] + [
                line for line in lines if ARGUMENT.match(line)
            ]
            yield from (f"{path.name}:{getattr(node, 'lineno', 1)}: {line.strip()}" for line in found)


WRITTEN = [
    path.relative_to(ROOT).as_posix()
    for folder in ("src", "tests", "benchmarks", "docs")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


@pytest.mark.parametrize("path", WRITTEN)
def test_comments_and_docstrings_are_sentences_of_their_own(path: str) -> None:
    """None begins with of or that, which only makes sense to whoever has read the name beside it."""
    assert list(fragments(ROOT / path)) == []


def test_fragments_are_recognised_where_they_stand(tmp_path: Path) -> None:
    """The rule sees comments behind code, docstrings and arguments, and leaves text and later words alone."""
    file = tmp_path / "written.py"
    file.write_text(
        'SIZE = 3  # of the batch\n\ndef cut(size):\n    """That many rows, of the table.\n\n    Args:\n'
        '        size: of a row.\n    """\n    return "# of text"  # rows of that\n'
    )

    assert [found.partition(": ")[2] for found in fragments(file)] == [
        "# of the batch",
        "That many rows, of the table.",
        "size: of a row.",
    ]


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


def test_files_of_tests_are_called_differently_wherever_they_stand() -> None:
    """Tests are imported by their bare names, so that of two alike only one would ever run."""
    assert [name for name, count in Counter(path.name for path in TEST_FILES).items() if count > 1] == []
