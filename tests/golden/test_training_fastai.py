"""simongrest, filipmu and the high-resolution spectrograms as trained, on fastai: groups, steps, stop, selection."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from cases import assert_close
from torch import nn
from training_cases import TrainingSet, made, training

from soundpost.evaluation.metrics import lwlrap
from soundpost.importers.recipe_files import template
from soundpost.models.resnet import ResNet, ResNetSettings
from soundpost.registry import settings_from
from soundpost.training.best_epoch import BestEpoch, BestEpochSettings, SlowStarts
from soundpost.training.folds.published import fold_of_name
from soundpost.training.initialise import initialise
from soundpost.training.measures import mean_of_batches, precision_of_clips
from soundpost.training.noisy.best_of_each_label import BestOfEachLabel, BestOfEachLabelSettings
from soundpost.training.noisy.poor_classes import PoorClasses, PoorClassesSettings
from soundpost.training.optimisers import OptimiserSettings, freeze, groups_of, is_norm, optimiser, spread
from soundpost.training.samplers.sampler import cut
from soundpost.training.samplers.weighted import Weighted, WeightedSettings, draws_of_parts


def selection_truth(case: dict[str, Any]) -> np.ndarray:
    truth = made(case["truth"])
    rows = np.flatnonzero(~truth.any(1))
    truth[rows, rows % truth.shape[1]] = 1
    return truth


@pytest.mark.parametrize(("place", "case"), training("simongrest", "best_of_each_label"))
def test_selection_of_simongrest_keeps_the_published_rows(place: TrainingSet, case: dict[str, Any]) -> None:
    """Beyond doubt, or by ties."""
    truth, expected = selection_truth(case), case["expected"]
    shift = np.where(np.arange(len(truth))[:, None] % 3 > 0, 1.5 * truth, 0)
    logits = made(case["predictions"]).astype(np.float64) + shift
    answers = (1 / (1 + np.exp(-logits.astype(np.float32)))).astype(np.float32)
    rule = BestOfEachLabel(BestOfEachLabelSettings(case["each"], case["at_least"]))
    assert expected["score_of_row"] == pytest.approx(precision_of_clips(truth, answers).tolist(), abs=1e-5)
    kept = set(rule(truth, answers).rows.tolist())
    sure = set(expected["kept_beyond_doubt"])
    assert sure <= kept <= sure | set(expected["kept_or_not_by_tie"])
    for label, row in enumerate(expected["per_label"]):
        assert (row["clips"], row["flagged"]) == (
            int(truth[:, label].sum()),
            min(case["each"], int(truth[:, label].sum())),
        )


@pytest.mark.parametrize(("place", "case"), training("simongrest", "best_of_each_label_given_scores"))
def test_selection_of_simongrest_without_ties_is_exact(place: TrainingSet, case: dict[str, Any]) -> None:
    """Kept and flagged rows for given scores."""
    truth, scores = selection_truth(case), np.array(case["scores"])
    rule = BestOfEachLabel(BestOfEachLabelSettings(case["each"], case["at_least"]))
    assert case["expected"]["kept"] == rule.rows_by(truth, scores).tolist()
    assert case["expected"]["flagged"] == int(rule.flagged(truth, scores).sum())


@pytest.mark.parametrize(("place", "case"), training("simongrest", "facts"))
def test_facts_of_the_published_selection_fit_together(place: TrainingSet, case: dict[str, Any]) -> None:
    """The table itself is not here: what is counted of it is what the rule can give."""
    found, rule = case["expected"], BestOfEachLabelSettings()
    assert found["kept"] <= found["flagged"] <= rule.each * found["labels"]
    assert found["flagged_beyond_doubt"] <= found["flagged"] <= found["could_be_flagged"] <= found["rows"]


@pytest.mark.parametrize(("place", "case"), training("simongrest", "stage_counts"))
def test_second_stage_of_simongrest_counts_as_published(place: TrainingSet, case: dict[str, Any]) -> None:
    """Clips, draws and batches of every fold."""
    weights = list(case["weights"].values())
    if "folds" not in case["expected"]:
        counts = [case["files"][f"{name}_clips"] for name in case["weights"]]
        assert case["expected"]["draws_in_all"] == draws_of_parts(counts, weights, sum(counts))
        return
    several = [case["files"][name] for name in case["weights"]]
    counts = [len(files) for files in several]
    for row in case["expected"]["folds"]:
        heard = [sum(fold_of_name(file, 6) != row["fold"] for file in files) for files in several]
        total, train = (draws_of_parts(counts, weights, part) for part in (sum(counts), sum(heard)))
        batches = [part for part in cut(torch.arange(train), 200, drops_last=True) if len(part) == 200]
        found = (sum(heard), heard[0], sum(counts) - sum(heard), total, train, total - train, len(batches))
        assert tuple(value for key, value in row.items() if key != "fold") == found


@pytest.mark.parametrize(("place", "case"), training("simongrest", "frequencies"))
def test_sampler_of_simongrest_draws_as_often_as_published(place: TrainingSet, case: dict[str, Any]) -> None:
    """Share of curated clips, over epochs enough to tell."""
    sources = [name for name, count in case["clips"].items() for _ in range(count)]
    sampler, generator = Weighted(WeightedSettings(case["weights"], case["draws"])), torch.Generator().manual_seed(7)
    shares, epochs = [], 600
    for _ in range(epochs):
        rows = sampler(sources, torch.zeros(len(sources), 1), generator)
        assert len(rows) == len(set(rows.tolist())) == case["draws"]
        shares.append(float((rows < case["clips"]["curated"]).double().mean()))
    observed = case["observed"]
    allowed = 4 * observed["deviation_of_one_epoch"] * (1 / epochs + 1 / case["epochs"]) ** 0.5
    assert abs(np.mean(shares) - observed["mean_share_of_curated"]) <= allowed


@pytest.mark.parametrize(("place", "case"), training("simongrest", "stop_and_keep"))
def test_stop_and_best_epoch_of_simongrest_are_the_published_ones(place: TrainingSet, case: dict[str, Any]) -> None:
    """Kept, stopped, and the single batches that ran slower."""
    patience = case["early_stop_patience"]
    # The published wait must exceed its patience.
    keeper = BestEpoch(BestEpochSettings(patience=0 if patience is None else patience + 1))
    slow, saved, slowed, epochs = SlowStarts(case["plateau"]["patience"]), [], [], 0
    for epoch, score in enumerate(case["series"][: case["epochs_at_most"]]):
        epochs += 1
        if keeper.is_better(score):
            saved.append(epoch)
        if slow.is_slow(score) and not keeper.is_over() and epoch + 1 < case["epochs_at_most"]:
            slowed.append(epoch + 1)
        if keeper.is_over():
            break
    expected = case["expected"]
    assert (expected["epochs_run"], expected["saved_at"], expected["kept_epoch"]) == (epochs, saved, keeper.epoch)
    assert expected["epochs_whose_first_batch_runs_at_0.3_of_the_cycle"] == slowed


@pytest.mark.parametrize(("place", "case"), training("simongrest", "epoch_score"))
def test_score_of_an_epoch_of_simongrest_is_the_mean_of_its_batches(place: TrainingSet, case: dict[str, Any]) -> None:
    """Weighed by clips; not the score of all clips."""
    truth = made(case["truth"])
    scores = made(case["scores"]) + np.float32(1.5) * truth
    expected, tolerance = case["expected"], case["tolerance"]["abs"]
    assert expected["of_epoch"] == pytest.approx(mean_of_batches(truth, scores, case["batch"]), abs=tolerance)
    assert expected["of_all_clips_at_once"] == pytest.approx(lwlrap(truth, scores), abs=tolerance)
    first = lwlrap(truth[: case["batch"]], scores[: case["batch"]])
    assert expected["of_batches"][0] == pytest.approx(first, abs=tolerance)


def tiny(case: dict[str, Any]) -> nn.Sequential:
    """The small network that the cases of the optimisers share."""
    network = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 3)).train()
    for entry in case["parameters"]:
        network.get_parameter(entry["name"]).data = torch.from_numpy(made(entry))
    return network


OPTIMISERS = [
    *training("simongrest", "optimiser_network"),
    *training("filipmu", "optimiser_network"),
    *training("hires_spectrogram", "optimiser_network"),
]


@pytest.mark.parametrize(("place", "case"), OPTIMISERS)
def test_optimiser_of_fastai_takes_the_published_steps(place: TrainingSet, case: dict[str, Any]) -> None:
    """Every parameter after every step, with rates by group, momentum by step, and what does not decay."""
    network, given = tiny(case), case["settings"]
    groups = tuple(tuple(names) for names in case.get("groups", []))
    decays = "everything" if given["decayed"].startswith("everything") else "weights"
    betas = (0.9, given["second_beta"])
    chosen = OptimiserSettings(
        "adamw", 1e-3, 0.0, betas, given["eps"], decay=given["decay"], decays=decays, groups=groups
    )
    adam = optimiser(chosen, network)
    rates = case.get("rate_of_step_by_group") or [[rate] for rate in case["rate_of_step"]]
    members = [{id(value) for value in group} for group in groups_of(network, groups)]
    x, y = torch.from_numpy(made(case["x"])), torch.from_numpy(made(case["y"]))
    names = [entry["name"] for entry in case["parameters"]]

    def row() -> torch.Tensor:
        return torch.cat([network.get_parameter(name).detach().reshape(-1) for name in names])

    seen = [row()]
    for rate, beta in zip(rates, case["first_beta_of_step"], strict=True):
        for group in adam.param_groups:
            number = next(n for n, ids in enumerate(members) if id(group["params"][0]) in ids)
            group["lr"], group["betas"] = rate[number], (beta, given["second_beta"])
        adam.zero_grad()
        ((network(x) - y) ** 2).mean().backward()
        adam.step()
        seen.append(row())
    expected = place.array(case["expected"]["parameters_after"])
    assert_close(expected, torch.stack(seen), case["tolerance"]["abs"], "parameters")


def groups_and_prefixes(case: dict[str, Any]) -> tuple[nn.Module, list[list[str]], list[list[str]]]:
    """The kit's network, the published groups, and prefixes that stand for them."""
    kind = case["network"]
    settings = dict(template("filipmu" if kind in ("resnet34", "resnet18") else "hires_spectrogram")["model"])
    settings.pop("name")
    if kind == "resnet18":
        settings["layers"] = [2, 2, 2, 2]
    network = ResNet(settings_from(ResNetSettings, settings, kind), case["classes"])
    groups = list((case.get("group_of_parameter") or case["groups"]).values())
    prefixes = [sorted({".".join(name.split(".")[:2]) for name in group}) for group in groups]
    return network, groups, prefixes


@pytest.mark.parametrize(
    ("place", "case"), [*training("filipmu", "parameter_groups"), *training("hires_spectrogram", "parameter_groups")]
)
def test_groups_of_fastai_move_what_moved(place: TrainingSet, case: dict[str, Any]) -> None:
    """Which parameters belong to which group, which move while the body is frozen, and how fast."""
    network, groups, prefixes = groups_and_prefixes(case)
    names = {id(value): name for name, value in network.named_parameters()}
    assert case["parameters"] == len(names)
    assert [sorted(group) for group in groups] == [
        sorted(names[id(value)] for value in group) for group in groups_of(network, prefixes)
    ]
    for phase, expected in case["expected"].items():
        if phase.startswith("still"):
            freeze(network, ["1", "norms"])
            still = {name for name, value in network.named_parameters() if not value.requires_grad}
            assert set(expected) == still
        if isinstance(expected, list):
            continue
        freeze(network, ["1", "norms"] if phase in ("phase_1", "frozen") else [])
        moves = {name: value for name, value in network.named_parameters() if value.requires_grad}
        assert expected["parameters_that_move"] == len(moves)
        assert expected["numbers_that_move"] == sum(value.numel() for value in moves.values())
        assert expected["names"] in ("all", list(moves))
        statistics = [m for m in network.modules() if is_norm(m)]
        assert expected["statistics_that_move"] == 2 * len(statistics)
        rates = expected.get("rate_of_group") or expected["peak_rate_of_group"]
        first = 0.0 if rates[0] == rates[-1] else rates[0]
        chosen = OptimiserSettings(
            "adamw", rates[-1], first, decays="weights", decay=0.01, groups=tuple(map(tuple, prefixes))
        )
        assert rates == pytest.approx(spread(chosen, len(prefixes)), rel=1e-4)
        if "not_decayed" in expected:
            spared = [g for g in optimiser(chosen, network).param_groups if not g["weight_decay"]]
            found = {names[id(value)] for group in spared for value in group["params"]}
            assert expected["not_decayed"] == len(found)
            assert set(case["expected"]["not_decayed"]) == found


@pytest.mark.parametrize(("place", "case"), training("hires_spectrogram", "initialisation"))
def test_head_of_hires_starts_as_published(place: TrainingSet, case: dict[str, Any]) -> None:
    """Batch-norm weights 1, biases 1e-3, Kaiming normal weights."""
    settings = dict(template("hires_spectrogram")["model"])
    settings.pop("name")
    torch.manual_seed(1)
    network = ResNet(settings_from(ResNetSettings, settings, "hires"), 41)
    initialise(network, "fastai2_head")
    for name, row in case["expected"].items():
        weight = network.get_parameter(name).detach()
        deviation = float(weight.std(unbiased=False))
        assert row["deviation"] == pytest.approx(deviation, rel=case["tolerance"]["deviation_rel"], abs=1e-9), name
        if not row["deviation"]:
            assert row["least"] == pytest.approx(float(weight.min()))


@pytest.mark.parametrize("way", ["as_it_ran", "as_described"])
@pytest.mark.parametrize(("place", "case"), training("filipmu", "poor_classes"))
def test_poor_classes_of_filipmu_are_the_published_ones(place: TrainingSet, case: dict[str, Any], way: str) -> None:
    """The clips looked at, the classes, and the noisy files of these."""
    truth, expected = made(case["truth"]), case["expected"][way]
    logits = made(case["logits"]).astype(np.float64) + 4.5 * truth - 1
    rule = PoorClasses(PoorClassesSettings(case["take"], way == "as_described"))
    everything = PoorClasses(PoorClassesSettings(len(truth), way == "as_described"))
    assert expected["misclassified"] == len(everything.confused(truth, logits))
    assert sorted(expected["clips"]) == sorted(rule.confused(truth, logits).tolist())
    poor = rule.classes(truth, logits)
    assert expected["poor_classes"] == [case["classes"][number] for number in poor]
    rows = rule.rows_of(made(case["noisy_labels"]), poor)
    number_of = {name: int(re.search(r"\d+", name).group()) for name in expected["files_added"]}
    assert sorted(number_of.values()) == sorted(rows.tolist())
