"""What Kaggle's client wants beside a kernel and a dataset, checked by its rules before it is written. Never bundled.

The client refuses some of it only after a login, prints the rest as a warning, and lets the server answer with a bare
number. So lengths and slugs are checked here, and a title is held to letters, digits, spaces and hyphens, of which the
client's slug is always the one that is written.
"""

import re
from collections.abc import Sequence
from typing import Any

from soundpost.errors import SettingsError

KERNEL_FILE = "kernel-metadata.json"
DATASET_FILE = "dataset-metadata.json"
MACHINE = "NvidiaTeslaT4"  # two of them; without a name a request ends on whatever there is
KERNEL_TITLE = (5, 50)  # characters, least and most; a longer one made the server fail
DATASET_TITLE = (6, 50)
LICENCE = "other"  # of weights: that of the recordings they were trained on


def slug(title: str) -> str:
    """The last part of the address that a title gets; as long as the title, where that is one we take."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def kernel_metadata(
    user: str, title: str, competition: str, datasets: Sequence[str], code_file: str, kernel_type: str
) -> dict[str, Any]:
    """kernel-metadata.json of a private kernel on T4 x2, without internet.

    Args:
        user: name on Kaggle, as it stands in addresses.
        title: of the kernel; its address follows from it.
        competition: slug of the contest whose data is attached.
        datasets: owner/slug of weights to attach.
        code_file: beside the metadata.
        kernel_type: "script" or "notebook".

    Raises:
        SettingsError: a title or slug that the client or the server would not take.
    """
    _check_user(user)
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", competition):
        raise SettingsError(
            f"--competition '{competition}' is no slug. Give the last part of the contest's address, such as "
            "freesound-audio-tagging-2019."
        )
    _check_title(title, KERNEL_TITLE, "a kernel's title")
    return {
        "id": f"{user}/{slug(title)}",
        "title": title,
        "code_file": code_file,
        "language": "python",
        "kernel_type": kernel_type,
        "is_private": True,
        "enable_gpu": True,
        "enable_tpu": False,
        "enable_internet": False,
        "machine_shape": MACHINE,
        "dataset_sources": list(datasets),
        "competition_sources": [competition],
        "kernel_sources": [],
        "model_sources": [],
    }


def dataset_metadata(user: str, title: str) -> dict[str, Any]:
    """dataset-metadata.json of a dataset of weights.

    Raises:
        SettingsError: a title or slug that the client or the server would not take.
    """
    _check_user(user)
    _check_title(title, DATASET_TITLE, "a dataset's title")
    return {"id": f"{user}/{slug(title)}", "title": title, "licenses": [{"name": LICENCE}]}


def title_for(competition: str, prefix: str = "Soundpost") -> str:
    """A title that says what for, cut at a word to what Kaggle takes."""
    words = [prefix, *filter(None, competition.split("-"))]
    while len(" ".join(words)) > KERNEL_TITLE[1]:
        words.pop()
    return " ".join(words)


def _check_user(user: str) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", user):
        raise SettingsError(
            f"--kaggle '{user}' is no user name of Kaggle's: lower-case letters, digits, hyphens. Give the one in the "
            "address of your profile."
        )


def _check_title(title: str, bounds: tuple[int, int], what: str) -> None:
    if not bounds[0] <= len(title) <= bounds[1]:
        raise SettingsError(
            f"title '{title}' has {len(title)} characters; {what} has {bounds[0]} to {bounds[1]}. Change it."
        )
    if not re.fullmatch(r"[A-Za-z0-9]+([ -][A-Za-z0-9]+)*", title):
        raise SettingsError(
            f"title '{title}' holds more than letters, digits and single spaces or hyphens between them. Leave the "
            "rest out, so that its address is the one expected."
        )
