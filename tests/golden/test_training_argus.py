"""argus as trained: transforms for given draws, mixers, samplers, losses, optimiser."""

from typing import Any

import numpy as np
import pytest
import torch
from cases import GoldenSet, argus_input, assert_close, golden
from training_cases import TrainingSet, made, stored, training

from soundpost.functional.deltas import with_derivatives
from soundpost.training.augmentations.crop import Crop, CropSettings
from soundpost.training.augmentations.pad import Pad, PadSettings, padded_columns
from soundpost.training.augmentations.resized_crop import ResizedCrop, ResizedCropSettings, size_of, stretched
from soundpost.training.augmentations.spec_augment import SpecAugment, SpecAugmentSettings
from soundpost.training.batch import Batch
from soundpost.training.losses.binary import Bce, BceSettings
from soundpost.training.losses.loss import of_sources
from soundpost.training.losses.noise_robust import Lq, LqSettings, SoftBootstrap, SoftBootstrapSettings
from soundpost.training.losses.outliers import BceWithoutOutliers, BceWithoutOutliersSettings
from soundpost.training.mixers.add import Add, AddSettings
from soundpost.training.mixers.sigmoid_concat import SigmoidConcat, SigmoidConcatSettings, sigmoid_mask
from soundpost.training.mixing import Mixing, MixSettings
from soundpost.training.optimisers import OptimiserSettings, optimiser
from soundpost.training.samplers.by_source import BySource, BySourceSettings


def batch_of(pictures: np.ndarray, targets: np.ndarray | None = None) -> Batch:
    """Pictures (batch, channels, bins, frames) of one source."""
    truth = np.zeros((len(pictures), 1), np.float32) if targets is None else targets
    lengths = torch.full((len(pictures),), pictures.shape[-1])
    inputs = torch.from_numpy(pictures)
    return Batch(inputs, lengths, torch.from_numpy(truth), torch.zeros(len(pictures), dtype=torch.int64))


def assert_picture(place: TrainingSet, expected: dict[str, Any], picture: np.ndarray, atol: float) -> None:
    """Slice, means of rows and means of columns."""
    name = "picture" if "picture" in expected else "tensor"
    assert_close(place.array(expected[name]), stored(expected[name], picture), atol, name)
    for key, axis in (("row_mean", -1), ("column_mean", -2)):
        assert_close(place.array(expected[key]), picture.mean(axis, dtype=np.float64), max(atol, 1e-5), key)


@pytest.mark.parametrize(("place", "case"), training("argus", "pad"))
def test_pad_of_argus_shows_the_published_columns(place: TrainingSet, case: dict[str, Any]) -> None:
    """Which column of the clip each column of the result holds, and what fills the others."""
    picture, expected = made(case["input"]), case["expected"]
    width, is_wrapped = picture.shape[1], torch.tensor([case["way"] == "wrap"])
    columns = padded_columns(torch.tensor([width]), case["frames"], is_wrapped)[0]
    assert_close(place.array(expected["source_column"]), columns.numpy(), 0, "columns")
    part = Pad(PadSettings(case["frames"], {case["way"]: 1.0}))
    batch = batch_of(picture[None, None])
    padded = part.apply(batch, part.draw(batch, torch.Generator())).inputs
    assert padded.shape[-1] == expected["width"]
    assert float(padded.double().sum()) == expected["sum"]


@pytest.mark.parametrize(("place", "case"), training("argus", "crop"))
def test_crop_of_argus_draws_and_shows_the_published_columns(place: TrainingSet, case: dict[str, Any]) -> None:
    """Every start from the first to the last can be drawn."""
    width = case["input"]["width"]
    part = Crop(CropSettings(case["frames"]))
    batch = batch_of(np.broadcast_to(np.arange(width, dtype=np.float32), (400, 1, 1, width)).copy())
    low, high = case["draws"]["start"]["uniform_integers"]
    drawn = part.draw(batch, torch.Generator().manual_seed(0))
    assert low <= int(drawn.min()) <= low + (high - low) // 20
    assert high - (high - low) // 20 <= int(drawn.max()) <= high
    for start, first, last in case["expected"]["start_first_last_column"]:
        shown = part.apply(batch, torch.full((400,), start)).inputs[0, 0, 0]
        assert (first, last) == (int(shown[0]), int(shown[-1]))
        assert len(shown) == case["frames"]


@pytest.mark.parametrize(("place", "case"), training("argus", "resized_crop_box"))
def test_resized_crop_of_argus_finds_the_published_boxes(place: TrainingSet, case: dict[str, Any]) -> None:
    """The first try that fits, or the whole; corners lie within the published ranges."""
    height, width = case["image"]["height"], case["image"]["width"]
    for row in case["rows"]:
        tries = [(one["area_share"], one["log_ratio"]) for one in row["tries"]]
        found = size_of(tries, tuple(case["ratio"]), height, width)
        assert (row["box"]["height"], row["box"]["width"]) == found
        for name, room in (("top_range", height - found[0]), ("left_range", width - found[1])):
            assert row.get(name) in (None, [0, room])
    part = ResizedCrop(ResizedCropSettings(1.0, tuple(case["area"]), tuple(case["ratio"])))
    drawn = part.draw(batch_of(np.zeros((500, 1, height, width), np.float32)), torch.Generator().manual_seed(1))
    shares = drawn[:, 2] * drawn[:, 3] / (height * width)
    assert shares.min() > case["area"][0] - 0.01
    assert (drawn[:, 0] + drawn[:, 2]).max() <= height
    assert (drawn[:, 1] + drawn[:, 3]).max() <= width


@pytest.mark.parametrize(("place", "case"), training("argus", "resized_crop"))
def test_resized_crop_of_argus_reads_the_published_picture(place: TrainingSet, case: dict[str, Any]) -> None:
    """Bilinear, half-pixel centres, edges repeated."""
    box = torch.tensor([[case["box"][key] for key in ("top", "left", "height", "width")]])
    picture = stretched(torch.from_numpy(made(case["input"]))[None, None], box)[0, 0].numpy()
    assert list(picture.shape) == case["to"]
    assert_picture(place, case["expected"], picture, case["tolerance"]["abs"])


def spans_of(rounds: list[dict[str, Any]]) -> torch.Tensor:
    """One clip's masks, (1, rounds, 2, 2)."""
    return torch.tensor([[[one["rows"], one["columns"]] for one in rounds]])


@pytest.mark.parametrize(("place", "case"), training("argus", "spec_augment"))
def test_spec_augment_of_argus_hides_the_published_cells(place: TrainingSet, case: dict[str, Any]) -> None:
    """One or two bands and stretches under the picture's smallest value."""
    picture = made(case["input"])
    assert case["fill"] == pytest.approx(float(picture.min()), abs=1e-6)
    part = SpecAugment(SpecAugmentSettings())
    seen = part.apply(batch_of(picture[None, None]), spans_of(case["rounds"])).inputs[0, 0].numpy()
    assert_picture(place, case["expected"], seen, case["tolerance"]["abs"])
    for one in case["rounds"]:
        for share, start, key, size in (
            ("band_share", "band_start", "rows", 0),
            ("stretch_share", "stretch_start", "columns", 1),
        ):
            width = int(one[share] * picture.shape[size])
            assert one[key] == [int(one[start]), int(one[start]) + width]


@pytest.mark.parametrize(("place", "case"), training("argus", "train_chain"))
def test_training_chain_of_argus_makes_the_published_tensor(place: TrainingSet, case: dict[str, Any]) -> None:
    """Pad, crop, resized crop, masks, derivatives, division."""
    batch = batch_of(made(case["input"])[None, None])
    for step in case["steps"]:
        if "pad" in step:
            pad = Pad(PadSettings(ways={step["pad"]: 1.0}))
            batch = pad.apply(batch, pad.draw(batch, torch.Generator()))
        if "crop" in step:
            batch = Crop(CropSettings(256)).apply(batch, torch.tensor([step["crop"]]))
        if "resized_crop" in step:
            box = step["resized_crop"]["box"]
            drawn = torch.tensor([[box[key] for key in ("top", "left", "height", "width")]])
            batch = ResizedCrop(ResizedCropSettings()).apply(batch, drawn)
        if "spec_augment" in step:
            batch = SpecAugment(SpecAugmentSettings()).apply(batch, spans_of(step["spec_augment"]))
    tensor = (with_derivatives(batch.inputs) / 100)[0].numpy()
    assert_picture(place, case["expected"], tensor, case["tolerance"]["abs"])


def labelled(case: dict[str, Any], who: str) -> Batch:
    """One clip of a mixer's case."""
    targets = np.zeros((1, case["labels"]["classes"]), np.float32)
    targets[0, case["labels"][who]] = 1
    return batch_of(made(case[who])[None], targets)


def assert_mixed(place: TrainingSet, case: dict[str, Any], mixed: Batch) -> None:
    """Picture and labels."""
    expected, tolerance = case["expected"], case["tolerance"]["abs"]
    picture = mixed.inputs[0].numpy()
    assert_close(place.array(expected["picture"]), stored(expected["picture"], picture), tolerance, "picture")
    assert expected["sum"] == pytest.approx(float(picture.sum(dtype=np.float64)), abs=1e-2)
    found = {str(label): float(mixed.targets[0, label]) for label in torch.nonzero(mixed.targets[0])[:, 0].tolist()}
    assert expected["labels"] == pytest.approx(found, abs=tolerance)


@pytest.mark.parametrize(("place", "case"), training("argus", "add_mixer"))
def test_add_mixer_of_argus_is_the_published_one(place: TrainingSet, case: dict[str, Any]) -> None:
    """The partner's share of picture and labels."""
    mixer = Add(AddSettings())
    assert_mixed(
        place, case, mixer.apply(labelled(case, "own"), labelled(case, "partner"), torch.tensor([case["share"]]))
    )


@pytest.mark.parametrize(("place", "case"), training("argus", "sigmoid_concat_mixer"))
def test_sigmoid_concat_mixer_of_argus_is_the_published_one(place: TrainingSet, case: dict[str, Any]) -> None:
    """The partner first, labels united."""
    mixer = SigmoidConcat(SigmoidConcatSettings())
    drawn = torch.tensor([case["radius"]])
    assert_mixed(place, case, mixer.apply(labelled(case, "own"), labelled(case, "partner"), drawn))


@pytest.mark.parametrize(("place", "case"), golden("argus", "mixer"))
def test_sigmoid_mask_of_argus_is_the_published_one(place: GoldenSet, case: dict[str, Any]) -> None:
    """Every radius of the case."""
    expected = place.arrays(case["file"])[case["expected"]["mask"]["key"]]
    actual = sigmoid_mask(torch.tensor(case["radius"]), case["width"])
    assert_close(expected.reshape(actual.shape), actual, case["atol"], "mask")


@pytest.mark.parametrize(("place", "case"), training("argus", "frequencies"))
def test_draws_of_argus_are_as_frequent_as_published(place: TrainingSet, case: dict[str, Any]) -> None:
    """Within four standard deviations: which mixer, or which set and every clip of it."""
    n, odds, generator = case["draws_made"], case["probabilities"], torch.Generator().manual_seed(5)
    if "sources" not in case:
        names = {"SigmoidConcatMixer": "sigmoid_concat", "AddMixer": "add"}
        probability = 1 - odds["none"]
        several = tuple({"name": names[key], "weight": odds[key] / probability} for key in names)
        chosen = Mixing(MixSettings(probability=probability, one_of=several)).choose(n, generator)
        counts = {"none": int((chosen < 0).sum())} | {key: int((chosen == i).sum()) for i, key in enumerate(names)}
    else:
        sources = [name for name, size in zip(case["sources"], case["sizes"], strict=True) for _ in range(size)]
        rows = BySource(BySourceSettings(n, odds))(sources, torch.zeros(len(sources), 1), generator)
        assert len(rows) == n
        seen = np.bincount(rows.numpy(), minlength=len(sources))
        names_of_rows = np.array(sources)
        counts = {name: int(seen[names_of_rows == name].sum()) for name in odds}
        for name, (least, most) in case["clips"]["least_and_most_often"].items():
            mine, margin = seen[names_of_rows == name], (most - least) / 2
            assert least - margin <= mine.min() <= mine.max() <= most + margin
    for name, p in odds.items():
        assert abs(counts[name] - n * p) <= 4 * (n * p * (1 - p)) ** 0.5, name


@pytest.mark.parametrize(("place", "case"), training("argus", "loss"))
def test_loss_of_argus_has_the_published_value_and_gradient(place: TrainingSet, case: dict[str, Any]) -> None:
    """Parts of noisy and curated clips, weighed by their share of the batch."""
    logits = torch.from_numpy(made(case["logits"])).requires_grad_()
    targets, noisy = torch.from_numpy(made(case["labels"])), torch.tensor(case["noisy"])
    settings = case["settings"]
    if "alpha" in settings:
        loss = BceWithoutOutliers(BceWithoutOutliersSettings(settings["alpha"]))(logits, targets, noisy > 0)
    else:
        part = (
            Lq(LqSettings(settings["q"])) if "q" in settings else SoftBootstrap(SoftBootstrapSettings(settings["beta"]))
        )
        weights = {0: settings["curated_weight"], 1: settings["noisy_weight"]}
        loss = of_sources(logits, targets, noisy, {0: Bce(BceSettings()), 1: part}, weights)
    loss.backward()
    assert case["expected"]["value"] == pytest.approx(loss.item(), abs=case["tolerance"]["abs"])
    assert_close(place.array(case["expected"]["gradient"]), logits.grad, case["tolerance"]["abs"], "gradient")


@pytest.mark.parametrize(("place", "case"), golden("argus", "loss"))
def test_auxiliary_losses_of_argus_have_the_published_gradients(place: GoldenSet, case: dict[str, Any]) -> None:
    """Every head by itself, and their weighted sum."""
    given, params = case["inputs"], case["params"]

    def source(entry: dict[str, Any]) -> np.ndarray:
        options = {key: entry[key] for key in ("p",) if key in entry}
        array = argus_input(entry["rule"], entry["name"], tuple(entry["shape"]), entry["salt"], **options)
        return array * np.float32(entry.get("scale", 1.0))

    heads = [torch.from_numpy(source(entry)).requires_grad_() for entry in given["logits"]]
    targets, noisy = torch.from_numpy(source(given["target"])), torch.from_numpy(source(given["noisy"])).long()
    assert case["noisy_rows"] == int(noisy.sum())
    soft = SoftBootstrap(SoftBootstrapSettings(params["beta"]))
    weights = {0: params["curated_weight"], 1: params["noisy_weight"]}
    losses = [of_sources(head, targets, noisy, {0: Bce(BceSettings()), 1: soft}, weights) for head in heads]
    assert case["expected_per_head"] == pytest.approx([loss.item() for loss in losses], abs=case["atol"])
    total = sum(weight * loss for weight, loss in zip(params["aux_weights"], losses, strict=True))
    total.backward()
    assert case["expected_total"] == pytest.approx(total.item(), abs=case["atol"])
    expected = place.arrays(case["file"])[case["expected"]["gradient_of_total_wrt_each_logits"]["key"]]
    assert_close(expected, torch.stack([head.grad for head in heads]), case["atol"], "gradients")
    assert case["lsoft_all_rows_as_noisy"] == pytest.approx(soft(heads[0], targets).item(), abs=case["atol"])


@pytest.mark.parametrize(("place", "case"), training("argus", "optimiser"))
def test_optimiser_of_argus_takes_the_published_steps(place: TrainingSet, case: dict[str, Any]) -> None:
    """Six steps of Adam on eight rows."""
    network = torch.nn.Linear(case["w"]["shape"][1], 1, bias=False)
    network.weight.data = torch.from_numpy(made(case["w"]))
    x, y, settings = torch.from_numpy(made(case["x"])), torch.from_numpy(made(case["y"])), case["settings"]
    chosen = OptimiserSettings("adam", settings["rate"], betas=tuple(settings["betas"]), decay=settings["decay"])
    adam = optimiser(chosen, network)
    seen = [network.weight.detach().clone()]
    for _ in range(len(place.array(case["expected"]["weights"])) - 1):
        adam.zero_grad()
        ((network(x) - y) ** 2).mean().backward()
        adam.step()
        seen.append(network.weight.detach().clone())
    assert_close(place.array(case["expected"]["weights"]), torch.stack(seen), case["tolerance"]["abs"], "weights")
