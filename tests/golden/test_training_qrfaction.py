"""qrfaction as trained: loops, crops, mixing, norms, initialisation, folds, loss and both readings of NAdam."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from cases import GoldenSet, assert_close, golden, value
from torch import nn
from training_cases import TrainingSet, made, training

from soundpost.training.augmentations.place import Place, PlaceSettings
from soundpost.training.batch import Batch
from soundpost.training.best_epoch import BestEpoch, BestEpochSettings
from soundpost.training.folds.stratified import MultilabelStratified, MultilabelStratifiedSettings
from soundpost.training.initialise import keras
from soundpost.training.losses.binary import Bce, BceSettings
from soundpost.training.losses.loss import smoothed
from soundpost.training.measures import lrap, precision_of_clips
from soundpost.training.mixers.waveform import Waveform, WaveformSettings
from soundpost.training.mixing import Mixing, MixSettings
from soundpost.training.norms import RunningStatistics
from soundpost.training.optimisers import OptimiserSettings, optimiser
from soundpost.training.schedules.by_epoch import Milestones, MilestonesSettings
from soundpost.training.schedules.schedule import Length

# What the words of the cases say, as settings.
STOPPING = {
    "fine-tuning": BestEpochSettings(patience=10, stop_from=35),
    "pre-training": BestEpochSettings(first=28),
    "second level": BestEpochSettings(patience=15),
}


@pytest.mark.parametrize(("place", "case"), training("qrfaction", "lrap"))
def test_lrap_of_qrfaction_is_the_published_one(place: TrainingSet, case: dict[str, Any]) -> None:
    """Overall and of every clip, ties and clips without labels included."""
    truth, scores = tables_of(case)
    assert case["expected"]["value"] == pytest.approx(lrap(truth, scores), abs=case["tolerance"]["abs"])
    if "rows" in case["expected"]:
        rows = precision_of_clips(truth, scores)
        assert case["expected"]["rows"] == pytest.approx(rows.tolist(), abs=case["tolerance"]["abs"])


def tables_of(case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Truth and scores; some rows of the truth without a label, some with all."""
    truth, scores = made(case["truth"]), made(case["scores"])
    for first, last, what in re.findall(r"rows (\d+)-(\d+) all (zero|one)", case["truth"].get("then", "")):
        truth[int(first) : int(last) + 1] = what == "one"
    return truth, scores


@pytest.mark.parametrize(("place", "case"), training("qrfaction", "loop"))
def test_loop_of_qrfaction_follows_the_published_series(place: TrainingSet, case: dict[str, Any]) -> None:
    """Rate of every epoch, epochs saved and kept, and where it ends."""
    weight = nn.Parameter(torch.zeros(1))
    adam = torch.optim.Adam([weight], lr=case["start_rate"])
    settings = MilestonesSettings(tuple(case["milestones"]), case["factor"])
    schedule = Milestones(adam, settings, Length(case["epochs_at_most"], 1))
    keeper, rates, saved = BestEpoch(STOPPING[case["stage"]]), [], []
    for epoch, score in enumerate(case["series"][: case["epochs_at_most"]]):
        rates.append(adam.param_groups[0]["lr"])
        if keeper.is_better(score):
            saved.append(epoch)
        adam.step()
        schedule.step()
        if keeper.is_over():
            break
    expected = case["expected"]
    assert expected["epochs_run"] == len(rates)
    assert expected["rate_of_epoch"] == pytest.approx(rates, rel=case["tolerance"]["rel"])
    assert (expected["saved_at"], expected["kept_epoch"]) == (saved, keeper.epoch)


@pytest.mark.parametrize(("place", "case"), training("qrfaction", "crop_or_pad"))
def test_crop_or_padding_of_qrfaction_is_the_published_one(place: TrainingSet, case: dict[str, Any]) -> None:
    """First samples and zeros as drawn; the last start is never drawn."""
    clips = [torch.from_numpy(made(source)) for source in case["inputs"]]
    inputs = nn.utils.rnn.pad_sequence(clips, batch_first=True)
    lengths = torch.tensor([len(clip) for clip in clips])
    batch = Batch(inputs, lengths, torch.zeros(len(clips), 1), torch.zeros(len(clips), dtype=torch.int64))
    part = Place(PlaceSettings(case["samples"]))
    offsets = torch.tensor([row["offset"] or 0 for row in case["rows"]])
    found = part.apply(batch, offsets).inputs
    assert_close(place.array(case["expected"]["batch"]), found, case["tolerance"]["abs"], "batch")
    drawn = torch.stack([part.draw(batch, torch.Generator().manual_seed(seed)) for seed in range(400)])
    for row, seen in zip(case["rows"], drawn.T, strict=True):
        low, high = row["range_half_open"] or [0, 1]
        assert low <= int(seen.min()) <= low + (high - low) // 20
        assert high - 1 - (high - low) // 20 <= int(seen.max()) < high


@pytest.mark.parametrize(("place", "case"), training("qrfaction", "mixing_epochs"))
def test_mixing_of_qrfaction_happens_before_the_first_milestone(place: TrainingSet, case: dict[str, Any]) -> None:
    """About as many batches as published, and whole ones."""
    table = {"name": "waveform", "share": 0.7}
    mixing = Mixing(MixSettings(case["probability"], "same_batch", True, case["milestones"][0], (table,)))
    expected, tried = case["expected"], case["batches_tried_per_epoch"]
    epochs = range(len(expected["mixed_of_50"]))
    assert expected["epochs_in_which_batches_are_mixed"] == [epoch for epoch in epochs if mixing.happens(epoch)]
    generator, p = torch.Generator().manual_seed(3), case["probability"]
    chosen = [mixing.choose(8, generator) for _ in range(20 * tried)]
    assert all(len(set(row.tolist())) == 1 for row in chosen)
    mixed = sum(int(row[0] == 0) for row in chosen)
    assert abs(mixed - p * len(chosen)) <= 4 * (len(chosen) * p * (1 - p)) ** 0.5
    for published in expected["mixed_of_50"][: case["milestones"][0]]:
        assert abs(published - p * tried) <= 4 * (tried * p * (1 - p)) ** 0.5


@pytest.mark.parametrize(("place", "case"), training("qrfaction", "norm_statistics"))
def test_norms_of_qrfaction_keep_the_published_statistics(place: TrainingSet, case: dict[str, Any]) -> None:
    """After every batch, after loading others, and what evaluation makes of them."""
    inputs = [torch.from_numpy(made(source)).movedim(-1, 1) for source in case["inputs"]]
    norm_class = nn.BatchNorm2d if inputs[0].dim() == 4 else nn.BatchNorm1d

    def norm() -> nn.Module:
        return norm_class(inputs[0].shape[1], eps=case["epsilon"], momentum=1 - case["momentum"])

    layer, seen = norm(), []
    statistics = RunningStatistics(layer, "keras")
    for number, batch in enumerate(inputs):
        with statistics.during(number):
            layer(batch)
        seen.append((layer.running_mean.clone(), layer.running_var.clone()))
    expected, tolerance = case["expected"], case["tolerance"]["abs"]
    for key, rows in zip(("mean_after", "variance_after"), zip(*seen, strict=True), strict=True):
        assert_close(place.array(expected[key]), torch.stack(rows), tolerance, key)
    loaded = norm()
    loaded.running_mean.fill_(9)
    loaded.running_var.fill_(25)
    with RunningStatistics(loaded, "keras").during(0):
        loaded(inputs[0])
    after = expected["after_loading_mean_9_variance_25_and_batch_1"]
    assert_close(after["mean"], loaded.running_mean, tolerance, "mean after loading")
    assert_close(after["variance"], loaded.running_var, tolerance, "variance after loading")
    shown = loaded.eval()(inputs[1]).movedim(1, -1).detach()
    assert_close(place.array(expected["then_batch_2_evaluated"]), shown, tolerance, "evaluated")


@pytest.mark.parametrize(("place", "case"), training("qrfaction", "initialisation"))
def test_initialisation_of_qrfaction_has_the_published_spread(place: TrainingSet, case: dict[str, Any]) -> None:
    """Limits, deviations, zero biases, orthonormal rows."""
    torch.manual_seed(0)
    gru = nn.GRU(12, 128)
    layers = [nn.Conv2d(3, 64, 3), nn.Conv2d(3, 32, 7), nn.Linear(1153, 80), gru, gru]
    for layer in layers:
        keras(layer)
    for row, layer in zip(case["rows"], layers, strict=True):
        is_recurrent = "orthonormal_rows" in row
        weight = getattr(
            layer, "weight_hh_l0" if is_recurrent else "weight_ih_l0", getattr(layer, "weight", None)
        ).detach()
        deviation = float(weight.std(unbiased=False))
        assert row["deviation"] == pytest.approx(deviation, rel=case["tolerance"]["deviation_rel"]), row["layer"]
        if is_recurrent:
            torch.testing.assert_close(weight.T @ weight, torch.eye(128), atol=1e-5, rtol=0)
        else:
            assert 0.99 * row["limit"] < float(weight.abs().max()) <= row["limit"] * (1 + 1e-6)
        if row.get("bias") == "zero":
            bias = layer.bias_hh_l0 if layer is gru else layer.bias
            assert not bias.any()


@pytest.mark.parametrize(("place", "case"), training("qrfaction", "folds", "fold_order"))
def test_folds_of_qrfaction_hold_out_the_published_rows(place: TrainingSet, case: dict[str, Any]) -> None:
    """Ten folds that are not shuffled, and the order in which training counted them."""
    truth, expected = made(case["labels"]), case["expected"]

    def rows(is_reversed: bool) -> list[list[int]]:
        rule = MultilabelStratified(MultilabelStratifiedSettings(10, 66666, False, is_reversed))
        folds = np.array(rule([""] * len(truth), truth, ()), dtype=int)
        return [np.flatnonzero(folds == fold).tolist() for fold in range(10)]

    if case["kind"] == "fold_order":
        assert expected["held_out_of_model_in_training"] == rows(True)
        assert expected["rows_that_out_of_fold_prediction_gives_to_model"] == rows(False)
        return
    found = np.empty(len(truth), int)
    for fold, held_out in enumerate(rows(False)):
        found[held_out] = fold
    assert_close(place.array(expected["fold_of_row"]), found, 0, "folds")
    assert expected["sizes"] == np.bincount(found).tolist()


@pytest.mark.parametrize(("place", "case"), golden("qrfaction", "loss"))
def test_loss_and_mixup_of_qrfaction_are_the_published_ones(place: GoldenSet, case: dict[str, Any]) -> None:
    """Mixed waveforms, smoothed and mixed labels, and their loss."""
    arrays, tolerance = place.arrays(case["npz"]), case["tolerance_abs"]
    order, partner = torch.tensor(case["order"]), torch.tensor(case["perm"])
    clips = [np.random.RandomState(14110 + i).standard_normal(50).astype(np.float32) for i in order]
    # Labels stand in the order of the clips, the batch in the order in which they were drawn.
    targets = smoothed(torch.from_numpy(arrays["mix.labels"]).float(), 0.01)[order]
    count = len(clips)
    lengths, none = torch.full((count,), 50), torch.zeros(count, dtype=torch.int64)
    batch = Batch(torch.from_numpy(np.stack(clips)), lengths, targets, none)
    mixer = Waveform(WaveformSettings(0.7))
    partners = batch.rows(partner)
    mixed = mixer.apply(batch, partners, mixer.draw(batch, partners, torch.Generator()))
    assert_close(arrays["mix.audio"].reshape(count, -1), mixed.inputs, tolerance["mix.audio"], "waveforms")
    assert_close(arrays["mix.y"], mixed.targets, tolerance["mix.y"], "labels")
    loss = Bce(BceSettings())(torch.from_numpy(arrays["mix.logits"]), mixed.targets)
    assert case["loss"] == pytest.approx(loss.item(), abs=tolerance["loss"])


@pytest.mark.parametrize("name", ["nadam", "nadam_keras"])
@pytest.mark.parametrize(("place", "case"), golden("qrfaction", "optimizer"))
def test_nadam_of_qrfaction_takes_the_published_steps(place: GoldenSet, case: dict[str, Any], name: str) -> None:
    """By the textbook, and as it was observed."""
    key = "nadam.textbook" if name == "nadam" else "nadam.observed"
    expected = place.arrays(case["npz"])[key]
    network = nn.Linear(5, 1, bias=False)
    network.weight.data = torch.from_numpy(value("toy.weight", (1, 5), case["salt"]))
    x, y = (
        torch.from_numpy(np.random.RandomState(seed).standard_normal(shape).astype(np.float32))
        for seed, shape in ((14120, (8, 5)), (14121, (8, 1)))
    )
    nadam = optimiser(OptimiserSettings(name, 5e-4, eps=1e-7, momentum_decay=4e-3), network)
    seen = [network.weight.detach().clone()]
    for _ in range(len(expected) - 1):
        nadam.zero_grad()
        ((network(x) - y) ** 2).mean().backward()
        nadam.step()
        seen.append(network.weight.detach().clone())
    found = torch.stack(seen).reshape(expected.shape)
    assert_close(expected, found, case["tolerance_abs"][key], key)
