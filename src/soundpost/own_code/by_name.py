"""A class or function out of a person's own file, or out of an installed module, by name."""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from soundpost.errors import SettingsError, sentence
from soundpost.own_code.modules import own_module


def own_code(file: str, module: str, attribute: str, folder: str, others: Sequence[str] = ()) -> Callable[..., Any]:
    """What stands under a name in a file or a module. The file is run: it is the person's own.

    Args:
        file: path of the file below the folder; "" where it is a module.
        module: full name of the module; "" where it is a file.
        attribute: what the class or function is called.
        folder: where the file lies.
        others: files of the folder that it may import.

    Raises:
        SettingsError: no such file, package or name in it, or the file's code fails.
    """
    where = file or module
    try:
        holder = own_module(Path(folder), file, others) if file else import_module(module)
        found: Callable[..., Any] = getattr(holder, attribute)
    except AttributeError as error:
        raise SettingsError(f"{where} has no {attribute} ({error}). Correct the name.") from error
    except ImportError as error:
        raise SettingsError(f"{where}: {error}. Install it, or run where it is, as in Kaggle's image.") from error
    except OSError as error:
        raise SettingsError(
            f"{where}: {error.filename} is not there ({error.strerror}). Only files of Python travel with a network: "
            "put what it reads into one of them; if it is code that was lost, import the network again."
        ) from error
    except Exception as error:  # the file is somebody else's, and may raise anything
        raise SettingsError(f"{where} cannot be run: {sentence(error)}. Correct it and import it again.") from error
    return found
