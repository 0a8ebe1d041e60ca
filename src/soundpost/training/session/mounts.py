"""Where clips with their labels, and first weights, lie under Kaggle's input folder, in both of its layouts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from soundpost.ensemble.recipe_folder import fold_file
from soundpost.errors import SettingsError
from soundpost.resources.folders import walk_folders

MAX_DEPTH = 5  # folders below the input root, of which each layout needs two at most
WEIGHTS = (".safetensors", ".pth", ".pt", ".bin")  # how files of weights end
SHOWN = 5  # names of other weights in a refusal


@dataclass(frozen=True)
class Place:
    """A csv and the folder of its clips."""

    csv: Path
    folder: Path


@dataclass(frozen=True)
class Layout:
    """How a data set that is known names its files."""

    name: str
    curated: tuple[str, str]  # csv and folder
    noisy: tuple[str, str]  # the same as curated where one csv tells by a column which labels are verified


LAYOUTS = (
    Layout("FSDKaggle2019", ("train_curated.csv", "train_curated"), ("train_noisy.csv", "train_noisy")),
    Layout(
        "FSDKaggle2019, as its authors publish it",
        ("FSDKaggle2019.meta/train_curated_post_competition.csv", "FSDKaggle2019.audio_train_curated"),
        ("FSDKaggle2019.meta/train_noisy_post_competition.csv", "FSDKaggle2019.audio_train_noisy"),
    ),
    Layout("FSDKaggle2018", ("train.csv", "audio_train"), ("train.csv", "audio_train")),
    Layout(
        "FSDKaggle2018, as its authors publish it",
        ("FSDKaggle2018.meta/train_post_competition.csv", "FSDKaggle2018.audio_train"),
        ("FSDKaggle2018.meta/train_post_competition.csv", "FSDKaggle2018.audio_train"),
    ),
)


def find_places(root: Path, competition: str, given: Mapping[str, str]) -> dict[str, Place]:
    """Curated and, where there are any, noisy clips.

    Args:
        root: /kaggle/input.
        competition: slug; its folders are looked at first. Empty: any.
        given: "curated" or "noisy" -> CSV:DIR inside the mount, from a folder of it; else the known layouts.

    Raises:
        SettingsError: nothing there that is known, or not what was named.
    """
    if not given:
        for folder in _folders(root, competition):
            for layout in LAYOUTS:
                if place := _place(folder, layout.curated):
                    noisy = _place(folder, layout.noisy)
                    return {"curated": place, **({"noisy": noisy} if noisy else {})}
        known = "; ".join(f"{layout.curated[0]} beside {layout.curated[1]}" for layout in LAYOUTS)
        raise SettingsError(
            f"no clips to train on under {root}: looked for {known}. Attach the competition's data, or say in SETTINGS "
            "where they are: curated = CSV:DIR."
        )
    return {name: _named(root, competition, name, text) for name, text in given.items()}


def csv_and_folder(name: str, text: str) -> tuple[str, str]:
    """Both halves of CSV:DIR, given to the option of that name.

    Raises:
        SettingsError: it is none.
    """
    csv, colon, clips = text.rpartition(":")
    if not colon or not csv or not clips:
        raise SettingsError(f"--{name} {text}: a csv and a folder with a colon between are needed, CSV:DIR.")
    return csv, clips


def find_start(root: Path, name: str) -> Path:
    """What a training begins with: a file of weights, or the folder of a recipe.

    Args:
        root: /kaggle/input.
        name: what the file, the recipe's folder, or a folder with one file of weights is called: a path from any
            folder of the mount, such as a dataset's slug.

    Raises:
        SettingsError: nothing is called so, or more than one thing is, or a folder holds several files of weights.
    """
    listings = list(walk_folders(root, MAX_DEPTH))
    found = sorted({path for listing in listings if (path := listing.folder / name).exists()})
    if len(found) == 1:
        return _one_of(found[0], name)
    if found:
        places = ", ".join(str(path) for path in found)
        raise SettingsError(f"--start {name}: {len(found)} are called so: {places}. Name more of the path.")
    others = [entry.name for listing in listings for entry in listing.entries if entry.name.endswith(WEIGHTS)]
    known = f" Weights there: {_few(others)}." if others else ""
    raise SettingsError(
        f"--start {name}: nothing under {root} is called so.{known} Attach the dataset that holds it (build_kernel.py "
        "--datasets USER/SLUG, or Add Input in the editor), and name the file as it is there."
    )


def _one_of(path: Path, name: str) -> Path:
    """A file as it is; of a folder the recipe that it is, or the one file of weights in it."""
    if path.is_file() or any(path.glob(fold_file(path, "*").name)):
        return path
    files = sorted(file for file in path.iterdir() if file.name.endswith(WEIGHTS))
    if len(files) == 1:
        return files[0]
    held = _few([file.name for file in files]) if files else "none"
    raise SettingsError(f"--start {name}: a file of weights is needed, and {path} has {held}. Name the file.")


def _few(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def _named(root: Path, competition: str, name: str, text: str) -> Place:
    csv, clips = csv_and_folder(name, text)
    for folder in _folders(root, competition):
        if place := _place(folder, (csv, clips)):
            return place
    raise SettingsError(f"--{name} {text}: no folder under {root} holds both. Name them from the folder they share.")


def _folders(root: Path, competition: str) -> Iterator[Path]:
    if competition:
        yield from (root / competition, root / "competitions" / competition)
    for listing in walk_folders(root, MAX_DEPTH):
        yield listing.folder


def _place(folder: Path, names: tuple[str, str]) -> Place | None:
    csv, clips = (folder / name for name in names)
    if not csv.is_file() or not clips.is_dir():
        return None
    deeper = clips / clips.name  # an upload may have been unpacked a folder deeper
    return Place(csv, deeper if deeper.is_dir() else clips)
