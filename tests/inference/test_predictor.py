"""A clip's answer depends on the clip alone; what a device cannot do costs batches, precision or a member, no clip."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import LABELS, compact_arrays
from fakes_by_name import FAKE_MODELS
from torch import Tensor, nn

from soundpost.contest.submission import check, read_sample
from soundpost.engine import run as run_module
from soundpost.engine.provision import provisioned
from soundpost.ensemble.recipes import Member, Named, Recipe
from soundpost.ensemble.weights_folder import find_assets
from soundpost.errors import WeightsError
from soundpost.inference.autotune import HALF_BOUND, REPEATS
from soundpost.inference.fuse_batch_norm import BOUND, fold_batch_norms
from soundpost.inference.out_of_memory import answer
from soundpost.inference.predictor import Predictor, build, stack
from soundpost.inference.profiling import probe
from soundpost.models import MODELS
from soundpost.settings import RunSettings
from soundpost.views.tiles import Tiles, TilesSettings
from soundpost.views.view import View
from soundpost.views.whole import Whole, WholeSettings

# Of a probability. Another batch size lets the kernels add in another order and choose other instructions: float32
# rounds at 2^-24 = 6e-8, and ten layers pass it on. A batch mate that mattered would move answers by 1e-3 and more.
SAME_ANSWER = 2e-6

SETTINGS = {"bins": 16, "widths": (4, 6), "strides": (2, 2)}
WHOLE = Whole(WholeSettings())
PLAIN_TILES = Tiles(TilesSettings(frames=200, derivatives=False, divisor=1.0))


@pytest.fixture(autouse=True)
def fakes_are_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes may ask for the networks that misbehave."""
    for name, place in FAKE_MODELS.items():
        monkeypatch.setitem(MODELS, name, place)


def recipe(
    model: str = "compact", average: str = "probability", activation: str = "sigmoid", **settings: object
) -> Recipe:
    return Recipe(
        name="tiny",
        labels=LABELS,
        audio={},
        front_end=Named("log_mel", {}),
        model=Named(model, {**SETTINGS, **settings}),
        views=(Named("whole", {}),),
        members=(),
        priors=(0.25,) * 4,
        average=average,
        activation=activation,
    )


def predictor(precision: str = "float32", seed: int = 1, **changed: object) -> Predictor:
    made = recipe(**changed)
    return Predictor(made, Member("tiny", "1", "", ""), compact_arrays(seed), "cpu", precision)


def spectrograms(count: int, frames: int = 80, seed: int = 0) -> Tensor:
    """Such as a front end makes: (clips, 1, bins, frames), dB, loud and quiet ones."""
    random = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, 1, 16, frames, generator=random) * 6
    return noise - 60 * torch.rand(count, 1, 1, 1, generator=random) + torch.linspace(5, -25, 16)[:, None]


# ---------------------------------------------------------------- alone, in batches, in any order
def test_answers_of_a_clip_alone_are_those_in_any_batch_and_order() -> None:
    """No batch mate matters, whatever their number and order."""
    predict, clips = predictor(), spectrograms(33)
    alone = torch.cat([predict(clip[None], WHOLE) for clip in clips])
    order = torch.randperm(33, generator=torch.Generator().manual_seed(1))

    for count in (2, 7, 33):
        batched = torch.cat([predict(part, WHOLE) for part in clips[order].split(count)])
        torch.testing.assert_close(batched, alone[order], rtol=0, atol=SAME_ANSWER)
    assert alone.std(dim=0).min() > 1000 * SAME_ANSWER, "these clips are too alike to show anything"


def run_once(settings: RunSettings, counts: Counter[str] | None = None) -> np.ndarray:
    """The submission of a run in this process, (clips, columns); counts gets what the cache counted."""
    with provisioned(settings) as session:
        assert run_module.Run(session).run() == 0
        if counts is not None:
            counts.update(session.cache.counts)
        assert session.cache.check() == []
    sample = read_sample(Path(settings.sample_submission))
    assert check(Path(settings.out), sample) == []
    columns = range(1, 1 + len(sample.columns))
    return np.loadtxt(settings.out, delimiter=",", skiprows=1, usecols=columns, ndmin=2)


TILES = {"views": [{"name": "tiles", "frames": 40, "step": 20, "derivatives": False, "divisor": 1.0}]}


@pytest.mark.parametrize("kind", [{}, TILES], ids=["whole", "tiles"])
def test_submission_is_the_same_with_any_workers_in_memory_and_spilled(
    kind: dict[str, object], make_assets: Callable, make_clips: Callable, make_settings: Callable
) -> None:
    """Worker count, start order and the tier of a spectrogram leave no trace in the answers."""
    assets, contest = make_assets(kind), make_clips()
    expected = run_once(make_settings(assets, contest, workers=1))

    little = {"cache_memory_bytes": 16 * 2**10}  # a page for staging and room for three of twelve spectrograms
    for tier, others in (
        ("memory", {"workers": 3}),
        ("disk", little),
        ("evicted", {**little, "disk_limit_bytes": 1, "workers": 2}),  # computed again in each pass
    ):
        counts = Counter()
        found = run_once(make_settings(assets, contest, **others), counts)
        np.testing.assert_allclose(found, expected, rtol=0, atol=SAME_ANSWER, err_msg=str(others))
        assert counts[tier] >= {"memory": 12, "disk": 9, "evicted": 1}[tier], counts


def test_submission_of_a_clip_alone_is_that_among_others(
    make_assets: Callable, make_clips: Callable, make_settings: Callable
) -> None:
    """A contest of one clip gives it the answer that it has among twelve."""
    assets, contest = make_assets(), make_clips()
    among = run_once(make_settings(assets, contest))
    sample = contest / "sample_submission.csv"
    header, *rows = sample.read_text().splitlines()
    for row in (0, 10):
        sample.write_text(f"{header}\n{rows[row]}\n")
        alone = run_once(make_settings(assets, contest))
        np.testing.assert_allclose(alone[0], among[row], rtol=0, atol=SAME_ANSWER)


def test_windows_stacked_from_several_clips_are_cut_from_their_own() -> None:
    """Each row of a batch is the window that was asked for, in the order given."""
    clips = [clip.numpy() for clip in spectrograms(2, 100)]
    tiles = Tiles(TilesSettings(frames=40, step=30))
    pairs = [(clip, window) for clip in (1, 0) for window in tiles.windows(100)]

    batch = stack([clips[clip] for clip, _ in pairs], [window for _, window in pairs], tiles)

    for row, (clip, window) in zip(batch, pairs, strict=True):
        torch.testing.assert_close(row, tiles.cut(torch.from_numpy(clips[clip]), window), rtol=0, atol=0)


# ---------------------------------------------------------------- what a recipe says
@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_answers_are_probabilities_or_logits_as_the_recipe_says(activation: str) -> None:
    """Logits where views are averaged before the activation, else what comes after it."""
    clips = spectrograms(3)
    logits = predictor(average="logit", activation=activation)(clips, WHOLE)
    probabilities = predictor(activation=activation)(clips, WHOLE)

    expected = logits.sigmoid() if activation == "sigmoid" else logits.softmax(1)
    torch.testing.assert_close(probabilities, expected)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.pop("stem.weight"), r"missing \['stem.weight'\]"),
        (lambda a: a.update(stray=np.zeros(1, np.float32)), r"unexpected \['stray'\]"),
        (lambda a: a.update({"overall.bias": np.zeros(80, np.float32)}), r"overall.bias \(80,\) instead of \(4,\)"),
    ],
)
def test_weights_of_another_network_are_refused_with_both_sides(change: Callable, words: str) -> None:
    """Names and shapes that do not fit are shown."""
    arrays = compact_arrays(1)
    change(arrays)

    with pytest.raises(WeightsError, match=rf"member tiny/1 does not fit model 'compact'.*{words}"):
        build(recipe(), Member("tiny", "1", "", ""), arrays)


# ---------------------------------------------------------------- folding
def test_folded_network_answers_as_before_with_fewer_steps() -> None:
    """No batch norm is left, the logits agree to rounding, and the given network is untouched."""
    model = build(recipe(), Member("tiny", "1", "", ""), compact_arrays(1))
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    clips = spectrograms(5)
    with torch.inference_mode():
        expected = model(clips)
        folded = fold_batch_norms(model, clips[:1])
        found = folded(clips)

    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert (found - expected).abs().max() <= BOUND * expected.abs().max().clamp(min=1)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[name]), name


class UsedTwice(nn.Module):
    """A convolution whose output is used beside its batch norm, too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.norm = nn.BatchNorm2d(3).eval()
        nn.init.uniform_(self.norm.running_mean, 1, 2)

    def forward(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Logits first, as networks with auxiliary outputs give them."""
        maps = self.conv(batch)
        logits = (self.norm(maps) + maps).mean((2, 3))
        return logits, logits


class ChangedBetween(UsedTwice):
    """The convolution's output is changed in place before the batch norm sees it."""

    def forward(self, batch: Tensor) -> Tensor:
        """Same tensor, other values."""
        return self.norm(self.conv(batch).relu_()).mean((2, 3))


class CalledTwice(UsedTwice):
    """One convolution and norm, used one after the other at two places."""

    def forward(self, batch: Tensor) -> Tensor:
        """The same layers on the input and on its mirror image."""
        return (self.norm(self.conv(batch)) + self.norm(self.conv(batch.flip(-1)))).mean((2, 3))


@pytest.mark.parametrize("kind", [UsedTwice, ChangedBetween, CalledTwice])
def test_network_that_cannot_be_folded_stays_as_it_is(kind: type[nn.Module]) -> None:
    """Where folding would change the answer it is not done."""
    model = kind().eval()

    assert fold_batch_norms(model, torch.randn(2, 1, 9, 9)) is model


# ---------------------------------------------------------------- half precision
def test_half_precision_stays_where_it_holds_and_within_its_bound() -> None:
    """bfloat16 on a CPU moves no probability by more than the stated bound."""
    exact, half, clips = predictor(), predictor("bfloat16"), spectrograms(16)

    found = half(clips, WHOLE)

    assert half.is_half
    assert found.dtype == torch.float32
    assert 0 < (found - exact(clips, WHOLE)).abs().max() <= HALF_BOUND


def test_half_precision_rounds_weights_once_and_answers_as_autocast_does() -> None:
    """Autocast would round the weights of every layer again at each call; on the CPU the twin computes in float32."""
    half, clips = predictor("bfloat16"), spectrograms(16)
    half.rehearse(clips, WHOLE)
    inputs = half.prepare(clips, WHOLE)
    by_autocast = half.through(half.model, inputs, is_half=True)

    found = half(clips, WHOLE)

    kinds = {m.weight.dtype for m in half.model.modules() if isinstance(m, (nn.Conv1d, nn.Conv2d, nn.Linear))}
    assert kinds == {torch.bfloat16}
    torch.testing.assert_close(found, by_autocast, rtol=0, atol=0)
    assert {tensor.dtype for tensor in half.on_cpu().model.parameters()} == {torch.float32}
    assert (half.on_cpu()(clips, WHOLE) - found).abs().max() <= HALF_BOUND


def test_half_precision_is_given_up_where_it_changes_answers() -> None:
    """A network that half precision would turn is answered in float32 from the first clip on."""
    settings = {"model": "steep", "scale": 30.0}
    exact, half, clips = predictor(**settings), predictor("bfloat16", **settings), spectrograms(16)

    torch.testing.assert_close(half(clips, WHOLE), exact(clips, WHOLE))
    assert not half.is_half


def test_rehearsal_decides_nothing_about_precision() -> None:
    """What is made up for measuring says nothing about real clips."""
    half = predictor("bfloat16", model="steep", scale=30.0)

    probed = probe(half, WHOLE, (1, 16, 200))

    assert half.is_half
    assert probed.seconds_per_frame > 0
    assert probed.bytes_per_frame >= 4 * 16
    half(spectrograms(16), WHOLE)
    assert not half.is_half


def test_run_takes_half_precision_where_it_is_faster_and_says_so(
    make_assets: Callable,
    make_clips: Callable,
    make_settings: Callable,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """On a processor that is said to have the units: timed once for the recipe, the bound for each of its folds."""
    contest, assets = make_clips(), make_assets()
    exact = run_once(make_settings(assets, contest))
    timed: list[object] = []
    monkeypatch.setattr("soundpost.inference.model_pool.choose_precision", lambda asked, device: "bfloat16")
    monkeypatch.setattr(
        "soundpost.inference.autotune._seconds", lambda way, device: 1.0 + len(timed.append(way) or timed) % 2
    )
    capfd.readouterr()

    found = run_once(make_settings(assets, contest, precision="auto"))

    assert 0 < np.abs(found - exact).max() <= HALF_BOUND
    said = capfd.readouterr().out
    for fold in "123":
        assert f"tiny0/{fold}: bfloat16 taken: " in said
    assert said.count("2.00 times as fast") == 3
    assert len(timed) == 2 * REPEATS


# ---------------------------------------------------------------- out of memory
@pytest.mark.parametrize("most", [1, 3, 8])
def test_batch_that_does_not_fit_is_halved_until_it_does(most: int) -> None:
    """The answers are those of a device with room, in the same order, and the halvings are counted."""
    clips = spectrograms(8)

    found, toll = answer(predictor(model="hungry", most=most), WHOLE, clips)

    torch.testing.assert_close(found, predictor()(clips, WHOLE), rtol=0, atol=SAME_ANSWER)
    assert toll.splits == {1: 7, 3: 3, 8: 0}[most]
    assert toll.fitting_frames == {1: 1, 3: 2, 8: 8}[most] * clips.shape[-1]


@pytest.mark.parametrize(("most_frames", "parts"), [(512, 2), (400, 4), (170, 8), (64, 16)])
def test_single_window_that_does_not_fit_is_answered_in_parts(most_frames: int, parts: int) -> None:
    """Of a network that takes means over frames the parts' answers, weighted by their frames, make up the whole's."""
    frames = 1023 if parts < 16 else 1024
    clips = spectrograms(3, frames)
    expected = predictor(model="hungry_mean", most=3, average="logit")(clips, WHOLE)
    hungry = predictor(model="hungry_mean", most=1, most_frames=most_frames, average="logit")
    calls = []
    hungry.model.register_forward_hook(lambda model, inputs, logits: calls.append(inputs[0].shape[-1]))

    found, toll = answer(hungry, WHOLE, clips)

    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert (toll.tiled, toll.on_cpu, toll.lost) == (3, 0, {})
    assert set(calls) == {frames // parts, -(-frames // parts)}


@pytest.mark.parametrize(
    "view", [WHOLE, Tiles(TilesSettings(frames=200, derivatives=False, divisor=1.0))], ids=["whole", "tiles"]
)
def test_window_that_fits_nowhere_is_lost_alone_and_says_why(view: View) -> None:
    """Its batch mates have their answers; when all are lost there is no answer at all."""
    hungry, sound = predictor(model="hungry", most=8, most_frames=63), predictor()
    calls = []

    class Choosy:
        device = torch.device("cpu")

        def __call__(self, batch: Tensor, view: View) -> Tensor:
            calls.append(len(batch))
            return (hungry if (batch == 0).all(dim=(1, 2, 3)).any() else sound)(batch, view)

    clips = spectrograms(4, 200)
    clips[2] = 0
    found, toll = answer(Choosy(), view, clips)

    assert found.isnan().all(dim=1).tolist() == [False, False, True, False]
    torch.testing.assert_close(found[[0, 1, 3]], sound(clips, view)[[0, 1, 3]], rtol=0, atol=SAME_ANSWER)
    assert list(toll.lost) == [2]
    assert "can't allocate memory" in toll.lost[2]
    assert len(calls) == (6 if view is WHOLE else 5)  # of 200 frames the half is tried, the quarter is too short
    nothing, toll = answer(hungry, view, clips[:2])
    assert nothing is None
    assert list(toll.lost) == [0, 1]


def test_error_that_is_no_want_of_memory_is_not_retried() -> None:
    """A defect is told at once."""
    with pytest.raises(ValueError, match="a kernel that nobody has written"):
        answer(predictor(model="broken"), WHOLE, spectrograms(2, 40))


def test_window_that_does_not_fit_a_gpu_is_answered_by_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last resort of a GPU is the same network beside it; shown with a device that only says it is one."""
    gpu = predictor(model="hungry", most=1)
    clips = spectrograms(3)
    expected = gpu(clips[:1], WHOLE)
    calls = []

    class Gpu:
        device = torch.device("cuda:0")

        def __call__(self, batch: Tensor, view: Whole) -> Tensor:
            calls.append(len(batch))
            raise torch.OutOfMemoryError("CUDA out of memory")

        def on_cpu(self) -> Predictor:
            return gpu.on_cpu()

    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    found, toll = answer(Gpu(), WHOLE, clips)

    assert calls == [3, 1, 2, 1, 1]
    torch.testing.assert_close(found[:1], expected, rtol=0, atol=SAME_ANSWER)
    assert found.shape == (3, 4)
    assert (toll.splits, toll.on_cpu, toll.tiled) == (2, 3, 0)
    assert gpu.on_cpu() is gpu.on_cpu()


@pytest.mark.parametrize("kind", [{}, TILES], ids=["whole", "tiles"])
def test_run_out_of_memory_loses_no_clip(
    kind: dict[str, object],
    make_assets: Callable,
    make_clips: Callable,
    make_settings: Callable,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A device that takes one window at a time gives the submission of one that takes all, and the log counts it."""
    contest = make_clips((0.5,) * 9)
    expected = run_once(make_settings(make_assets(kind), contest))

    hungry = {**kind, "model": {"name": "hungry", **SETTINGS}}
    found = run_once(make_settings(make_assets(hungry, folder="hungry"), contest))

    np.testing.assert_allclose(found, expected, rtol=0, atol=SAME_ANSWER)
    assert "batches split for memory" in capfd.readouterr().out


def test_clip_that_fits_no_device_loses_that_member_alone_and_is_named(
    make_assets: Callable, make_clips: Callable, make_settings: Callable, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its row holds the answer of the other member, its batch mates hold both, and the log says who and why."""
    contest = make_clips((0.5, 1.6, 0.6))  # the second has 101 frames: its halves would be too short
    sound = {"name": "sound", "folds": 1}
    narrow = {"name": "narrow", "folds": 1, "model": {"name": "hungry", "most": 8, "most_frames": 90, **SETTINGS}}
    alone = run_once(make_settings(make_assets(sound, folder="one"), contest))
    capfd.readouterr()

    found = run_once(make_settings(make_assets(sound, narrow, folder="both"), contest))

    np.testing.assert_allclose(found[1], alone[1], rtol=0, atol=SAME_ANSWER)
    assert (np.abs(found[[0, 2]] - alone[[0, 2]]).max(axis=1) > 100 * SAME_ANSWER).all()
    said = capfd.readouterr().out
    assert "clips that fit no device in narrow/1 1" in said
    assert "clip001.wav: narrow/1: RuntimeError: [enforce fail" in said


# ---------------------------------------------------------------- members that cannot answer
def test_member_whose_answers_are_no_numbers_is_counted_and_left_out(
    make_assets: Callable, make_clips: Callable, make_settings: Callable, capfd: pytest.CaptureFixture[str]
) -> None:
    """The blend is that of the others, and the log says how many answers were dropped."""
    contest = make_clips((0.3, 0.6, 0.9))
    sound = {"name": "sound"}
    diverged = {"name": "diverged", "model": {"name": "no_number", **SETTINGS}, "folds": 1}
    expected = run_once(make_settings(make_assets(sound, folder="one"), contest))
    capfd.readouterr()

    found = run_once(make_settings(make_assets(sound, diverged, folder="both"), contest))

    np.testing.assert_allclose(found, expected, rtol=0, atol=SAME_ANSWER)
    assert "answers of diverged/1 not finite 3" in capfd.readouterr().out


def test_member_that_raises_for_some_clips_loses_those_alone(
    make_assets: Callable, make_clips: Callable, make_settings: Callable, capfd: pytest.CaptureFixture[str]
) -> None:
    """A batch that fails costs its clips that member; others of the same member and all of the rest stand."""
    contest = make_clips((0.3, 3.0, 0.6, 2.0))
    sound = {"name": "sound", "folds": 1}
    broken = {"name": "broken", "model": {"name": "broken", **SETTINGS}, "folds": 1}
    alone = run_once(make_settings(make_assets(sound, folder="one"), contest))

    found = run_once(make_settings(make_assets(sound, broken, folder="both"), contest))

    np.testing.assert_allclose(found[[0, 2]], alone[[0, 2]], rtol=0, atol=SAME_ANSWER)
    assert (np.abs(found[[1, 3]] - alone[[1, 3]]).max(axis=1) > 100 * SAME_ANSWER).all()
    said = capfd.readouterr().out
    assert "clips failed in broken/1 (ValueError: a kernel that nobody has written) 2" in said


def test_member_that_cannot_even_be_tried_out_is_skipped_by_name(
    make_assets: Callable,
    make_clips: Callable,
    make_settings: Callable,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A network that raises at once costs its members, not the run."""
    contest = make_clips((0.3, 0.6))
    monkeypatch.setattr("fakes.Broken.forward", lambda model, batch: 1 / 0)
    sound = {"name": "sound", "folds": 1}
    broken = {"name": "broken", "model": {"name": "broken", **SETTINGS}, "folds": 2}
    alone = run_once(make_settings(make_assets(sound, folder="one"), contest))

    found = run_once(make_settings(make_assets(broken, sound, folder="both"), contest))

    np.testing.assert_allclose(found, alone, rtol=0, atol=SAME_ANSWER)
    assert "member skipped: broken/2: ZeroDivisionError" in capfd.readouterr().out


@pytest.mark.parametrize("injury", ["altered", "missing", "other network"])
def test_member_whose_weights_cannot_be_used_is_skipped_by_name(
    injury: str,
    make_assets: Callable,
    make_clips: Callable,
    make_settings: Callable,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Two folds of three answer, and the log says which one did not and why."""
    contest, root = make_clips((0.3, 0.6)), make_assets()
    alone = run_once(make_settings(root, contest, members=("tiny0/1", "tiny0/3")))
    path = find_assets(root).root / "tiny0" / "fold2.safetensors"
    if injury == "missing":
        path.unlink()
    elif injury == "altered":
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    else:
        text = (root / "tiny0" / "recipe.toml").read_text()
        (root / "tiny0" / "recipe.toml").write_text(text.replace("fold2.safetensors", "fold1.safetensors"))

    found = run_once(make_settings(root, contest))

    np.testing.assert_allclose(found, alone, rtol=0, atol=SAME_ANSWER)
    assert "member skipped: tiny0/2: member tiny0/2: " in capfd.readouterr().out


def test_run_without_any_usable_member_is_refused(
    make_assets: Callable, make_clips: Callable, make_settings: Callable
) -> None:
    """When no weights can be used there is nothing to predict with, and each one's reason is told."""
    contest, root = make_clips((0.3,)), make_assets({"folds": 2})
    for path in root.glob("*/*.safetensors"):
        path.write_bytes(b"damaged")

    with pytest.raises(WeightsError, match=r"no member can be used.*tiny0/1.*tiny0/2"):
        run_module.run(make_settings(root, contest))
