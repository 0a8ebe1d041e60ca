"""Which runtimes are here, and a graph opened by one of them."""

from collections.abc import Sequence
from functools import cache
from importlib import import_module

from soundpost.errors import SettingsError, WeightsError, sentence
from soundpost.inference.backends import BACKENDS
from soundpost.inference.backends.session import Session
from soundpost.registry import pick

AUTO, TORCH = "auto", "torch"
CHOICES = (AUTO, TORCH, *BACKENDS)  # what --backend takes
ADVICE = "Attach the dataset that `python build_kernel.py --with {name}` writes, or install it: pip install {name}"


@cache
def trouble(name: str) -> str:
    """Why a runtime cannot be used here; empty when it can."""
    try:
        import_module(name)
    except Exception as error:  # an incomplete package raises whatever its first line does
        return sentence(error)
    return ""


def usable(asked: str = AUTO) -> tuple[str, ...]:
    """The runtimes to try, in the order in which they are tried; none where torch alone is asked for.

    Raises:
        SettingsError: one that was asked for by name is not known, or cannot be used here; the message says what to do.
    """
    if asked not in CHOICES:
        raise SettingsError(f"--backend {asked}: not known; known: {', '.join(CHOICES)}. Correct it.")
    if asked == TORCH:
        return ()
    if asked == AUTO:
        return tuple(name for name in BACKENDS if not trouble(name))
    if reason := trouble(asked):
        raise SettingsError(f"--backend {asked}: it is not here ({reason}). {ADVICE.format(name=asked)}.")
    return (asked,)


def open_session(name: str, graph: bytes, lanes: int = 1) -> Session:
    """The graph as one runtime loads it.

    Raises:
        SettingsError: the runtime is not known.
        WeightsError: it cannot load the graph.
    """
    session: Session = pick(BACKENDS, name, "backend")(graph, lanes)
    return session


def open_first(names: Sequence[str], graph: bytes, member: str, lanes: int = 1) -> tuple[str, Session]:
    """The first runtime that loads the graph, by name, and its session.

    Raises:
        WeightsError: there is no runtime here, or none of them loads it; the message has every reason.
    """
    reasons = [f"{name}: {reason}" for name in BACKENDS if name not in names and (reason := trouble(name))]
    for name in names:
        try:
            return name, open_session(name, graph, lanes)
        except WeightsError as error:
            reasons.append(str(error))
    if names:
        raise WeightsError(f"member {member}: no runtime loads its graph. {' '.join(reasons)}")
    why = "; ".join(reasons) or "none was asked for"
    raise WeightsError(
        f"member {member} is an ONNX file, and no runtime for it is here ({why}). "
        f"{ADVICE.format(name=next(iter(BACKENDS)))}; with --backend torch such a member has no answer."
    )
