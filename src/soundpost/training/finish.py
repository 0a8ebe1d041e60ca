"""What members that are there become: a recipe, and once all of them are, its out-of-fold answers and scores."""

from collections.abc import Sequence

import numpy as np

from soundpost.ensemble.recipe_folder import fold_file
from soundpost.ensemble.recipes import Recipe
from soundpost.ensemble.weights_file import load_arrays
from soundpost.evaluation.dataset import Table
from soundpost.evaluation.metrics import lwlrap
from soundpost.inference.in_memory import answer
from soundpost.training.out_of_fold import fold_scores, score_tables, write_out_of_fold, write_recipe
from soundpost.training.train import ONLY_MEMBER, Campaign


def members_there(campaign: Campaign) -> list[str]:
    """Folds whose member is finished."""
    return [fold for fold in campaign.folds if fold_file(campaign.out, fold).is_file()]


def leave_recipe(campaign: Campaign, folds: Sequence[str]) -> Recipe:
    """recipe.toml of these members, without scores."""
    return write_recipe(campaign.out, campaign.shared.plan, campaign.shared.clips.table, folds, {}, {})


def score(campaign: Campaign, recipe: Recipe, device: str) -> list[str]:
    """out_of_fold.csv, and the recipe anew with scores; what there is to tell of each number of views.

    Args:
        campaign: with all its members there.
        recipe: as leave_recipe wrote it.
        device: on which the members answer.
    """
    folds = [member.fold for member in recipe.members]
    if folds == [ONLY_MEMBER]:
        return []
    plan, clips = campaign.shared.plan, campaign.shared.clips
    table = held_out_part(clips.table)
    by_views = _held_out(campaign, recipe, table, device)
    gains = {"views": [lwlrap(table.truth, held_out) for held_out in by_views]}
    write_recipe(campaign.out, plan, clips.table, folds, fold_scores(table, by_views[-1]), gains)
    write_out_of_fold(campaign.out, table, by_views[-1])
    told = []
    for n_views, held_out in enumerate(by_views, 1):
        names = ", ".join(view.name for view in recipe.views[:n_views])
        told.append(f"views: {names}\n\n{score_tables(table, held_out)}")
    return told


def held_out_part(table: Table) -> Table:
    """The clips that belong to a fold, and so were never heard by one of the members."""
    rows = [row for row, fold in enumerate(table.folds) if fold]
    files, folds = tuple(table.files[row] for row in rows), tuple(table.folds[row] for row in rows)
    return Table(files, table.labels, table.truth[rows], folds)


def _held_out(campaign: Campaign, recipe: Recipe, table: Table, device: str) -> list[np.ndarray]:
    """Probabilities of every clip of a fold by the member that never heard it, by the first view, the first two ..."""
    clips = campaign.shared.clips
    known = [campaign.shared.spectrograms[row] for row in clips.scored if clips.folds[row]]
    by_views = [np.zeros(table.truth.shape) for _ in recipe.views]
    for member in recipe.members:
        rows = [row for row, fold in enumerate(table.folds) if fold == member.fold]
        arrays = load_arrays(campaign.out / member.file, member.sha256, member.name)
        theirs = [known[row] for row in rows]
        for n_views, held_out in enumerate(by_views, 1):
            held_out[rows] = answer(recipe, member, arrays, theirs, n_views, device)
    return by_views
