"""Every golden case of training is run by some test; every part names its case, or says in words why it has none."""

import re
from importlib import import_module
from pathlib import Path

import pytest
from cases import REQUIRES_SHARED
from training_cases import ASKED_FOR, training_sets

from soundpost.registry import pick
from soundpost.training import optimisers
from soundpost.training.augmentations import AUGMENTATIONS
from soundpost.training.folds import FOLDS
from soundpost.training.inputs import INPUTS
from soundpost.training.losses import LOSSES
from soundpost.training.mixers import MIXERS
from soundpost.training.noisy import NOISY
from soundpost.training.samplers import SAMPLERS
from soundpost.training.schedules import SCHEDULES
from soundpost.training.sets import SETS

REGISTRIES = {
    "augmentation": AUGMENTATIONS,
    "fold": FOLDS,
    "input": INPUTS,
    "loss": LOSSES,
    "mixer": MIXERS,
    "noisy": NOISY,
    "sampler": SAMPLERS,
    "schedule": SCHEDULES,
    "set": SETS,
}
ENTRIES = [(kind, name) for kind, registry in REGISTRIES.items() for name in registry]
WITHOUT_CASE = "No golden case"  # how the docstring of an entry without one begins its reason
TESTS = sorted(Path(__file__).parent.glob("test_*.py"))


def test_training_cases_of_every_kind_are_asked_for() -> None:
    """A kind that a golden file holds and that no test is parametrised with is a gap; a fresh file cannot hide it."""
    for path in TESTS:
        import_module(path.stem)
    there = {(place.folder.name, case["kind"]) for place in training_sets() for case in place.table["cases"]}
    missing = {
        (folder, kind) for folder, kind in there if not any(folder.startswith(s) and k == kind for s, k in ASKED_FOR)
    }
    assert not missing


@REQUIRES_SHARED
def test_training_cases_are_as_many_as_their_files_say() -> None:
    """No case is lost on the way from the file to the tests."""
    for place in training_sets():
        assert place.table["n_cases"] == len(place.table["cases"])


@pytest.mark.parametrize(("kind", "name"), ENTRIES, ids=[f"{kind}/{name}" for kind, name in ENTRIES])
def test_training_part_is_used_by_a_golden_test_or_says_why_not(kind: str, name: str) -> None:
    """The class is named in a golden test, or its docstring has the reason."""
    used, reason = is_used(kind, name), WITHOUT_CASE in (pick(REGISTRIES[kind], name, kind).__doc__ or "")
    assert used != reason, f"{kind} {name}: used {used}, reason {reason}"


def is_used(kind: str, name: str) -> bool:
    """Whether a golden test makes one."""
    part = pick(REGISTRIES[kind], name, kind).__name__
    return any(re.search(rf"\b{part}\(", path.read_text("utf-8")) for path in TESTS)


def test_parts_without_a_golden_case_are_as_many_as_say_so() -> None:
    """Counted both ways over all registries; at most a quarter of the parts has none."""
    without = [f"{kind} {name}" for kind, name in ENTRIES if not is_used(kind, name)]
    saying = [
        f"{kind} {name}"
        for kind, name in ENTRIES
        if f"{WITHOUT_CASE}: " in (pick(REGISTRIES[kind], name, kind).__doc__ or "")
        or f"{WITHOUT_CASE} beyond" in (pick(REGISTRIES[kind], name, kind).__doc__ or "")
    ]
    assert without == saying
    assert 4 * len(without) <= len(ENTRIES), f"{len(without)} of {len(ENTRIES)}: {', '.join(without)}"


@pytest.mark.parametrize("name", optimisers.OPTIMISERS)
def test_optimiser_is_named_in_a_golden_test_or_its_module_says_why_not(name: str) -> None:
    """The classes are torch's, so the module speaks for them."""
    named = any(re.search(rf"\"{name}\"", path.read_text("utf-8")) for path in TESTS if path != Path(__file__))
    said = re.search(rf"{WITHOUT_CASE}: .*\b{name}\b", optimisers.__doc__ or "") is not None
    assert named != said, f"{name}: named {named}, reason {said}"
