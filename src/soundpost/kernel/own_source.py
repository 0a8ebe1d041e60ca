"""Files of networks that are somebody's own: what a kernel can carry of them, and what they need. Never bundled."""

import ast
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from soundpost.ensemble.recipes import Recipe
from soundpost.errors import BundleError
from soundpost.kernel.dependencies import GONE, PACKAGE, RUNTIME, without_typing

# Packages of Kaggle's image that no other part of a kernel needs; whether they are there is looked up when it starts.
IMAGE = ("scipy", "timm", "torchaudio", "torchvision")


@dataclass(frozen=True)
class Needs:
    """What a file imports beside the standard library and what every kernel has."""

    packages: tuple[str, ...]  # those of the image, and those allowed by name
    modules: tuple[str, ...]  # those of the kit


def needs(text: str, path: Path, allowed: Sequence[str] = ()) -> Needs:
    """What the file of a network imports, after it was found that a kernel can have all of it.

    Args:
        text: what stands in the file.
        path: where, for messages; files beside it are recognised.
        allowed: packages that are taken for installed because a person named them.

    Raises:
        BundleError: it is no Python, or imports what a kernel cannot have; with file and line.
    """
    try:
        tree = ast.parse(text, str(path))
    except SyntaxError as error:
        raise BundleError(f"{path}:{error.lineno}: {error.msg}. Correct the file.") from error
    packages, modules = [], []
    for node in ast.walk(without_typing(tree)):
        for name in _imported(node, path):
            top = name.split(".")[0]
            if top == PACKAGE:
                modules.append(name)
            elif top in IMAGE or top in allowed:
                packages.append(top)
            elif top not in RUNTIME and (top in GONE or top not in sys.stdlib_module_names):
                raise BundleError(f"{path}:{getattr(node, 'lineno', 0)}: imports {name}, {_why_not(top, path)}")
    return Needs(tuple(sorted({*packages})), tuple(sorted({*modules})))


def files_of(recipe: Recipe, root: Path) -> dict[str, str]:
    """The file of a recipe's network as a kernel carries it: path -> text; empty where it has none.

    Raises:
        BundleError: it is not there, or is no UTF-8.
    """
    name = recipe.model.settings.get("file", "")
    if not name:
        return {}
    path = root / recipe.name / name
    try:
        return {f"weights/{recipe.name}/{name}": path.read_bytes().decode("utf-8")}
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: {error}. Import the network again.") from error


def _imported(node: ast.AST, path: Path) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    if node.level:
        raise BundleError(
            f"{path}:{node.lineno}: imports from {'.' * node.level}{node.module or ''}, a file beside it. A network "
            "travels as one file: put both into one."
        )
    inner = [f"{node.module}.{alias.name}" for alias in node.names] if node.module == PACKAGE else []
    return inner or [node.module or ""]


def _why_not(top: str, path: Path) -> str:
    if (path.parent / f"{top}.py").is_file() or (path.parent / top).is_dir():
        return "a file beside it. A network travels as one file: put both into one."
    return (
        f"which is not among what a kernel may use ({', '.join((*RUNTIME, *IMAGE))}, the standard library of Python "
        f'3.11 to 3.13). Do without it, or, where you know that it is installed, say packages = ["{top}"] in [model].'
    )
