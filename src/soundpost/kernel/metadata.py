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
TRAINING_CODE = "train_kernel"  # name of the code of a kernel that trains, by which a push knows it
# What a person asks for -> machine_shape, as the client's documentation names them; "" is four cores and no GPU.
# Without a name a request for a GPU ends on whatever there is; all but the T4 are lent to some contests only.
ACCELERATORS = {
    "none": "",
    "t4": "NvidiaTeslaT4",  # two of them
    "l4": "NvidiaL4",
    "a100": "NvidiaTeslaA100",
    "h100": "NvidiaH100",
    "rtx-pro-6000": "NvidiaRtxPro6000",
}
KERNEL_TITLE = (5, 50)  # characters, least and most; a longer one made the server fail
DATASET_TITLE = (6, 50)
_SLUG = r"[a-z0-9]+(-[a-z0-9]+)*"
LICENCE = "other"  # weights have the licence of the recordings that they were trained on


def slug(title: str) -> str:
    """The last part of the address that a title gets; as long as the title, where that is one we take."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def competition_slug(text: str) -> str:
    """The contest's slug, from the slug itself, c/SLUG, competitions/SLUG, or any address of the contest.

    Raises:
        SettingsError: it is none of these.
    """
    path = _path_of(text)
    parts = path.split("/")
    found = "/".join(parts[1:2]) if parts[0] in ("c", "competitions") else path
    if not re.fullmatch(_SLUG, found):
        raise SettingsError(
            f"--competition '{text}' is no slug. Give the contest's address, or the last part of it, such as "
            "freesound-audio-tagging-2019."
        )
    return found


def source_names(text: str, option: str) -> list[str]:
    """Names owner/slug of datasets or kernels, without the prefixes that Kaggle's client and addresses write.

    Args:
        text: names with commas between; each USER/SLUG, datasets/USER/SLUG, code/USER/SLUG, or an address.
        option: the one that they were given to.

    Raises:
        SettingsError: a name that is none of these.
    """
    names = []
    for given in filter(None, (part.strip() for part in text.split(","))):
        parts = _path_of(given).split("/")
        owner_and_slug = parts[1:3] if parts[0] in ("datasets", "code") else parts
        if len(owner_and_slug) != 2 or not all(re.fullmatch(_SLUG, part) for part in owner_and_slug):
            raise SettingsError(f"{option} '{given}' is not USER/SLUG. Give the two last parts of its address.")
        names.append("/".join(owner_and_slug))
    return names


def kernel_metadata(
    user: str,
    title: str,
    competition: str,
    datasets: Sequence[str],
    code_file: str,
    kernel_type: str,
    accelerator: str = "t4",
    kernels: Sequence[str] = (),
) -> dict[str, Any]:
    """kernel-metadata.json of a private kernel without internet.

    Args:
        user: name on Kaggle, as it stands in addresses.
        title: what the kernel is called; its address follows from it.
        competition: slug of the contest whose data is attached.
        datasets: owner/slug of datasets to attach.
        code_file: beside the metadata.
        kernel_type: "script" or "notebook".
        accelerator: a key of ACCELERATORS.
        kernels: owner/slug of kernels whose output to attach.

    Raises:
        SettingsError: a title or slug that the client or the server would not take, or an unknown accelerator.
    """
    _check_user(user)
    competition = competition_slug(competition)
    if accelerator not in ACCELERATORS:
        raise SettingsError(f"accelerator '{accelerator}' is not known; known: {', '.join(ACCELERATORS)}. Name one.")
    machine = ACCELERATORS[accelerator]
    _check_title(title, KERNEL_TITLE, "a kernel's title")
    return {
        "id": f"{user}/{slug(title)}",
        "title": title,
        "code_file": code_file,
        "language": "python",
        "kernel_type": kernel_type,
        "is_private": True,
        "enable_gpu": bool(machine),
        "enable_tpu": False,
        "enable_internet": False,
        **({"machine_shape": machine} if machine else {}),
        "dataset_sources": list(datasets),
        "competition_sources": [competition],
        "kernel_sources": list(kernels),
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


def _path_of(text: str) -> str:
    """The path of an address on Kaggle, without slashes around it; a text that is no address as it stands."""
    return re.sub(r"^(https?://)?(www\.)?kaggle\.com/", "", text.strip()).partition("?")[0].partition("#")[0].strip("/")


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
