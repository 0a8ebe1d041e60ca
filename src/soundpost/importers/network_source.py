"""--network: where the code of a network stands -> [model] of a recipe, and the files that are to travel with it."""

import inspect
import sys
from collections.abc import Container, Mapping
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from soundpost.errors import BundleError, SettingsError
from soundpost.kernel.dependencies import PACKAGE, collect
from soundpost.kernel.own_source import IMAGE, OwnSource, own_source
from soundpost.models import MODELS
from soundpost.models.own_network import OwnNetworkSettings
from soundpost.own_code.by_name import own_code
from soundpost.own_code.modules import PREFIX
from soundpost.registry import settings_from

SOURCE = Path(__file__).resolve().parents[2]  # the folder that holds the package
CLASSES = (
    "n_classes",
    "num_classes",
    "classes_num",
    "n_outputs",
    "out_features",
)  # what makers call the count
OWN = {field.name for field in fields(OwnNetworkSettings)}  # settings of [model] that are not the network's arguments


@dataclass(frozen=True)
class NetworkSource:
    """[model] as it goes into the recipe, and the person's files, if the network stands in one."""

    model: dict[str, Any]
    code: OwnSource | None = None


def network_source(text: str, given: Mapping[str, Any], n_classes: int) -> NetworkSource:
    """What --network means, after it was found that a kernel can carry it.

    Args:
        text: "my_cnn.py:MyCnn", a file; "package.module:Class", an import path; "timm:NAME"; "torchvision:NAME"; or ""
            where [model] names a network of the kit.
        given: [model] of the settings: arguments of the class or function, and output, axes, channels, packages.
        n_classes: how many labels there are; given to the maker under the name that it has for that.

    Raises:
        SettingsError: nothing is there under that name, or arguments that it does not take.
        BundleError: its file, or one that it imports, needs what a kernel cannot have.
    """
    if not text:
        return NetworkSource(_of_the_kit(given))
    library, _, name = text.partition(":")
    if not name:
        raise SettingsError(f"--network {text}: no colon. Give FILE.py:CLASS, MODULE:CLASS, timm:NAME.")
    if library == "timm":
        return NetworkSource({"name": "timm", "timm": name, **_nameless(given)})
    own = {key: value for key, value in given.items() if key in OWN and key != "arguments"}
    arguments = {key: value for key, value in _nameless(given).items() if key not in OWN}
    arguments |= given.get("arguments", {})
    allowed = tuple(own.get("packages", ()))
    code = None
    if library == "torchvision":
        own = {"channels": 3, **own, "module": "torchvision.models", "packages": ["torchvision", *allowed]}
    elif (found := _file(library)) is not None:
        code = own_source(*found, allowed)
        own |= {"file": code.file, "packages": sorted({*code.packages, *allowed})}
        own |= {"files": list(code.others)} if code.others else {}
    else:
        own |= {"module": library, "packages": sorted({library.partition(".")[0], *allowed})}
    own["attribute"] = name
    settings_from(OwnNetworkSettings, own, "[model]")
    others = code.others if code else ()
    maker = own_code(own.get("file", ""), own.get("module", ""), name, str(code.root) if code else "", others)
    own["arguments"] = _filled(maker, arguments, n_classes, text)
    return NetworkSource({"name": "own", **own}, code)


def refuse_unseen(code: OwnSource, before: Container[str]) -> None:
    """Refuse a network that, now that it was made, has loaded files of the person's that no import statement names.

    Args:
        code: the files that were found by reading.
        before: names of the modules that were there before it was made.

    Raises:
        BundleError: with the module and its file.
    """
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file or name in before or name.partition(".")[0] in (PACKAGE, "__mp_main__") or name.startswith(PREFIX):
            continue
        path = Path(file)
        if path.suffix == ".py" and path.is_relative_to(code.root) and "site-packages" not in path.parts:
            raise BundleError(
                f"{code.file} loads {path} as {name}, and no import statement says so: a kernel would not have it. "
                f"Import it by a statement, import {path.stem}."
            )


def _of_the_kit(given: Mapping[str, Any]) -> dict[str, Any]:
    """[model] that names a network of the registry; one that was put there by hand must be fit for a kernel, too."""
    name = given.get("name", "")
    if name in MODELS and name != "timm":
        collect(SOURCE, [MODELS[name].partition(":")[0]])
    return dict(given)


def _file(place: str) -> tuple[Path, list[Path]] | None:
    """The person's file that is meant, and where its imports may begin; None for a module of an installed package.

    Raises:
        SettingsError: there is neither.
    """
    here = Path.cwd().resolve()
    if place.endswith(".py"):
        path = Path(place).resolve()
        if not path.is_file():
            raise SettingsError(f"--network: no file {path}. Correct the path.")
        folder = next(folder for folder in path.parents if not (folder / "__init__.py").is_file())
        above = [root for root in folder.parents if root.is_relative_to(here)]
        return path, [folder, *above]
    top = place.partition(".")[0]
    beside = Path(*place.split("."))
    for path in (beside.with_suffix(".py"), beside / "__init__.py"):
        if path.is_file():
            return path.resolve(), [here]
    try:
        spec = find_spec(place)
    except (ImportError, ValueError) as error:
        raise SettingsError(f"--network {place}: {error}. Install the package, or give the path of a file.") from error
    if spec is None:
        raise SettingsError(f"--network {place}: no such module, nor a file {beside}.py. Correct it.")
    if top in IMAGE:
        return None
    if spec.origin and "site-packages" not in spec.origin:
        path = Path(spec.origin).resolve()
        depth = place.count(".") + (path.stem == "__init__")
        return path, [path.parents[depth]]
    raise BundleError(
        f"--network {place}: {top} is installed here, but is not among the packages of Kaggle's image that a kernel "
        f"may use ({', '.join(IMAGE)}). Put the network into a file of your own, or import it there and say packages = "
        f'["{top}"] in [model] where you know that it is installed.'
    )


def _filled(found: Any, arguments: Mapping[str, Any], n_classes: int, text: str) -> dict[str, Any]:
    """The arguments with the count of labels; those that the maker does not take are refused.

    Raises:
        SettingsError: names that it does not have, or some that it needs and nobody gave.
    """
    takes = inspect.signature(found).parameters
    is_open = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in takes.values())
    filled = dict(arguments)
    named = next((name for name in CLASSES if name in takes), "num_classes" if is_open else "")
    if named and not set(CLASSES) & set(filled):
        filled[named] = n_classes
    unknown = sorted(set(filled) - set(takes))
    plain = [p for p in takes.values() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    missing = [p.name for p in plain if p.default is p.empty and p.name not in filled]
    if (unknown and not is_open) or missing:
        wrong = f"needs {', '.join(missing)}" if missing else f"does not take {', '.join(unknown)}"
        raise SettingsError(
            f"{text} {wrong}; it takes {', '.join(takes) or 'nothing'}. Give its arguments by name in [model]."
        )
    return filled


def _nameless(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key != "name"}
