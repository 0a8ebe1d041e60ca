"""Plans, and the modules that training them needs -> one kernel without weights. Never bundled."""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundpost.errors import BundleError
from soundpost.kernel.dependencies import NEVER_TRAINING, TRAINING, TRAINING_ENTRIES, collect, is_under, registered
from soundpost.kernel.render import Kernel, with_head, write
from soundpost.training.plan import TEMPLATES, Plan, find_plan, read_plan
from soundpost.training.session.session import FOLDS_FILE, PLAN_FILE
from soundpost.training.session.tables import fold_rule, folds_text, has_own_folds, plain_csv

REGISTRIES = ("augmentations", "folds", "inputs", "losses", "mixers", "noisy", "samplers", "schedules", "sets")
FAMILIES = ("models", "front_ends", "views")


@dataclass(frozen=True)
class Named:
    """A plan under the name that its recipe will have."""

    name: str
    path: Path
    plan: Plan


def named_plans(texts: Sequence[str]) -> tuple[Named, ...]:
    """The plans that a command line names: files, or published ones.

    Raises:
        BundleError: two of one name.
        SettingsError: one that cannot be read.
    """
    plans = []
    for text in texts:
        path = find_plan(text)
        name = Path(text).stem if path == Path(text) else text.replace("/", "_")
        plans.append(Named(name, path, read_plan(path)))
    names = [one.name for one in plans]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BundleError(f"--train: {', '.join(twice)} stands there twice. Rename one of the files.")
    return tuple(plans)


def build_training(
    source: Path, plans: Sequence[Named], settings: Mapping[str, str], command: str, folds_from: Path | None, work: Path
) -> Kernel:
    """The kernel that trains these plans.

    Args:
        source: the folder that holds the package.
        plans: which.
        settings: for the kernel's settings block, by the options' names.
        command: what line one names.
        folds_from: the csv of the curated clips, on which folds are dealt now; None: the kernel deals them.
        work: a folder for what is made on the way.

    Raises:
        BundleError: a module that a kernel may not use, a file of a plan that is not there, or folds that the kernel
            cannot deal.
    """
    modules = collect(source, [*TRAINING_ENTRIES, *_registered(source, [one.plan for one in plans])], TRAINING)
    texts: dict[str, str] = {}
    for one in plans:
        texts |= _texts(one, folds_from, work)
    loader = with_head(
        (source / "soundpost" / "launch" / "loader.py").read_text("utf-8"),
        (source / "soundpost" / "kernel" / "training_head.py").read_text("utf-8"),
    )
    return write(loader, modules, texts, {}, command, settings, "plans")


def _registered(source: Path, plans: Sequence[Plan]) -> list[str]:
    """Modules that are reached by name: all parts of training, and the plans' own network, front end and views."""
    found = [module for name in REGISTRIES for module in registered(source, f"training.{name}", None)]
    names = {
        "models": {plan.model["name"] for plan in plans},
        "front_ends": {plan.front_end["name"] for plan in plans},
        "views": {view["name"] for plan in plans for view in plan.views},
    }
    found += [module for family in FAMILIES for module in registered(source, family, sorted(names[family]))]
    return [module for module in found if not is_under(module, NEVER_TRAINING)]


def _texts(one: Named, folds_from: Path | None, work: Path) -> dict[str, str]:
    """Everything of a plan that travels as text: path in the kernel -> text."""
    home = f"plans/{one.name}"
    texts = {f"{home}/{PLAN_FILE}": _text(one.path)}
    if one.plan.template:
        template = Path(str(TEMPLATES)) / f"{one.plan.template}.toml"
        texts[f"soundpost/importers/templates/{template.name}"] = _text(template)
    for name in sorted({*_files(tomllib.loads(_text(one.path)))}):
        texts[f"{home}/{name}"] = _text(one.path.parent / name)
    rule = str(fold_rule(one.plan)["name"])
    if folds_from is not None and has_own_folds(one.plan):
        csv = plain_csv(folds_from, "curated", one.plan, work)
        texts[f"{home}/{FOLDS_FILE}"] = folds_text(one.plan, csv)
    elif _needs_folds(rule):
        raise BundleError(
            f"plan {one.name} deals folds by {rule}, for which Kaggle's image has no package. Give --folds-from CSV, "
            "the csv of the curated clips, so that they are dealt now and travel as text."
        )
    return texts


def _needs_folds(rule: str) -> bool:
    from soundpost.training.folds import FOLDS

    return rule in FOLDS and is_under(FOLDS[rule].split(":")[0], NEVER_TRAINING)


def _files(table: Mapping[str, Any]) -> Iterator[str]:
    """Files beside a plan that its sets name."""
    for own in table.get("sets", {}).values():
        for rule in own.get("rules", ()):
            if name := rule.get("corrections"):
                yield name


def _text(path: Path) -> str:
    """A file's text, with the line end that a raw string in the kernel needs."""
    try:
        text = path.read_bytes().decode("utf-8").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: {error}. Lay the file there, or take it out of the plan.") from error
    if path.suffix == ".json":
        json.loads(text)
    return text if text.endswith("\n") else f"{text}\n"
