"""argus as trained: plateau and stop, folds, corrections, clips to hear again, second level, choice."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from cases import GoldenSet, argus_input, assert_close, golden
from training_cases import TrainingSet, made, training

from soundpost.evaluation.metrics import lwlrap, lwlrap_of_classes
from soundpost.training import tiles
from soundpost.training.best_epoch import BestEpoch, BestEpochSettings
from soundpost.training.choose import best, every_choice
from soundpost.training.folds.split import KFold, KFoldSettings
from soundpost.training.measures import order_of_clips, precision_of_clips
from soundpost.training.schedules.by_score import Plateau, PlateauSettings
from soundpost.training.schedules.schedule import Length
from soundpost.training.search import ARGUS_NETWORK, ARGUS_SECOND_LEVEL, trial
from soundpost.training.sets.corrected import Corrected, CorrectedSettings, corrected, counts, labels_of


@pytest.mark.parametrize(("place", "case"), training("argus", "plateau_and_stop"))
def test_plateau_and_stop_of_argus_follow_the_published_series(place: TrainingSet, case: dict[str, Any]) -> None:
    """Rate of every epoch, epochs saved and kept, and where it ends."""
    given, expected = case["plateau"], case["expected"]
    weight = torch.nn.Parameter(torch.zeros(1))
    adam = torch.optim.Adam([weight], lr=case["start_rate"])
    settings = PlateauSettings(given["patience"], given["factor"], 1e-4, given["floor"])
    schedule = Plateau(adam, settings, Length(case["epochs_at_most"], 1))
    keeper = BestEpoch(BestEpochSettings(patience=case["stop_patience"]))
    rates, saved = [], []
    for epoch, score in enumerate(case["series"][: case["epochs_at_most"]], 1):
        rates.append(adam.param_groups[0]["lr"])
        if keeper.is_better(score):
            saved.append(epoch)
        if keeper.is_over():
            break
        schedule.step(score)
    assert expected["rate_of_epoch"] == pytest.approx(rates, rel=case["tolerance"]["rel"])
    assert expected["epochs_run"] == len(rates)
    assert expected["stopped_early"] == keeper.is_over()
    assert (expected["saved_at"], expected["kept_epoch"]) == (saved, keeper.epoch + 1)


@pytest.mark.parametrize(("place", "case"), training("argus", "tile_draw"))
def test_second_level_of_argus_hears_the_published_tiles(place: TrainingSet, case: dict[str, Any]) -> None:
    """A run, then a subset of it, and their mean."""
    answers, draws = torch.from_numpy(made(case["input"])), case["draws"]
    kept = torch.ones(1, len(answers), dtype=torch.bool)
    assert ("run" in draws) == (draws["run_drawn"] < 0.5)
    assert ("subset" in draws) == (draws["subset_drawn"] < 0.5)
    if "run" in draws:
        start, length = (torch.tensor([draws["run"][key]]) for key in ("start", "length"))
        kept = tiles.run_of(len(answers), start, length)
    if "subset" in draws:
        left = kept[0].nonzero()[:, 0][draws["subset"]["positions_in_what_is_left"]]
        kept = torch.zeros_like(kept).index_fill(1, left, True)
    assert sorted(case["expected"]["kept_tiles"]) == kept[0].nonzero()[:, 0].tolist()
    mean = tiles.apply(answers[None], kept)[0].numpy()
    assert_close(place.array(case["expected"]["mean"]), mean, case["tolerance"]["abs"], "mean")


def test_second_level_of_argus_draws_runs_and_subsets_evenly() -> None:
    """None of 40,000 clips of 1 to 6 tiles is left without one; shares of runs, sizes and places are as published."""
    clips = 40_000
    counts = torch.arange(clips) % 6 + 1
    kept = tiles.draw(tiles.TileDrawSettings(), counts, torch.Generator().manual_seed(0))
    assert (kept.sum(1) >= 1).all()
    assert not (kept & (torch.arange(6) >= counts[:, None])).any()
    longest = kept[counts == 6].double()
    whole = (longest.sum(1) == 6).double().mean().item()
    # Neither; a run of all of them; a subset of all of them; or both.
    assert whole == pytest.approx(0.25 + 0.25 / 6 + 0.25 / 6 + 0.25 / 36, abs=0.025)
    only_run = tiles.draw(tiles.TileDrawSettings(1.0, 0.0), counts, torch.Generator().manual_seed(1))
    # Lengths are even, and so are starts: the mean place of what is heard lies in the middle.
    sizes = torch.bincount(only_run[counts == 6].sum(1), minlength=7)[1:] / (counts == 6).sum()
    assert sizes.tolist() == pytest.approx([1 / 6] * 6, abs=0.02)
    only_subset = tiles.draw(tiles.TileDrawSettings(0.0, 1.0), counts, torch.Generator().manual_seed(2))
    assert only_subset[counts == 6].double().mean(0).tolist() == pytest.approx([3.5 / 6] * 6, abs=0.025)


@pytest.mark.parametrize(("place", "case"), training("argus", "random_search"))
def test_random_search_of_argus_draws_the_published_trials(place: TrainingSet, case: dict[str, Any]) -> None:
    """Every trial again from its number alone."""
    ranges = ARGUS_SECOND_LEVEL if "base_size" in case["rows"][0] else ARGUS_NETWORK
    for row in case["rows"]:
        expected = {key: value for key, value in row.items() if key != "number"}
        assert expected == pytest.approx(trial(row["number"], ranges), rel=case["tolerance"]["rel"])


@pytest.mark.parametrize(("place", "case"), training("argus", "clip_order"))
def test_clips_of_argus_come_in_the_published_order(place: TrainingSet, case: dict[str, Any]) -> None:
    """Worst first, to be listened to again, and best first."""
    truth, expected = made(case["truth"]), case["expected"]
    scores = made(case["scores"]).astype(np.float64) + 1.2 * truth
    found = precision_of_clips(truth, scores)
    assert expected["lwlrap_of_clip"] == pytest.approx(found.tolist(), abs=case["tolerance"]["abs"])
    assert expected["worst_first"] == order_of_clips(found, best_first=False).tolist()
    assert expected["best_first"] == order_of_clips(found, best_first=True).tolist()
    assert expected["of_all"] == pytest.approx(lwlrap(truth, scores), abs=case["tolerance"]["abs"])


@pytest.mark.parametrize(("place", "case"), training("argus", "corrections"))
def test_corrections_of_argus_make_the_published_table(
    place: TrainingSet, case: dict[str, Any], tmp_path: Path
) -> None:
    """Removed, relabelled, and what the map names that is not there."""
    table = pd.DataFrame(case["table"], columns=["fname", "labels", "fold"])
    (tmp_path / "map.json").write_text(json.dumps(case["corrections"]))
    found = Corrected(CorrectedSettings("map.json"))(table, tmp_path)
    rows = [[row.fname, labels_of(row.labels), row.fold] for row in found.itertuples()]
    assert case["expected"]["rows"] == rows
    said = table["fname"].map(case["corrections"]).dropna()
    assert len(corrected(table, case["corrections"], "relabelled")) == int((said != "remove").sum())
    assert len(corrected(table, case["corrections"], "rest")) == len(table) - len(said)


@pytest.mark.parametrize(("place", "case"), training("argus", "corrections_counts"))
def test_corrections_of_argus_are_counted_as_published(place: TrainingSet, case: dict[str, Any]) -> None:
    """The maps themselves are not here: what is counted of them adds up, and a map of such numbers is counted so."""
    for member, maps in case["expected"].items():
        for name, expected in maps.items():
            if expected is None:
                continue
            removed, relabelled, several = (expected[k] for k in ("removed", "relabelled", "with_two_or_more_labels"))
            stand_in = {f"r{i}": "remove" for i in range(removed)} | {
                f"l{i}": "a,b" if i < several else "a" for i in range(relabelled)
            }
            assert expected == counts(stand_in), f"{member} {name}"


@pytest.mark.parametrize(("place", "case"), training("argus", "folds"))
def test_folds_of_argus_hold_out_the_published_rows(place: TrainingSet, case: dict[str, Any]) -> None:
    """Five folds of scikit-learn, seed 42."""
    count = len(case["expected"]["held_out"])
    folds = np.array(KFold(KFoldSettings(count, 42))([""] * case["rows"], np.zeros((case["rows"], 1)), ()), int)
    for fold, expected in enumerate(case["expected"]["held_out"]):
        rows = np.flatnonzero(folds == fold)
        found = {"size": len(rows), "first": rows[:12].tolist(), "last": rows[-12:].tolist(), "sum": int(rows.sum())}
        assert expected == found


@pytest.mark.parametrize(("place", "case"), training("argus", "choice"))
def test_choice_of_argus_is_the_best_of_all_subsets(place: TrainingSet, case: dict[str, Any]) -> None:
    """All 63 scores, the best, the second, and the best of every size."""
    truth, expected = made(case["truth"]), case["expected"]
    tables = [1 / (1 + np.exp(-(truth - 1 + made(table).astype(np.float64)))) for table in case["tables"]]
    choices = every_choice(truth, tables)
    tolerance = case["tolerance"]["abs"]
    assert_close(place.array(expected["scores"]), np.array([choice.score for choice in choices]), tolerance, "scores")
    found = best(choices)
    assert (expected["best"], expected["score"]) == (list(found.subset), pytest.approx(found.score, abs=tolerance))
    second = best([choice for choice in choices if choice != found])
    assert (expected["second"], expected["second_score"]) == (
        list(second.subset),
        pytest.approx(second.score, abs=tolerance),
    )
    for size, row in expected["best_of_size"].items():
        assert row["subset"] == list(best([choice for choice in choices if len(choice.subset) == int(size)]).subset)


@pytest.mark.parametrize(("place", "case"), golden("argus", "metric", where=lambda case: case["id"] == "lwlrap"))
def test_lwlrap_of_classes_of_argus_is_ours(place: GoldenSet, case: dict[str, Any]) -> None:
    """Precision of every class and its weight."""
    given = case["inputs"]
    truth, scores = (
        argus_input(e["rule"], e["name"], tuple(e["shape"]), e.get("salt", ""), **({"p": e["p"]} if "p" in e else {}))
        for e in (given["truth"], given["scores"])
    )
    arrays = place.arrays(case["file"])
    for key, actual in zip(("per_class", "weight"), lwlrap_of_classes(truth, scores), strict=True):
        assert_close(arrays[case["expected"][key]["key"]], actual, case["atol"], key)
