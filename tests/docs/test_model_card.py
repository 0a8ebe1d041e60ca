"""The model card: its figures are those of the files that it lies beside."""

import csv
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from safetensors import safe_open

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "weights" / "compact"
CARD = (WEIGHTS / "README.md").read_text("utf-8")
RECIPE = tomllib.loads((WEIGHTS / "recipe.toml").read_text("utf-8"))


def rows(heading: str) -> list[list[str]]:
    """Cells of the first table behind some words, without its head."""
    table = re.search(r"(?:^\|.*\n)+", CARD[CARD.index(heading) :], re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table[0].splitlines()[2:]]


def predictions() -> list[dict[str, str]]:
    with (WEIGHTS / "out_of_fold.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_scores_of_the_card_are_those_of_the_recipe() -> None:
    """Each member's by both views, and over all clips by the first view and by both."""
    written = {member["fold"]: member["scores"] for member in RECIPE["members"]}
    both, first = rows("Both views (`whole`, `band_shifts`)"), rows("First view alone")

    assert {row[0]: (row[2], row[3]) for row in both[:-1]} == {
        fold: (f"{scores['lwlrap']:.4f}", f"{scores['accuracy']:.4f}") for fold, scores in written.items()
    }
    assert [first[-1][2], both[-1][2]] == [f"{gain:.4f}" for gain in RECIPE["gains"]["views"]]


def test_table_of_labels_is_that_of_the_predictions() -> None:
    """Its columns count the highest answers of out_of_fold.csv, its diagonal is the accuracy over all clips."""
    labels, table = RECIPE["labels"], rows("Rows are true labels")
    counts = [[int(cell or 0) for cell in row[1:]] for row in table]
    guessed = Counter(max(labels, key=lambda label: float(row[label])) for row in predictions())

    assert [row[0] for row in table] == labels
    assert [sum(column) for column in zip(*counts, strict=True)] == [guessed[label] for label in labels]
    right = sum(counts[i][i] for i in range(len(labels)))
    accuracy = rows("Both views (`whole`, `band_shifts`)")[-1][3]
    assert f"{right / len(predictions()):.4f}" == accuracy


def test_sizes_and_clips_are_those_of_the_files() -> None:
    """Parameters of a member, clips of a fold, and how often each licence stands in the list of clips."""
    with safe_open(WEIGHTS / "fold1.safetensors", "numpy") as file:
        statistics = ("running_mean", "running_var", "num_batches_tracked")
        count = sum(file.get_tensor(name).size for name in file.keys() if not name.endswith(statistics))  # noqa: SIM118
    with (WEIGHTS / "ATTRIBUTION.csv").open(newline="") as file:
        licences = Counter(row["licence"] for row in csv.DictReader(file))

    assert f"{count:,} parameters each ({4 * count:,} in all)" in CARD
    assert Counter(row["fold"] for row in predictions()) == {str(fold): 80 for fold in range(1, 5)}
    assert f"{licences['CC0']} of the {sum(licences.values())} are CC0, {licences['CC-BY']} CC BY 3.0" in CARD


@pytest.mark.parametrize("figure", ["210,942 parameters each", "0.934 accuracy", "0.961 lwlrap out of fold"])
def test_figures_of_the_readme_are_the_cards(figure: str) -> None:
    """Rounded to three digits."""
    last = rows("Both views (`whole`, `band_shifts`)")[-1]
    card = ["210,942 parameters each", f"{float(last[3]):.3f} accuracy", f"{float(last[2]):.3f} lwlrap out of fold"]

    assert figure in card
    assert figure in (ROOT / "README.md").read_text("utf-8")
