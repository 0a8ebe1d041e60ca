"""What training leaves behind beside the weights: recipe.toml, out-of-fold predictions and their scores."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from soundpost.ensemble import recipe_folder
from soundpost.ensemble.recipe_folder import OUT_OF_FOLD, NewMember
from soundpost.ensemble.recipes import Recipe
from soundpost.evaluation.dataset import Table
from soundpost.evaluation.metrics import accuracy, lwlrap, lwlrap_of_classes
from soundpost.training.plan import Plan

MOST_COLUMNS = 20  # classes of a table of confusions that a person can read
SHOWN = 5  # classes in a list
DIGITS = 6  # so many are written of probabilities and scores


def write_out_of_fold(out: Path, table: Table, held_out: np.ndarray) -> None:
    """out_of_fold.csv: fname, fold, then one probability per label, each by the member that never heard the clip."""
    write_table(out / OUT_OF_FOLD, table.files, table.folds, table.labels, held_out)


def write_table(
    path: Path, files: Sequence[str], folds: Sequence[str], labels: Sequence[str], answers: np.ndarray
) -> None:
    """A csv of clips, their folds and answers (clips, classes), to six significant digits: small ones are no zeros."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["fname", "fold", *labels])
        for name, fold, row in zip(files, folds, answers, strict=True):
            writer.writerow([name, fold, *(f"{value:.{DIGITS}g}" for value in row)])


def fold_scores(table: Table, held_out: np.ndarray) -> dict[str, dict[str, float]]:
    """fold -> lwlrap and accuracy of its member on it."""
    scores = {}
    for fold in table.fold_names:
        rows = np.array([other == fold for other in table.folds])
        truth, given = table.truth[rows], held_out[rows]
        scores[fold] = {
            "lwlrap": round(lwlrap(truth, given), DIGITS),
            "accuracy": round(accuracy(truth, given), DIGITS),
        }
    return scores


def write_recipe(
    out: Path,
    plan: Plan,
    table: Table,
    folds: Sequence[str],
    scores: Mapping[str, Mapping[str, float]],
    gains: Mapping[str, Sequence[float]],
) -> Recipe:
    """recipe.toml as soundpost.ensemble.recipes reads it, members best first; also returned. Its name is the folder's.

    Args:
        out: folder of the members' files.
        plan: what the recipe takes over.
        table: labels and priors.
        folds: names of the members that are there.
        scores: fold -> lwlrap and accuracy; empty while there are none.
        gains: see soundpost.ensemble.passes. How the blend of members grows cannot be told from clips that all but one
            have heard.
    """
    order = sorted(folds, key=lambda fold: (-scores.get(fold, {}).get("lwlrap", 0.0), fold))
    recipe = {
        "average": plan.average,
        "activation": plan.activation,
        "priors": [round(float(prior), DIGITS) for prior in table.truth.mean(0)],
        "audio": dict(plan.audio),
        "front_end": dict(plan.front_end),
        "model": dict(plan.model),
        "views": [dict(view) for view in plan.views],
        "aliases": dict(plan.aliases),
        "gains": {key: [round(score, DIGITS) for score in values] for key, values in gains.items()},
    }
    members = [NewMember(fold, scores=scores.get(fold, {})) for fold in order]
    return recipe_folder.write_recipe(out, out.name, recipe, table.labels, members)


def score_tables(table: Table, held_out: np.ndarray) -> str:
    """Markdown: out-of-fold scores per fold and over all clips, and which labels are taken for which."""
    lines = ["| fold | clips | lwlrap | accuracy |", "|---|---|---|---|"]
    for fold, score in fold_scores(table, held_out).items():
        clips = table.folds.count(fold)
        lines.append(f"| {fold} | {clips} | {score['lwlrap']:.4f} | {score['accuracy']:.4f} |")
    total = lwlrap(table.truth, held_out), accuracy(table.truth, held_out)
    lines.append(f"| all | {len(table.files)} | {total[0]:.4f} | {total[1]:.4f} |")
    if (table.truth.sum(1) == 1).all() and len(table.labels) <= MOST_COLUMNS:
        lines += ["", *_confusion(table, held_out)]
    return "\n".join(lines) + "\n"


def class_tables(table: Table, held_out: np.ndarray) -> str:
    """Markdown: the worst and the rarest classes, and what they are taken for most often."""
    precision, _ = lwlrap_of_classes(table.truth, held_out)
    counts = table.truth.sum(0)
    known = np.flatnonzero(counts)
    lines = []
    for title, order in (("worst", precision[known]), ("rarest", counts[known])):
        lines += [f"| {title} classes | clips | precision | most often taken for |", "|---|---|---|---|"]
        for number in known[np.argsort(order, kind="stable")[:SHOWN]].tolist():
            guesses = held_out[table.truth[:, number] > 0].argmax(1)
            wrong = np.bincount(guesses, minlength=len(table.labels)) * (np.arange(len(table.labels)) != number)
            other = f"{table.labels[wrong.argmax()]} ({wrong.max()})" if wrong.any() else ""
            lines.append(f"| {table.labels[number]} | {int(counts[number])} | {precision[number]:.4f} | {other} |")
        lines.append("")
    return "\n".join(lines)


def _confusion(table: Table, held_out: np.ndarray) -> list[str]:
    counts = np.zeros((len(table.labels), len(table.labels)), int)
    np.add.at(counts, (table.truth.argmax(1), held_out.argmax(1)), 1)
    lines = ["Rows are true labels, columns the label with the highest probability.", ""]
    lines.append("| | " + " | ".join(table.labels) + " |")
    lines.append("|---" * (len(table.labels) + 1) + "|")
    lines += [
        f"| {label} | " + " | ".join(str(count) if count else "" for count in row) + " |"
        for label, row in zip(table.labels, counts, strict=True)
    ]
    return lines
