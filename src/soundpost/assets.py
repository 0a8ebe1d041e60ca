"""Where a submission, its recipes and its arrays lie: in weights/ of the repo, or beside the source in a kernel.

Both are the same tree, so that nothing above knows which one it reads:

    weights/submission.toml
    weights/<recipe>/recipe.toml
    weights/<recipe>/<file of a member>     .safetensors in the repo, .pack in a kernel
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from soundpost.errors import SettingsError
from soundpost.recipes import Member, Submission, parse_submission
from soundpost.weights import load_arrays

SUBMISSION = "submission.toml"
RECIPE = "recipe.toml"


@dataclass(frozen=True)
class Assets:
    """A submission and the way to its members' arrays."""

    root: Path  # the folder of submission.toml
    submission: Submission

    def path(self, member: Member) -> Path:
        """Where the member's file lies, or should."""
        return self.root / member.recipe / member.file

    def arrays(self, member: Member) -> dict[str, np.ndarray]:
        """The member's arrays by name.

        Raises:
            WeightsError: the member's file is missing or altered; the other members can still be had.
        """
        return load_arrays(self.path(member), member.sha256, member.name)


def default_root() -> Path:
    """The weights/ folder that belongs to this source: beside the package in a kernel, two folders up in the repo."""
    package = Path(__file__).resolve().parent
    places = (package.parent / "weights", package.parent.parent / "weights")
    return next((place for place in places if (place / SUBMISSION).is_file()), places[-1])


def find_assets(root: Path, submission: str = SUBMISSION) -> Assets:
    """The submission of a folder, its recipes parsed, no weights read yet.

    Args:
        root: the folder of submission.toml, with one folder for each recipe.
        submission: file name of another submission in the same folder.

    Raises:
        SettingsError: no submission there, or one that cannot be used; the message says which file.
    """
    path = root / submission
    if not path.is_file():
        raise SettingsError(f"{path} is not there. Name the folder of a {SUBMISSION}, or train or import one first.")
    texts = {found.parent.name: found.read_text("utf-8") for found in sorted(root.glob(f"*/{RECIPE}"))}
    return Assets(root, parse_submission(path.read_text("utf-8"), texts, str(path)))
