"""Which modules a kernel needs, read from the source without importing any of it. Never bundled.

From the entries on, every module of the kit is needed that is imported anywhere (also inside a function), or whose full
name stands as a string (as in [sys.executable, "-m", "soundpost.launch.engine_process"]), with the packages around it.
What a recipe asks for by name is found in the registry's dict. An import that Kaggle's image could not satisfy is
refused here, with file and line, so that it breaks the build and not the kernel.
"""

import ast
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from soundpost.errors import BundleError

PACKAGE = "soundpost"
ENTRIES = ("soundpost.launch.main", "soundpost.launch.engine_process", "soundpost.launch.requirements")
RUNTIME = ("torch", "numpy", "soundfile", "psutil", "librosa", "soxr", "pandas", "safetensors", "tqdm")
# What single modules may use beside that; it is in Kaggle's image.
BY_NAME = {
    "soundpost.front_ends.landing": ("numba",),
    "soundpost.models.timm_body": ("timm",),
    "soundpost.report_page.charts": ("matplotlib",),
    "soundpost.training.history_picture": ("matplotlib",),
    "soundpost.report_page.page": ("jinja2", "markupsafe"),
}
# In the standard library of 3.11 and no more in 3.13; Kaggle's image may have either.
GONE = (
    "aifc",
    "asyncore",
    "audioop",
    "cgi",
    "chunk",
    "crypt",
    "distutils",
    "imghdr",
    "imp",
    "pipes",
    "sndhdr",
    "sunau",
)
NEVER_BUNDLED = tuple(
    f"{PACKAGE}.{name}"
    for name in (
        "archive",
        "cli",
        "evaluation",
        "graph_export",
        "importers",
        "kernel",
        "launch.loader",
        "report_page.command",
        "sample",
        "tag",
        "tagger",
        "training",
    )
)
TRAINING_ENTRIES = (
    "soundpost.training.session.main",
    "soundpost.training.session.worker",
    "soundpost.training.session.work",
    "soundpost.launch.requirements",
)
# A training kernel carries what makes weights; what deals folds by a package that Kaggle's image lacks stays here, and
# its folds travel as text.
NEVER_TRAINING = (
    *(name for name in NEVER_BUNDLED if name not in (f"{PACKAGE}.evaluation", f"{PACKAGE}.training")),
    f"{PACKAGE}.training.folds.stratified",
)


@dataclass(frozen=True)
class Kind:
    """What one kind of kernel may carry and import."""

    never: tuple[str, ...] = NEVER_BUNDLED
    packages: tuple[str, ...] = RUNTIME


ANSWERING = Kind()
TRAINING = Kind(NEVER_TRAINING, (*RUNTIME, "scipy", "sklearn"))


def collect(source: Path, entries: Iterable[str], kind: Kind = ANSWERING) -> dict[str, str]:
    """The text of every module that the entries need, by path, sorted.

    Args:
        source: the folder that holds the package.
        entries: full names of modules.
        kind: what the kernel may carry.

    Returns:
        "soundpost/audio/decode.py" -> its text.

    Raises:
        BundleError: an import of something that is not in Kaggle's image, never bundled, or not there.
    """
    waiting, texts = [(name, "an entry") for name in entries], {}
    while waiting:
        name, why = waiting.pop()
        path = _path(source, name)
        if path is None:
            raise BundleError(f"{why}: module {name} is not in {source}. Correct the name, or add the file.")
        if is_under(name, kind.never):
            raise BundleError(f"{why}: {name} is never bundled. Move what is needed out of it, or drop the import.")
        key = path.relative_to(source).as_posix()
        if key in texts:
            continue
        texts[key] = path.read_bytes().decode("utf-8")  # byte for byte: read_text would change line ends
        waiting += _needed(source, name, path, texts[key], kind.packages)
    return dict(sorted(texts.items()))


def is_under(name: str, modules: Iterable[str]) -> bool:
    """Whether a module is one of these, or lies in one of them."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def registered(source: Path, package: str, names: Sequence[str] | None) -> list[str]:
    """Full names of the modules that a package's registry has for these names.

    Args:
        source: the folder that holds the kit.
        package: such as "models", whose __init__.py holds the dict MODELS, or "inference.backends".
        names: what the recipes ask for; None: all.

    Raises:
        BundleError: no such registry, or no such name in it.
    """
    path = source.joinpath(PACKAGE, *package.split("."), "__init__.py")
    registry = package.split(".")[-1].upper()
    for node in ast.parse(path.read_text("utf-8")).body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(target, ast.Name) and target.id == registry for target in targets):
            known: dict[str, str] = ast.literal_eval(node.value)
            break
    else:
        raise BundleError(f"{path}: no dict {registry} there. Write the registry as one literal dict.")
    names = list(known) if names is None else names
    for name in names:
        if name not in known:
            raise BundleError(
                f"a recipe asks for {name} of {package}; known: {', '.join(sorted(known))}. Correct the recipe."
            )
    return [known[name].split(":")[0] for name in names]


def _needed(source: Path, name: str, path: Path, text: str, packages: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(module of the kit, where it is asked for), for each one; third-party imports are checked on the way."""
    parts = name.split(".")
    for depth in range(1, len(parts)):
        yield ".".join(parts[:depth]), f"{path}"
    for node in ast.walk(without_typing(ast.parse(text, str(path)))):
        where = f"{path}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value.startswith(f"{PACKAGE}.") and _path(source, node.value):
                yield node.value, where
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for module in _imported(source, name, path, node):
                if module.split(".")[0] == PACKAGE:
                    yield module, where
                else:
                    _check_third_party(module, where, (*packages, *BY_NAME.get(name, ())))


def _imported(source: Path, name: str, path: Path, node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    above = package[: len(package) - node.level + 1] if node.level else []
    base = ".".join([*above, *([node.module] if node.module else [])])
    inner = [f"{base}.{alias.name}" for alias in node.names]
    return [base, *(module for module in inner if _path(source, module))]


def _check_third_party(module: str, where: str, packages: Sequence[str]) -> None:
    top = module.split(".")[0]
    if top not in packages and (top in GONE or top not in sys.stdlib_module_names):
        raise BundleError(
            f"{where}: imports {module}, which is not among what a kernel may use ({', '.join(packages)}, the "
            "standard library of Python 3.11 to 3.13). Do without it, or move it to a module never bundled."
        )


def without_typing(tree: ast.Module) -> ast.Module:
    """The tree without what stands under `if TYPE_CHECKING:`, which no kernel runs."""

    class Drop(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.AST:
            test = node.test
            if getattr(test, "id", getattr(test, "attr", "")) == "TYPE_CHECKING":
                node.body = [ast.Pass()]
            return self.generic_visit(node)

    return Drop().visit(tree)


def _path(source: Path, name: str) -> Path | None:
    """The file of a module of the kit, if there is one."""
    if name.split(".")[0] != PACKAGE or not all(part.isidentifier() for part in name.split(".")):
        return None
    path = source.joinpath(*name.split("."))
    return next((p for p in (path / "__init__.py", path.with_suffix(".py")) if p.is_file()), None)
