"""What a batch is made of: segments cut at random, where effects stand, what a partner goes through."""

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from soundpost.errors import SettingsError
from soundpost.importers.recipe_files import template
from soundpost.training.batch import Batch
from soundpost.training.clips import VALIDATED, Clips
from soundpost.training.inputs.chain import ChainMaterial, placed
from soundpost.training.inputs.material import Heard, Shared
from soundpost.training.inputs.segments import Segments, SegmentsSettings
from soundpost.training.plan import Plan, plan_of
from soundpost.training.samplers.sampler import cut

RATE = 44100  # Hz


def shared_of(folder: Path, plan: Plan, sounds: list[np.ndarray]) -> Shared:
    """Waveforms as clips of one set, each of a class of its own."""
    paths = []
    for number, sound in enumerate(sounds):
        paths.append(folder / f"{number}.wav")
        soundfile.write(paths[-1], sound, RATE, subtype="FLOAT")
    count = len(sounds)
    truth = np.eye(count, dtype=np.float32)
    labels = tuple(map(str, range(count)))
    names = tuple(path.name for path in paths)
    clips = Clips(
        tuple(paths), ("",) * count, (VALIDATED,) * count, labels, truth, ("",) * count, {VALIDATED: "all"}, names
    )
    return Shared(plan, clips, torch.device("cpu"), folder / "features")


def segments_plan(**stage: object) -> Plan:
    """qrfaction's input."""
    augment = [{"name": "place", "frames": 220500}]
    table = {"template": "qrfaction", "input": {"name": "segments"}, "augment": augment, "stages": [stage]}
    return plan_of(table, "plan")


def heard(shared: Shared) -> Heard:
    """All clips."""
    return Heard(tuple(range(len(shared.clips.paths))), shared.clips.truth, shared.clips.sources)


def test_segments_of_clips_of_their_length_are_those_of_prediction(tmp_path: Path) -> None:
    """Five seconds leave no choice: what training shows is the front end's own segment, statistics and length."""
    random = np.random.default_rng(0)
    plan = segments_plan(batch=2)
    shared = shared_of(tmp_path, plan, [0.3 * random.standard_normal(220500) for _ in range(2)])
    material = Segments(SegmentsSettings(), shared).material(heard(shared), plan.stage(0))
    batch = material.batch(torch.tensor([1, 0]), 0, torch.Generator().manual_seed(0))
    view = shared.view
    for row, clip in enumerate([1, 0]):
        whole = torch.from_numpy(np.array(shared.spectrograms[clip]))
        shown = view.cut(whole, view.windows(whole.shape[-1])[0])
        torch.testing.assert_close(batch.inputs[row], shown, atol=1e-5, rtol=1e-5)
    assert batch.inputs.shape == (2, 1, 64, 431 + 25)


def test_segments_begin_anywhere_and_short_clips_lie_anywhere_among_zeros(tmp_path: Path) -> None:
    """The one click of a long clip is seen at many places, that of a short one too."""
    long, short = 1e-2 * np.random.default_rng(1).standard_normal((2, 400000))
    long[200000:200400] = 0.9
    short = short[:60000]
    short[30000:30400] = 0.9
    plan = segments_plan(batch=2)
    shared = shared_of(tmp_path, plan, [long, short])
    material = Segments(SegmentsSettings(), shared).material(heard(shared), plan.stage(0))
    places: list[list[int]] = [[], []]
    for draw in range(12):
        batch = material.batch(torch.tensor([0, 1]), 0, torch.Generator().manual_seed(draw))
        for row in range(2):
            places[row].append(int(batch.inputs[row, 0, :, :431].mean(0).argmax()))
    assert all(len(set(found)) > 8 for found in places), places


def test_segments_are_mixed_as_waveforms_while_statistics_and_length_stay(tmp_path: Path) -> None:
    """Whole batches, 0.7 to 0.3, before the first milestone alone."""
    random = np.random.default_rng(2)
    mix = {"whole_batches": True, "off_from": 1, "one_of": [{"name": "waveform", "share": 0.7}]}
    plan = segments_plan(batch=2, mix=mix)
    shared = shared_of(tmp_path, plan, [0.3 * random.standard_normal(220500) for _ in range(2)])
    material = Segments(SegmentsSettings(), shared).material(heard(shared), plan.stage(0))
    bare = material.batch(torch.tensor([0, 1]), 1, torch.Generator().manual_seed(0))
    assert bare.targets.tolist() == [[1, 0], [0, 1]]
    mixed = next(
        batch
        for seed in range(20)
        if (batch := material.batch(torch.tensor([0, 1]), 0, torch.Generator().manual_seed(seed))).targets[0, 0] < 1
    )
    torch.testing.assert_close(mixed.targets, torch.tensor([[0.7, 0.3], [0.3, 0.7]]))
    torch.testing.assert_close(mixed.inputs[..., -25:], bare.inputs[..., -25:])
    assert (mixed.inputs - bare.inputs)[..., :431].abs().mean() > 0.1


def test_segments_need_their_front_end(tmp_path: Path) -> None:
    """Another one is named."""
    plan = replace(segments_plan(), front_end=template("argus")["front_end"])
    with pytest.raises(SettingsError, match=r"\[input\] segments: the front end is log_mel"):
        Segments(SegmentsSettings(), shared_of(tmp_path, plan, [np.zeros(100)]))


def test_augmentation_after_mixing_hears_what_is_mixed_and_partners_skip_what_is_not_theirs() -> None:
    """As ex4sperans had it: slices for the clip alone, effects for the mixture."""
    seen: list[tuple[str, int, float]] = []

    class Noted:
        """An augmentation that says what it was given, and adds."""

        def __init__(self, name: str, added: float) -> None:
            self.name, self.added = name, added

        def draw(self, batch: Batch, generator: torch.Generator) -> None:
            """Nothing."""

        def apply(self, batch: Batch, drawn: None) -> Batch:
            """Every value is greater by so much."""
            seen.append((self.name, len(batch), float(batch.inputs.max())))
            return batch.with_inputs(batch.inputs + self.added)

    mix = {"partner": "anyone", "one_of": [{"name": "waveform", "share": 0.5}]}
    plan = plan_of({"stages": [{"mix": mix, "batch": 2}]}, "plan")
    clips = Heard((0, 1), np.eye(2, dtype=np.float32), (VALIDATED,) * 2)
    shared = Shared(plan, None, torch.device("cpu"), Path())  # type: ignore[arg-type]
    material = ChainMaterial(clips, plan.stage(0), shared, lambda row: torch.zeros(4))
    crop = replace(placed({"name": "crop", "frames": 9}), by_clip=False)
    material.augmentations = [
        replace(crop, part=Noted("crop", 1.0)),
        replace(crop, part=Noted("slices", 2.0), partners=False),
        replace(crop, part=Noted("effects", 4.0), after_mixing=True),
    ]
    material.after = material.augmentations[2:]
    batch = material.batch(torch.tensor([0, 1]), 0, torch.Generator().manual_seed(0))
    assert seen == [("crop", 2, 0.0), ("slices", 2, 1.0), ("crop", 2, 0.0), ("effects", 2, 2.0)]
    assert batch.inputs.max() == 6.0


@pytest.mark.parametrize("name", ["1d_augmented", "2d_augmented", "1d_noisy", "2d_noisy"])
def test_published_order_of_ex4sperans_stands_in_every_stage(name: str) -> None:
    """Crop, slices without partners, then, behind mixing, effects."""
    root = Path(__file__).resolve().parents[2] / "src" / "soundpost" / "training" / "recipes" / "ex4sperans"
    plan = plan_of(tomllib.loads((root / f"{name}.toml").read_text("utf-8")), name)
    for number in range(len(plan.stages)):
        found = [placed(table) for table in plan.stage(number).augment or ()]
        assert [(one.after_mixing, one.partners) for one in found] == [(False, True), (False, False), (True, True)]


@pytest.mark.parametrize(
    ("count", "size", "drops_last", "sizes"),
    [
        (9, 4, False, [4, 5]),
        (10, 4, False, [4, 4, 2]),
        (9, 4, True, [4, 4]),
        (5, 4, False, [5]),
        (1, 4, False, [1]),
        (3, 1, False, [1, 1, 1]),
    ],
)
def test_single_clip_that_is_left_of_an_epoch_joins_the_batch_before_it(
    count: int, size: int, drops_last: bool, sizes: list[int]
) -> None:
    """Nobody is lost and nobody shown twice, unless the last batch is dropped."""
    order = torch.randperm(count)
    batches = cut(order, size, drops_last)
    assert [len(batch) for batch in batches] == sizes
    assert torch.equal(torch.cat(batches), order[: sum(sizes)])
