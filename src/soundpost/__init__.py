"""Soundpost: a folder of audio clips and trained fold weights in, a valid submission.csv out, inside the hour.

From Python: soundpost.load().predict("clip.wav"), soundpost.run(...); see docs/python.md. Importing the package loads
nothing heavy: what is asked for is imported then (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from soundpost.launch.call import run as run
    from soundpost.tagger import Tagger as Tagger
    from soundpost.tagger import load as load

__version__ = "0.1.0"

__all__ = ["Tagger", "list_front_ends", "list_models", "list_views", "load", "run"]

_PLACES = {
    "Tagger": "soundpost.tagger:Tagger",
    "load": "soundpost.tagger:load",
    "run": "soundpost.launch.call:run",
}


def list_models() -> list[str]:
    """Names of the networks that a recipe may ask for."""
    return _names("models")


def list_front_ends() -> list[str]:
    """Names of the front ends that a recipe may ask for."""
    return _names("front_ends")


def list_views() -> list[str]:
    """Names of the views that a recipe may ask for."""
    return _names("views")


def _names(family: str) -> list[str]:
    registry: dict[str, str] = getattr(import_module(f"{__name__}.{family}"), family.upper())
    return sorted(registry)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'soundpost' has no attribute {name!r}; it has {', '.join(__all__)}.")
    module, attribute = _PLACES[name].split(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
