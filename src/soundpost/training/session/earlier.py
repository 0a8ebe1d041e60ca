"""The output of earlier sessions, found under the input folder and taken over into the working folder."""

import json
import shutil
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from soundpost.ensemble.weights_file import sha256_of
from soundpost.ensemble.weights_folder import RECIPE
from soundpost.errors import SettingsError
from soundpost.resources.folders import walk_folders
from soundpost.training.session.session import WEIGHTS

MARK = "session.json"  # lies at the top of what a session leaves
KIND = "soundpost training session"
MAX_DEPTH = 5  # folders below the input root: three of the newer layout, two that an upload may have added

Say = Callable[[str], None]


def take_over(root: Path, out: Path, say: Say) -> int:
    """Copy what earlier sessions left into the working folder, and count them; what lies there already stays.

    A run that ends well becomes the newest output, and the next session sees that one alone. So everything is taken
    over, plans that this kernel does not train among it.

    Args:
        root: /kaggle/input.
        out: the working folder.
        say: gets a line for each output that is found and each file that is damaged.

    Raises:
        SettingsError: there is no room; a session that ended well without these files would replace them.
    """
    count = _count(out / MARK)
    for folder, number in _outputs(root):
        count = max(count, number)
        files = [path for path in sorted((folder / WEIGHTS).rglob("*")) if path.is_file()]
        damaged = _damaged(folder / WEIGHTS)
        taken, n_bytes = 0, 0
        for path in files:
            target = out / path.relative_to(folder)
            if path in damaged:
                say(f"warning: {path} is damaged: its sha256 is not the recipe's. The member is trained again.")
            elif not target.exists() and path.suffix != ".part":
                _copy(path, target)
                taken, n_bytes = taken + 1, n_bytes + path.stat().st_size
        say(f"goes on from {folder}, session {number}: {taken} of {len(files)} files, {n_bytes:,} bytes taken over")
    return count


def _outputs(root: Path) -> Iterator[tuple[Path, int]]:
    """Folders that sessions left, and their numbers, the latest first."""
    found = [
        (listing.folder, number)
        for listing in walk_folders(root, MAX_DEPTH)
        if any(entry.name == MARK for entry in listing.entries) and (number := _count(listing.folder / MARK))
    ]
    yield from sorted(found, key=lambda one: (-one[1], one[0]))


def _count(mark: Path) -> int:
    """The number of the session that left a mark; 0 where it is none."""
    try:
        table = json.loads(mark.read_text("utf-8"))
        return int(table["session"]) if table["kind"] == KIND else 0
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _damaged(weights: Path) -> set[Path]:
    """Members whose bytes are not those of which their recipe tells."""
    found = set()
    for recipe in sorted(weights.glob(f"*/{RECIPE}")):
        try:
            members = tomllib.loads(recipe.read_text("utf-8"))["members"]
            for member in members:
                path = recipe.parent / member["file"]
                if sha256_of(path) != member["sha256"]:
                    found.add(path)
        except (OSError, ValueError, KeyError, TypeError):
            continue  # a recipe that cannot be read is written again
    return found


def _copy(path: Path, target: Path) -> None:
    aside = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, aside)  # without the rights of a folder that is read-only
        aside.replace(target)
    except OSError as error:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise SettingsError(
            f"{path} could not be taken over into {target.parent} ({error.strerror}). Nothing was trained, and the run "
            "ends with an error, so that the earlier output stays the newest. Make room, and run it again."
        ) from error
