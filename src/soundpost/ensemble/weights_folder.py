"""Where a submission, its recipes and its arrays lie: in weights/ of the repo, or beside the source in a kernel.

Both are the same tree, so that nothing above knows which one it reads:

    weights/submission.toml
    weights/<recipe>/recipe.toml
    weights/<recipe>/<file of a member>     .safetensors in the repo, .pack in a kernel

What does not fit into a kernel comes as a dataset and lies somewhere under the input folder.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import MappingProxyType

import numpy as np

from soundpost.ensemble.attached import Attached
from soundpost.ensemble.recipes import Member, Named, Recipe, Submission, parse_submission
from soundpost.ensemble.weights_file import load_arrays
from soundpost.errors import SettingsError

SUBMISSION = "submission.toml"
RECIPE = "recipe.toml"
INPUT_ROOT = Path("/kaggle/input")


@dataclass(frozen=True)
class Assets:
    """A submission and the way to its members' arrays."""

    root: Path  # the folder of submission.toml
    submission: Submission
    input_root: Path = INPUT_ROOT  # where datasets are attached

    def path(self, member: Member) -> Path:
        """Where the member's file lies, or should."""
        return self.root / member.recipe / member.file

    def arrays(self, member: Member) -> dict[str, np.ndarray]:
        """The member's arrays by name.

        Raises:
            WeightsError: the member's file is missing or altered; the other members can still be had.
        """
        path = self._attached.path(member) if member.n_bytes else self.path(member)
        return load_arrays(path, member.sha256, member.name)

    def missing_advice(self) -> str:
        """What is attached, for an error that says that no member is left; empty when none comes by a dataset."""
        recipes = (*self.submission.recipes, *self.submission.second_level)
        return self._attached.contents() if any(m.n_bytes for r in recipes for m in r.members) else ""

    @cached_property
    def _attached(self) -> Attached:
        recipes = (*self.submission.recipes, *self.submission.second_level)
        apart = [member for recipe in recipes for member in recipe.members if member.n_bytes]
        return Attached(self.input_root, apart, self.submission.dataset)


def default_root() -> Path:
    """The weights/ folder that belongs to this source.

    It lies beside the package in a kernel, two folders up in the repo, and where pip put it in an installation.
    """
    package = Path(__file__).resolve().parents[1]
    places = (package.parent / "weights", package.parent.parent / "weights")
    return next((place for place in places if (place / SUBMISSION).is_file()), _installed() or places[-1])


def _installed() -> Path | None:
    """The weights/ folder of an installation by pip, if this is one."""
    try:
        listed = distribution("soundpost").files or ()
    except PackageNotFoundError:
        return None
    wanted = [file for file in listed if file.parts[-2:] == ("weights", SUBMISSION)]
    places = [Path(str(file.locate())).resolve().parent for file in wanted]
    # An installation by --target lists its files as if they lay two folders further up.
    places += [Path(__file__).resolve().parents[2].joinpath(*file.parts[-4:-1]) for file in wanted]
    return next((place for place in places if (place / SUBMISSION).is_file()), None)


def find_assets(root: Path, submission: str = SUBMISSION, input_root: Path = INPUT_ROOT) -> Assets:
    """The submission of a folder, its recipes parsed, no weights read yet.

    Args:
        root: the folder of submission.toml, with one folder for each recipe.
        submission: file name of another submission in the same folder.
        input_root: where datasets are attached; looked at only when a member is said to come by one.

    Raises:
        SettingsError: no submission there, or one that cannot be used; the message says which file.
    """
    path = root / submission
    if not path.is_file():
        raise SettingsError(f"{path} is not there. Name the folder of a {SUBMISSION}, or train or import one first.")
    texts = {found.parent.name: found.read_text("utf-8") for found in sorted(root.glob(f"*/{RECIPE}"))}
    parsed = parse_submission(path.read_text("utf-8"), texts, str(path))
    return Assets(root, replace(parsed, recipes=tuple(_placed(recipe, root) for recipe in parsed.recipes)), input_root)


def _placed(recipe: Recipe, root: Path) -> Recipe:
    """A recipe whose network stands in a file of its folder, with that folder's place."""
    if "file" not in recipe.model.settings:
        return recipe
    settings = {**recipe.model.settings, "folder": str((root / recipe.name).absolute())}
    return replace(recipe, model=Named(recipe.model.name, MappingProxyType(settings)))
