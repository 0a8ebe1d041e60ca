"""ERC2019, Bouteillon's SpecMix and the seventh place as trained: mixing, boxes, crops by strength."""

from typing import Any

import numpy as np
import pytest
import torch
from cases import GoldenSet, assert_close, golden_sets
from training_cases import TrainingSet, made, stored, training

from soundpost.training.augmentations.adaptive_crop import AdaptiveCrop, AdaptiveCropSettings, start_of_draw
from soundpost.training.augmentations.erase import Erase, EraseSettings
from soundpost.training.augmentations.resized_crop import stretched
from soundpost.training.batch import Batch
from soundpost.training.losses.cross_entropy import CrossEntropy, CrossEntropySettings
from soundpost.training.mixers.blend import Blend, BlendSettings
from soundpost.training.mixers.cut_mix import CutMix, CutMixDraw, CutMixSettings, box_of
from soundpost.training.mixers.mixup_batch import MixupBatch, MixupBatchSettings
from soundpost.training.mixers.spec_mix import SpecMix, SpecMixDraw, SpecMixSettings
from soundpost.training.schedules.by_epoch import CosineWave, CosineWaveSettings
from soundpost.training.schedules.schedule import Length


def batch_of(inputs: np.ndarray, targets: np.ndarray) -> Batch:
    count = len(inputs)
    lengths, none = torch.full((count,), inputs.shape[-1]), torch.zeros(count, dtype=torch.int64)
    return Batch(torch.from_numpy(inputs), lengths, torch.from_numpy(targets), none)


def of_labels(case: dict[str, Any]) -> Batch:
    labels = made(case["labels"])
    classes = case["logits_for_loss"]["shape"][1]
    return batch_of(made(case["input"]), np.eye(classes, dtype=np.float32)[labels])


def assert_mixed(place: TrainingSet, case: dict[str, Any], mixed: Batch, share: float) -> None:
    """Input, the partners' labels, and the loss that the published program sums from two."""
    expected, tolerance = case["expected"], case["tolerance"]["abs"]
    assert_close(place.array(expected["input"]), mixed.inputs, tolerance, "input")
    labels = made(case["labels"])
    assert expected["partner_labels"] == labels[case["draws"]["permutation"]].tolist()
    assert expected["share_of_own"] == pytest.approx(share)
    logits = torch.from_numpy(made(case["logits_for_loss"]))
    loss = CrossEntropy(CrossEntropySettings())(logits, mixed.targets)
    assert expected["loss"] == pytest.approx(loss.item(), abs=tolerance)


@pytest.mark.parametrize(("place", "case"), training("erc2019", "mixup_batch"))
def test_mixup_of_erc2019_is_the_published_one(place: TrainingSet, case: dict[str, Any]) -> None:
    """One share for the batch, on either side of a half."""
    own, share = of_labels(case), case["draws"]["share"]
    partner = own.rows(torch.tensor(case["draws"]["permutation"]))
    mixer = MixupBatch(MixupBatchSettings(case["alpha"]))
    assert_mixed(place, case, mixer.apply(own, partner, torch.tensor([share]).expand(len(own))), share)
    assert len(mixer.draw(own, partner, torch.Generator()).unique()) == 1


@pytest.mark.parametrize(("place", "case"), training("erc2019", "cutmix"))
def test_cutmix_of_erc2019_is_the_published_one(place: TrainingSet, case: dict[str, Any]) -> None:
    """The box, cut at the borders, and the share counted again."""
    own, draws = of_labels(case), case["draws"]
    partner = own.rows(torch.tensor(draws["permutation"]))
    drawn = CutMixDraw(draws["share"], (draws["centre_mel"], draws["centre_time"]))
    (top, bottom), (left, right) = box_of(drawn, own.inputs.shape[-2:])
    found = {"mel": [top, bottom], "time": [left, right]}
    assert case["box"] == found
    cells = own.inputs.shape[-2] * own.inputs.shape[-1]
    share = 1 - (bottom - top) * (right - left) / cells
    assert_mixed(place, case, CutMix(CutMixSettings(case["alpha"])).apply(own, partner, drawn), share)


@pytest.mark.parametrize(("place", "case"), training("erc2019", "specmix"))
def test_specmix_of_bouteillon_is_the_published_one(place: TrainingSet, case: dict[str, Any]) -> None:
    """Band and stretch from the same other clip, target by the drawn shares."""
    own = batch_of(made(case["input"]), made(case["labels"]))
    rows, expected = case["draws"]["rows"], case["expected"]
    partner = own.rows(torch.tensor(case["draws"]["permutation"]))
    shares = torch.tensor([[row["band_share"], row["stretch_share"]] for row in rows], dtype=torch.float64)
    drawn = SpecMixDraw(shares, torch.tensor([[row["mel"], row["time"]] for row in rows]))
    mixer = SpecMix(SpecMixSettings())
    mixed, tolerance = mixer.apply(own, partner, drawn), case["tolerance"]["abs"]
    assert_close(place.array(expected["input"]), stored(expected["input"], mixed.inputs.numpy()), tolerance, "input")
    assert expected["sum"] == pytest.approx(float(mixed.inputs.double().sum()), abs=1e-3)
    assert_close(place.array(expected["target"]), mixed.targets, tolerance, "target")
    for row in rows:
        for share, start, key, size in (
            ("band_share", "band_start", "mel", own.inputs.shape[-2]),
            ("stretch_share", "stretch_start", "time", own.inputs.shape[-1]),
        ):
            assert row[key] == [int(row[start]), int(row[start]) + int(row[share] * size)]
    seen = mixer.draw(own, partner, torch.Generator().manual_seed(0))
    assert 0 <= seen.shares.min() <= seen.shares.max() < 0.25


def as_bytes(source: dict[str, Any]) -> np.ndarray:
    """A picture of whole numbers from 0 to 255."""
    return np.clip((made(source) + 80) * 2, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("place", "case"), training("erc2019", "blend"))
def test_blend_of_the_seventh_place_is_the_published_one(place: TrainingSet, case: dict[str, Any]) -> None:
    """Bytes cut, not rounded; targets to the last digit."""
    pictures, truth = [as_bytes(source) for source in case["pictures"]], np.array(case["targets"])
    rows, size = case["draws"]["rows"], place.array(case["expected"]["pictures"]).shape[-1]

    def side(which: str) -> Batch:
        cut = [pictures[r[which]][:, r[f"crop_of_{which}"] : r[f"crop_of_{which}"] + size] for r in rows]
        return batch_of(np.stack(cut)[:, None].astype(np.float32), truth[[row[which] for row in rows]])

    drawn = torch.full((len(rows),), case["share"], dtype=torch.float64)
    mixed = Blend(BlendSettings()).apply(side("first"), side("second"), drawn)
    found = mixed.inputs[:, 0].numpy()
    assert_close(place.array(case["expected"]["pictures"]), found, case["tolerance"]["abs"], "pictures")
    assert_close(case["expected"]["targets"], mixed.targets, case["tolerance"]["targets_abs"], "targets")


@pytest.mark.parametrize(("place", "case"), training("erc2019", "strength_crop"))
def test_strength_crop_of_the_seventh_place_is_the_published_one(place: TrainingSet, case: dict[str, Any]) -> None:
    """What each number of its loop means, and how often each start is drawn."""
    picture = as_bytes(case["picture"]).astype(np.float32)
    column = int(case["made"].split("columns from ")[1].split(" ")[0])
    picture[:, column:] = picture[:, column:] // 3
    sums = torch.tensor(case["sums"])
    for row in case["rows"]:
        starts = [start_of_draw(number, sums) for number in row["drawn"]]
        assert starts == [None] * (len(starts) - 1) + [row["crop"]]
    assert case["height"] == int(sums.max() - sums.min())
    part = AdaptiveCrop(AdaptiveCropSettings())
    n = 400
    batch = batch_of(np.broadcast_to(picture, (n, 1, *picture.shape)).copy(), np.zeros((n, 1), np.float32))
    drawn = torch.cat([part.draw(batch, torch.Generator().manual_seed(seed)) for seed in range(5)])
    seen = torch.bincount(drawn, minlength=len(sums)).double()
    odds = torch.tensor(case["odds"], dtype=torch.float64)
    total = len(drawn)
    assert ((seen - total * odds).abs() <= 4 * (total * odds * (1 - odds)).sqrt() + 1).all()
    assert part.apply(batch, drawn[:n]).inputs.shape[-1] == 128


@pytest.mark.parametrize(("place", "case"), training("erc2019", "resized_crop_bytes"))
def test_resized_crop_of_the_seventh_place_is_the_published_one(place: TrainingSet, case: dict[str, Any]) -> None:
    """Bytes, up to one."""
    picture = torch.from_numpy(as_bytes(case["picture"]).astype(np.float32))
    box = torch.tensor([[case["box"][key] for key in ("top", "left", "height", "width")]])
    seen = stretched(picture[None, None], box)[0, 0].round().numpy()
    assert list(seen.shape) == case["to"]
    expected = case["expected"]["picture"]
    assert_close(place.array(expected), seen[::2, ::2], case["tolerance"]["abs"], "picture")


@pytest.mark.parametrize(("place", "case"), training("erc2019", "erase"))
def test_erasing_of_the_seventh_place_is_exact(place: TrainingSet, case: dict[str, Any]) -> None:
    """A given box."""
    picture = made(case["input"])
    part = Erase(EraseSettings(value=case["value"]))
    box = torch.tensor([[case["box"][key] for key in ("top", "left", "height", "width")]])
    batch = batch_of(picture[None], np.zeros((1, 1), np.float32))
    seen = part.apply(batch, box).inputs[0]
    assert_close(place.array(case["expected"]["input"]), seen, case["tolerance"]["abs"], "input")
    boxes = part.draw(batch_of(np.zeros((50, 1, 20, 24), np.float32), np.zeros((50, 1), np.float32)), torch.Generator())
    assert (boxes[:, 0] + boxes[:, 2]).max() <= 20


@pytest.mark.parametrize("place", golden_sets("erc2019"), ids=lambda place: place.folder.name)
def test_cosine_wave_of_erc2019_is_the_published_one(place: GoldenSet) -> None:
    """One rate for each of the 71 epochs."""
    given = place.table["learning_rates"]
    adam = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=given["base"])
    schedule = CosineWave(adam, CosineWaveSettings(given["eta_min"], given["t_max"]), Length(given["epochs"], 1))
    rates = []
    for _ in range(given["epochs"]):
        rates.append(adam.param_groups[0]["lr"])
        adam.step()
        schedule.step()
    assert given["per_epoch"] == pytest.approx(rates, abs=place.table["tolerance"]["learning_rate"])
