"""Out-of-fold answers of several recipes, side by side over the clips that all of them have answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from soundpost.ensemble.recipe_folder import OUT_OF_FOLD
from soundpost.ensemble.recipes import Recipe, parse_recipe
from soundpost.ensemble.weights_folder import RECIPE
from soundpost.errors import SettingsError
from soundpost.evaluation.dataset import SHOWN, read_labels
from soundpost.training.ensembles.windows import read_windows


@dataclass(frozen=True)
class Answers:
    """What recipes say about clips that the answering members never heard."""

    recipes: tuple[Recipe, ...]
    files: tuple[str, ...]
    folds: tuple[str, ...]  # those of the first recipe
    labels: tuple[str, ...]  # in the order of the first recipe
    truth: np.ndarray  # (clips, classes)
    tables: tuple[np.ndarray, ...]  # one (clips, classes) for each recipe
    windows: tuple[tuple[Tensor, ...] | None, ...]  # (windows, classes) a clip, of recipes that have them
    left_out: int  # clips of any table that another one or the csv lacks
    folds_differ: bool  # whether recipes were trained on other folds than the first

    def inputs(self, numbers: Sequence[int]) -> np.ndarray:
        """Answers of some recipes side by side, (clips, recipes, classes) float32."""
        return np.stack([self.tables[number] for number in numbers], 1).astype(np.float32)

    def window_inputs(self, numbers: Sequence[int]) -> list[Tensor] | None:
        """The same for each window of each clip, (windows, recipes, classes); None where windows do not agree."""
        kept = [self.windows[number] for number in numbers]
        if any(one is None for one in kept):
            return None
        clips = list(zip(*(one for one in kept if one is not None), strict=True))
        if any(len({len(own) for own in clip}) > 1 for clip in clips):
            return None
        return [torch.stack(list(clip), 1) for clip in clips]


def read_answers(folders: Sequence[Path], csv: Path) -> Answers:
    """The out_of_fold.csv of every recipe folder, and the truth of a csv with fname and labels.

    Raises:
        SettingsError: a folder without recipe or answers, other labels, no clip that all have.
    """
    repeated = sorted({folder.name for folder in folders if [f.name for f in folders].count(folder.name) > 1})
    if repeated:
        raise SettingsError(f"{', '.join(repeated)} named twice. Name every recipe once.")
    recipes = tuple(read_recipe(folder) for folder in folders)
    frames = [_frame(folder, recipe) for folder, recipe in zip(folders, recipes, strict=True)]
    labels = recipes[0].labels
    for recipe in recipes:
        if set(recipe.labels) != set(labels):
            other = sorted(set(recipe.labels) ^ set(labels))
            raise SettingsError(
                f"{recipe.name} and {recipes[0].name} differ in labels: {', '.join(other[:SHOWN])}"
                f"{' ...' if len(other) > SHOWN else ''}. Blend recipes of the same labels."
            )
    files, truth = read_labels(csv, labels, recipes[0].aliases)
    known = dict(zip(files, truth, strict=True))
    shared = set(known).intersection(*(frame.index for frame in frames))
    kept = [name for name in frames[0].index if name in shared]
    if not kept:
        raise SettingsError(f"no clip stands in {csv} and in {OUT_OF_FOLD} of every recipe. Give the csv they heard.")
    every = set().union(*(frame.index for frame in frames))
    windows = [_windows(folder, frame, kept) for folder, frame in zip(folders, frames, strict=True)]
    folds = [tuple(frame.loc[kept, "fold"]) for frame in frames]
    return Answers(
        recipes,
        tuple(kept),
        folds[0],
        labels,
        np.stack([known[name] for name in kept]),
        tuple(frame.loc[kept, list(labels)].to_numpy(np.float64) for frame in frames),
        tuple(windows),
        len(every - set(kept)),
        len(set(folds)) > 1,
    )


def read_recipe(folder: Path) -> Recipe:
    """The recipe of a folder.

    Raises:
        SettingsError: there is none.
    """
    path = folder / RECIPE
    if not path.is_file():
        raise SettingsError(f"{path} is not there. Name the folder of a recipe, as soundpost train writes it.")
    return parse_recipe(path.read_text("utf-8"), str(path))


def _frame(folder: Path, recipe: Recipe) -> pd.DataFrame:
    path = folder / OUT_OF_FOLD
    try:
        frame = pd.read_csv(path, dtype={"fname": str, "fold": str}, keep_default_na=False)
    except FileNotFoundError as error:
        raise SettingsError(
            f"{path} is not there. Train {folder.name} with folds; members that heard every clip tell nothing here."
        ) from error
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError, ValueError) as error:
        raise SettingsError(f"{path}: no table ({error}). Train {folder.name} again.") from error
    if missing := [name for name in ("fname", "fold", *recipe.labels) if name not in frame]:
        raise SettingsError(f"{path}: no column {', '.join(missing[:SHOWN])}. Train {folder.name} again.")
    if frame["fname"].duplicated().any():
        raise SettingsError(f"{path}: clip {frame['fname'][frame['fname'].duplicated()].iloc[0]} stands there twice.")
    found = frame[list(recipe.labels)].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    if not (wrong := ~((found >= 0) & (found <= 1)).all(1)).any():
        return frame.assign(row=np.arange(len(frame))).set_index("fname")
    raise SettingsError(
        f"{path}, line {int(np.flatnonzero(wrong)[0]) + 2}: a probability that is none. Train {folder.name} again."
    )


def _windows(folder: Path, frame: pd.DataFrame, kept: Sequence[str]) -> tuple[Tensor, ...] | None:
    """Answers to the windows of the clips that are kept.

    Raises:
        SettingsError: the file is of another table.
    """
    known = read_windows(folder)
    if known is None:
        return None
    if len(known) != len(frame):
        raise SettingsError(
            f"{folder}: windows of {len(known)} clips beside {len(frame)} clips of {OUT_OF_FOLD}. Train it again."
        )
    return tuple(known[row] for row in frame.loc[list(kept), "row"])
