"""Files of networks that are somebody's own: which belong together, and what they need. Never bundled.

All of it is read from the source. Nothing is run to find out what a file imports.
"""

import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from soundpost.ensemble.recipes import Recipe
from soundpost.errors import BundleError
from soundpost.kernel.dependencies import ENTRIES, GONE, PACKAGE, RUNTIME, collect, without_typing
from soundpost.kernel.placement import OVERHEAD_BYTES
from soundpost.kernel.render import LIMIT_BYTES
from soundpost.kernel.source_block import armoured, compressed

# Packages of Kaggle's image that no other part of a kernel needs; whether they are there is looked up when it starts.
IMAGE = ("scipy", "timm", "torchaudio", "torchvision")
SMALL = 100_000  # characters of source that surely fit


@dataclass(frozen=True)
class Needs:
    """What a file imports beside the standard library and what every kernel has."""

    packages: tuple[str, ...]  # those of the image, and those allowed by name
    modules: tuple[str, ...]  # those of the kit
    files: tuple[str, ...]  # those that lie beside it, as paths below the root


@dataclass(frozen=True)
class OwnSource:
    """A file and all that it imports from beside it."""

    root: Path  # the folder that their imports begin in
    file: str  # path below the root, with slashes
    others: tuple[str, ...]  # likewise, sorted
    packages: tuple[str, ...]  # see Needs, of all of them

    @property
    def files(self) -> tuple[str, ...]:
        """All of them, the first one first."""
        return (self.file, *self.others)


def own_source(path: Path, roots: Sequence[Path], allowed: Sequence[str] = ()) -> OwnSource:
    """The file of a network with all that it imports, itself or by another, after a kernel was found to take them.

    Args:
        path: the file.
        roots: folders in which its absolute imports may begin; the first that has them all is taken.
        allowed: packages that are taken for installed because a person named them.

    Raises:
        BundleError: one of the files is no Python, or imports what a kernel cannot have; with file and line, as it
            is for the first root.
    """
    refusals = []
    for root in roots:
        try:
            return _gathered(root, path.relative_to(root).as_posix(), allowed)
        except BundleError as refusal:
            refusals.append(refusal)
    raise refusals[0]


def needs(root: Path, file: str, allowed: Sequence[str] = ()) -> Needs:
    """What one file imports, after it was found that a kernel can have all of it.

    Args:
        root: the folder that its imports begin in.
        file: its path below that.
        allowed: packages that are taken for installed because a person named them.

    Raises:
        BundleError: it is not there, is no Python in UTF-8, or imports what a kernel cannot have; with file and line.
    """
    path = root / file
    try:
        tree = ast.parse(path.read_bytes().decode("utf-8"), str(path))
    except SyntaxError as error:
        raise BundleError(f"{path}:{error.lineno}: {error.msg}. Correct the file.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: {error}. Give a file of Python in UTF-8.") from error
    packages, modules, files = set(), set(), set()
    for node in ast.walk(_without_main(without_typing(tree))):
        where = f"{path}:{getattr(node, 'lineno', 0)}"
        for name, inner, is_relative in _imported(node, file, where):
            top = name.partition(".")[0]
            if is_relative:
                files |= {*_files(root, name, inner, where)}
            elif top == PACKAGE:
                modules |= {f"{name}.{i}" for i in inner} if name == PACKAGE and inner else {name}
            elif top in allowed:
                packages.add(top)
            elif _is_beside(root, top):
                _refuse_shadowing(root, top, where)
                files |= {*_files(root, name, inner, where)}
            elif top in IMAGE:
                packages.add(top)
            elif top not in RUNTIME and (top in GONE or top not in sys.stdlib_module_names):
                raise BundleError(f"{where}: imports {name}, {_why_not(top)}")
    return Needs(tuple(sorted(packages)), tuple(sorted(modules)), tuple(sorted(files - {file})))


def refuse_too_large(source: Path, own: OwnSource) -> None:
    """Refuse files that leave no room in a kernel for the kit's own source, with all weights in a dataset.

    Args:
        source: the folder that holds the package soundpost.
        own: the files.

    Raises:
        BundleError: with the sizes.
    """
    texts = {file: (own.root / file).read_bytes().decode("utf-8") for file in own.files}
    if sum(map(len, texts.values())) < SMALL:
        return
    kit = collect(source, [*ENTRIES, "soundpost.models.own_network"])
    needed = len(armoured(compressed(kit | texts))) + OVERHEAD_BYTES
    if needed >= LIMIT_BYTES:
        largest = max(texts, key=lambda file: len(texts[file]))
        raise BundleError(
            f"{own.root / own.file}: with the {len(texts)} files of its network a kernel would have {needed:,} bytes, "
            f"and Kaggle takes less than {LIMIT_BYTES:,}; the largest is {largest}, {len(texts[largest]):,} characters."
            " Move tables of numbers out of the code, into the checkpoint."
        )


def files_of(recipe: Recipe, root: Path) -> dict[str, str]:
    """The files of a recipe's network as a kernel carries them: path -> text; empty where it has none.

    Raises:
        BundleError: one is not there, or is no UTF-8.
    """
    settings = recipe.model.settings
    texts = {}
    for name in (settings["file"], *settings.get("files", ())) if "file" in settings else ():
        path = root / recipe.name / name
        try:
            texts[f"weights/{recipe.name}/{name}"] = path.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BundleError(f"{path}: {error}. Import the network again.") from error
    return texts


def _gathered(root: Path, file: str, allowed: Sequence[str]) -> OwnSource:
    found: dict[str, Needs] = {}
    waiting = [file, *_packages_around(root, file)]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = needs(root, name, allowed)
            waiting += found[name].files
    packages = {package for needed in found.values() for package in needed.packages}
    return OwnSource(root, file, tuple(sorted(set(found) - {file})), tuple(sorted(packages)))


def _imported(node: ast.AST, file: str, where: str) -> list[tuple[str, tuple[str, ...], bool]]:
    """(module as the root calls it, names taken from it, whether it was said with dots) of an import statement."""
    if isinstance(node, ast.Import):
        return [(alias.name, (), False) for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    around = file.split("/")[:-1]
    if node.level - 1 > len(around):
        raise BundleError(
            f"{where}: imports from {'.' * node.level}{node.module or ''}, above the folder that the network was named "
            "in. Run the command in a folder above, or name the network by its import path from there."
        )
    above = around[: len(around) - node.level + 1] if node.level else []
    name = ".".join([*above, *filter(None, [node.module])])
    return [(name, tuple(alias.name for alias in node.names), bool(node.level))]


def _files(root: Path, name: str, inner: Sequence[str], where: str) -> Iterator[str]:
    """The files that an import of something beside runs: the module, the packages around it, modules taken from it.

    Raises:
        BundleError: no such module.
    """
    parts = [part for part in name.split(".") if part]
    for depth in range(1, len(parts) + 1):
        path = _module(root.joinpath(*parts[:depth]))
        if path is None and not root.joinpath(*parts[:depth]).is_dir():
            raise BundleError(f"{where}: imports {name}, and {root.joinpath(*parts)}.py is not there. Correct it.")
        if path is not None:
            yield path.relative_to(root).as_posix()
    folder = root.joinpath(*parts)
    taken = [path for i in inner if (path := _module(folder / i)) is not None]
    if not taken and (not parts or _module(folder) is None):
        raise BundleError(
            f"{where}: imports {', '.join(inner) or 'nothing'} from the folder {folder}, which has no such module and "
            "no __init__.py. Correct it."
        )
    yield from (path.relative_to(root).as_posix() for path in taken)


def _module(place: Path) -> Path | None:
    """The file that an import of root/parts/blocks runs, if there is one: a package comes before a module."""
    beside = place.with_name(f"{place.name}.py") if place.name else place
    return next((path for path in (place / "__init__.py", beside) if path.is_file()), None)


def _packages_around(root: Path, file: str) -> Iterator[str]:
    """The __init__.py files that an import of the file runs before it."""
    for folder in (root / file).parents:
        if folder == root:
            return
        if (folder / "__init__.py").is_file():
            yield (folder / "__init__.py").relative_to(root).as_posix()


def _is_beside(root: Path, top: str) -> bool:
    """Whether an import of that name finds something of the person's: a module, a package, a folder of modules."""
    is_known = top in RUNTIME or top in IMAGE or top in sys.stdlib_module_names
    if top in sys.builtin_module_names:
        return False
    return _module(root / top) is not None or (not is_known and any((root / top).rglob("*.py")))


def _refuse_shadowing(root: Path, top: str, where: str) -> None:
    """Python takes the file beside, which may have been meant or not; a kernel could not tell either.

    Raises:
        BundleError: the name is also that of a package of every kernel or of the standard library.
    """
    if top in RUNTIME or top in IMAGE or top in sys.stdlib_module_names:
        raise BundleError(
            f"{where}: imports {top}, which is a package and also {_module(root / top)}. Rename the file, or, where "
            f'the package is meant, say packages = ["{top}"] in [model].'
        )


def _without_main(tree: ast.Module) -> ast.Module:
    """The tree without what stands under `if __name__ == "__main__":`, which no import runs."""
    body: list[ast.stmt] = []
    for node in tree.body:
        body += node.orelse if isinstance(node, ast.If) and _asks_for_main(node.test) else [node]
    return ast.Module(body, tree.type_ignores)


def _asks_for_main(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"


def _why_not(top: str) -> str:
    return (
        f"which is no file beside it and not among what a kernel may use ({', '.join((*RUNTIME, *IMAGE))}, the "
        f"standard library of Python 3.11 to 3.13). Do without it, or, where you know that it is installed, say "
        f'packages = ["{top}"] in [model].'
    )
