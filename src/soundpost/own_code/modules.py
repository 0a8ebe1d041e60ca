"""Files of a person as modules that find each other, and that nothing else finds.

Two recipes may both have a layers.py, and a notebook may be run again with other files. So every set of files stands in
sys.modules under a name of its own, made from folder and texts: own_network_1a2b.layers. An absolute name that a file
imports is looked up among its own set first; relative imports lead there by themselves.
"""

import builtins
import hashlib
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

PREFIX = "own_network_"
INIT = "__init__"
_LOADING = threading.Lock()


def own_module(folder: Path, file: str, others: Sequence[str] = ()) -> ModuleType:
    """The module that a file holds, run once for each text, without leaving compiled files beside it.

    Args:
        folder: where the files lie.
        file: path of the one that is meant, below the folder, with slashes.
        others: the files that it may import, likewise; no other of the folder is found.

    Raises:
        OSError: a file is not there.
        Exception: whatever the code of the files raises.
    """
    texts = {name: (folder / name).read_bytes() for name in (file, *others)}
    digest = hashlib.sha256(str(folder.absolute()).encode())
    for name, text in sorted(texts.items()):
        digest.update(f"\n{name}\n{len(text)}\n".encode() + text)
    prefix = f"{PREFIX}{digest.hexdigest()[:16]}"
    with _LOADING:
        if prefix not in sys.modules:
            # In front of the usual finder, which would look into folders and find what is not among the files.
            sys.meta_path.insert(0, _OwnFiles(prefix, folder, texts))
    return import_module(f"{prefix}.{module_name(file)}".removesuffix("."))


def module_name(file: str) -> str:
    """The name by which a file is imported: parts/blocks.py -> parts.blocks, parts/__init__.py -> parts."""
    parts = file.removesuffix(".py").split("/")
    return ".".join(parts[:-1] if parts[-1] == INIT else parts)


class _OwnFiles(MetaPathFinder, Loader):
    """Finder and loader of one set of files.

    Args:
        prefix: name of the package that they all stand in.
        folder: where they lie.
        texts: path below the folder -> what stands in the file.
    """

    def __init__(self, prefix: str, folder: Path, texts: Mapping[str, bytes]) -> None:
        self._prefix = prefix
        self._texts = {f"{prefix}.{module_name(file)}": text for file, text in texts.items()}
        self._paths = {f"{prefix}.{module_name(file)}": folder / file for file in texts}
        parts = [name.split(".") for name in self._texts]
        self._packages = {".".join(names[:depth]) for names in parts for depth in range(1, len(names))}
        self._packages |= {name for name, path in self._paths.items() if path.stem == INIT}
        self._tops = {names[1] for names in parts}
        self._builtins = {**vars(builtins), "__import__": self._import}

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """How a module of the set is loaded; None for a name that is none of it."""
        del path, target
        if fullname not in self._paths:
            return ModuleSpec(fullname, self, is_package=True) if fullname in self._packages else None
        spec = spec_from_file_location(fullname, self._paths[fullname], loader=self)
        if spec is not None and fullname in self._packages:
            spec.submodule_search_locations = []  # what is not among the files is not found beside them either
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """The usual kind of module."""
        del spec

    def exec_module(self, module: ModuleType) -> None:
        """Run the file's text; a folder without __init__.py has none."""
        text = self._texts.get(module.__name__)
        if text is not None:
            module.__dict__["__builtins__"] = self._builtins
            exec(compile(text, str(self._paths[module.__name__]), "exec"), module.__dict__)

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002  names of the function that it stands for
        locals: Mapping[str, object] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """The import statement, as the set's files have it."""
        top = name.partition(".")[0]
        if level or top not in self._tops:
            return __import__(name, globals, locals, fromlist or (), level)
        found = __import__(f"{self._prefix}.{name}", globals, locals, fromlist or (), 0)
        return found if fromlist else getattr(found, top)
