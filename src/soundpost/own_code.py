"""A class or function out of a person's own file, or out of an installed module, by name."""

import hashlib
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from soundpost.errors import SettingsError, sentence

_LOADING = threading.Lock()


def own_code(file: str, module: str, attribute: str, folder: str) -> Callable[..., Any]:
    """What stands under a name in a file or a module. The file is run: it is the person's own.

    Args:
        file: name of the file; "" where it is a module.
        module: full name of the module; "" where it is a file.
        attribute: what the class or function is called.
        folder: where the file lies.

    Raises:
        SettingsError: no such file, package or name in it, or the file's code fails.
    """
    where = file or module
    try:
        holder = _run(Path(folder) / file) if file else import_module(module)
        found: Callable[..., Any] = getattr(holder, attribute)
    except AttributeError as error:
        raise SettingsError(f"{where} has no {attribute} ({error}). Correct the name.") from error
    except ImportError as error:
        raise SettingsError(f"{where}: {error}. Install it, or run where it is, as in Kaggle's image.") from error
    except OSError as error:
        raise SettingsError(f"{error.filename} is not there ({error.strerror}). Import the network again.") from error
    except Exception as error:  # the file is somebody else's, and may raise anything
        raise SettingsError(f"{where} cannot be run: {sentence(error)}. Correct it and import it again.") from error
    return found


def _run(path: Path) -> ModuleType:
    """The module that a file holds, run once for each text, without leaving compiled files beside it."""
    text = path.read_bytes()
    name = f"own_network_{hashlib.sha256(text).hexdigest()[:16]}"
    with _LOADING:
        if name not in sys.modules:
            module = ModuleType(name)
            module.__file__ = str(path)
            sys.modules[name] = module  # dataclasses look there for the module that they stand in
            try:
                exec(compile(text, str(path), "exec"), module.__dict__)
            except BaseException:
                del sys.modules[name]
                raise
        return sys.modules[name]
