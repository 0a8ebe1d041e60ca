"""What members that are there become: a recipe, out-of-fold answers and scores, a picture, and what to do next."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from soundpost.ensemble.recipe_folder import fold_file
from soundpost.ensemble.recipes import Recipe
from soundpost.ensemble.weights_file import load_arrays
from soundpost.evaluation.dataset import Table
from soundpost.evaluation.metrics import lwlrap
from soundpost.inference.in_memory import answer
from soundpost.registry import build
from soundpost.training.ensembles.windows import answers_of_windows, write_windows
from soundpost.training.history_picture import draw_histories
from soundpost.training.out_of_fold import class_tables, fold_scores, score_tables, write_out_of_fold, write_recipe
from soundpost.training.train import ONLY_MEMBER, Campaign
from soundpost.views import VIEWS


def finish(campaign: Campaign, go_on: str, device: str, csv: str) -> None:
    """Write what can be written of the members that are there, and print how they do.

    Args:
        campaign: whose members are done, or some of them.
        go_on: the command that trains the missing ones.
        device: answers.
        csv: the curated clips', for the next command.
    """
    out, there = campaign.out, members_there(campaign)
    print(draw_histories(out, there))
    if missing := [fold for fold in campaign.folds if fold not in there]:
        print(f"members {', '.join(there)} are done; {', '.join(missing)} are not, so there is no recipe yet.")
        print(f"Go on with: {go_on}")
        return
    told = score(campaign, leave_recipe(campaign, there), device)
    if not told:
        print(f"{out / 'recipe.toml'} is there; its member heard every clip, so nothing can be said of how it does.")
        print(f"Next: name {out.name} in {out.parent / 'submission.toml'}, then")
        print(f"soundpost build --submission {out.parent / 'submission.toml'}")
        return
    print("\n".join(told))
    print(f"{out / 'recipe.toml'} is there. Next, alone or with the folders of other recipes:")
    print(f"soundpost ensemble choose {out} --csv {csv} --out {out.parent / 'submission.toml'}")


def members_there(campaign: Campaign) -> list[str]:
    """Folds whose member is finished."""
    return [fold for fold in campaign.folds if fold_file(campaign.out, fold).is_file()]


def leave_recipe(campaign: Campaign, folds: Sequence[str]) -> Recipe:
    """recipe.toml of these members, without scores."""
    return write_recipe(campaign.out, campaign.shared.plan, campaign.shared.clips.table, folds, {}, {})


def score(campaign: Campaign, recipe: Recipe, device: str) -> list[str]:
    """Out-of-fold answers, and the recipe anew with scores; what there is to tell of views and of classes.

    Args:
        campaign: with all its members there.
        recipe: as leave_recipe wrote it.
        device: on which the members answer.
    """
    folds = [member.fold for member in recipe.members]
    if folds == [ONLY_MEMBER]:
        return []
    plan, out = campaign.shared.plan, campaign.out
    table = held_out_part(campaign.shared.clips.table)
    by_views = _held_out(campaign, recipe, table, device)
    gains = {"views": [lwlrap(table.truth, held_out) for held_out in by_views]}
    write_recipe(out, plan, campaign.shared.clips.table, folds, fold_scores(table, by_views[-1]), gains)
    if plan.out_of_fold:
        write_windows(out, _windows(campaign, recipe, table, device))
    write_out_of_fold(out, table, by_views[-1])
    told = []
    for n_views, held_out in enumerate(by_views, 1):
        names = ", ".join(view.name for view in recipe.views[:n_views])
        told.append(f"views: {names}; every clip by the member that never heard it\n\n{score_tables(table, held_out)}")
    return [*told, class_tables(table, by_views[-1])]


def held_out_part(table: Table) -> Table:
    """The clips that belong to a fold, and so were never heard by one of the members."""
    rows = [row for row, fold in enumerate(table.folds) if fold]
    files, folds = tuple(table.files[row] for row in rows), tuple(table.folds[row] for row in rows)
    return Table(files, table.labels, table.truth[rows], folds)


def _known(campaign: Campaign) -> list[np.ndarray]:
    clips = campaign.shared.clips
    return [campaign.shared.spectrograms[row] for row in clips.scored if clips.folds[row]]


def _held_out(campaign: Campaign, recipe: Recipe, table: Table, device: str) -> list[np.ndarray]:
    """Probabilities of every clip of a fold by the member that never heard it, by the first view, the first two ..."""
    known = _known(campaign)
    by_views = [np.zeros(table.truth.shape) for _ in recipe.views]
    for member in recipe.members:
        rows = [row for row, fold in enumerate(table.folds) if fold == member.fold]
        arrays = load_arrays(campaign.out / member.file, member.sha256, member.name)
        theirs = [known[row] for row in rows]
        for n_views, held_out in enumerate(by_views, 1):
            held_out[rows] = answer(recipe, member, arrays, theirs, n_views, device)
    return by_views


def _windows(campaign: Campaign, recipe: Recipe, table: Table, device: str) -> list[Tensor]:
    """Probabilities of every window of every clip of a fold, cut by the plan's [out_of_fold]."""
    settings = campaign.shared.plan.out_of_fold
    view = build(VIEWS, settings["name"], settings, "view", where="[out_of_fold]")
    known = _known(campaign)
    found: dict[int, Tensor] = {}
    for member in recipe.members:
        rows = [row for row, fold in enumerate(table.folds) if fold == member.fold]
        arrays = load_arrays(campaign.out / member.file, member.sha256, member.name)
        theirs = [known[row] for row in rows]
        found.update(zip(rows, answers_of_windows(recipe, member, arrays, theirs, view, device), strict=True))
    return [found[row] for row in range(len(known))]
