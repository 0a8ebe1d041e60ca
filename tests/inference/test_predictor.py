"""A clip's answer depends on the clip alone; what a member cannot do costs precision or the member, no clip."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from fakes import Fake
from networks import (
    SAME_ANSWER,
    SETTINGS,
    TILES,
    WHOLE,
    let_recipes_ask_for_fakes,
    predictor,
    run_once,
    spectrograms,
)
from torch import Tensor, nn

from soundpost.engine import run as run_module
from soundpost.ensemble.weights_folder import find_assets
from soundpost.errors import WeightsError
from soundpost.inference.autotune import DECIDING_WINDOWS, HALF_BOUND, REPEATS, half_choice
from soundpost.inference.fold_group import FoldGroup
from soundpost.inference.out_of_memory import answer
from soundpost.inference.predictor import Predictor
from soundpost.inference.profiling import probe


@pytest.fixture(autouse=True)
def fakes_are_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes may ask for the networks that misbehave."""
    let_recipes_ask_for_fakes(monkeypatch)


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


# ---------------------------------------------------------------- what a recipe says
@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_answers_are_probabilities_or_logits_as_the_recipe_says(activation: str) -> None:
    """Logits where views are averaged before the activation, else what comes after it."""
    clips = spectrograms(3)
    logits = predictor(average="logit", activation=activation)(clips, WHOLE)
    probabilities = predictor(activation=activation)(clips, WHOLE)

    expected = logits.sigmoid() if activation == "sigmoid" else logits.softmax(1)
    torch.testing.assert_close(probabilities, expected)


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


def test_half_precision_waits_for_a_batch_that_tells_something_and_is_tried_again_on_a_large_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a GPU: small batches before the trial are answered in float32, exactly, and decide nothing."""
    monkeypatch.setitem(DECIDING_WINDOWS, "cpu", 32)
    tried: list[int] = []
    said: list[str] = []
    choice = half_choice(tell=said.append)
    takes = choice.takes
    monkeypatch.setattr(choice, "takes", lambda *rest: (tried.append(rest[-1]), takes(*rest))[1])
    exact, half = predictor(), predictor("bfloat16")
    half._choice = choice

    clips = spectrograms(200)
    torch.testing.assert_close(half(clips[:3], WHOLE), exact(clips[:3], WHOLE), rtol=0, atol=SAME_ANSWER)
    assert not tried
    changed = [float((half(clips[:n], WHOLE) - exact(clips[:n], WHOLE)).abs().max()) for n in (32, 3, 60, 128, 200)]

    assert tried == [32, 128]
    assert all(0 < change <= HALF_BOUND for change in changed)
    assert [line.rsplit("(", 1)[1] for line in said] == ["32 windows)", "128 windows)"]


# ---------------------------------------------------------------- half precision that overflows later on
LOUD = 20.0  # dB; a window with more than this is too much for half precision


def overflows(model: nn.Module, batch: Tensor) -> Tensor:
    """The compact network's logits; infinite ones in half precision where a window is loud."""
    logits = super(Fake, model).forward(batch)
    is_half = model.get_parameter("overall.weight").dtype != torch.float32
    is_loud = batch.flatten(1).amax(1, keepdim=True) > LOUD
    return torch.where(is_loud & is_half, torch.inf, logits)


@pytest.fixture
def fake_overflows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake network does in half precision what float16 does with numbers beyond 65,504."""
    monkeypatch.setattr(Fake, "forward", overflows, raising=False)


@pytest.mark.usefixtures("fake_overflows")
@pytest.mark.parametrize(
    ("average", "activation"), [("probability", "sigmoid"), ("probability", "softmax"), ("logit", "sigmoid")]
)
def test_rows_that_half_precision_spoils_in_a_later_batch_are_computed_again_in_float32(
    average: str, activation: str
) -> None:
    """The first batch was fine; of the second one only the spoilt rows come from the float32 network.

    An infinite logit must not become a sure 1, as a sigmoid makes it.
    """
    half = predictor("bfloat16", model="fake", average=average, activation=activation)
    exact = predictor(model="fake", average=average, activation=activation)
    clips = spectrograms(6).clamp(max=LOUD)
    assert answer(half, WHOLE, clips)[1].in_float32 == 0
    loud = clips.clone()
    loud[[1, 4], :, 0, 0] = LOUD + 1

    answers, losses = answer(half, WHOLE, loud)
    found = answers.cpu()

    assert half.is_half
    assert losses.in_float32 == 2
    expected = exact(loud, WHOLE)
    torch.testing.assert_close(found[[1, 4]], expected[[1, 4]], rtol=0, atol=SAME_ANSWER)
    torch.testing.assert_close(found[[0, 2, 3, 5]], half(loud, WHOLE)[[0, 2, 3, 5]], rtol=0, atol=SAME_ANSWER)


@pytest.mark.usefixtures("fake_overflows")
def test_group_of_folds_computes_again_what_was_spoilt_and_keeps_the_other_folds() -> None:
    """Two folds share a batch, and only the one in half precision answers in float32."""
    half = predictor("bfloat16", model="fake")
    other = predictor(seed=2)
    group, clips = FoldGroup([half, other]), spectrograms(3).clamp(max=LOUD)
    group(clips, WHOLE)
    clips[2, :, 0, 0] = LOUD + 1

    answers, losses = answer(group, WHOLE, clips)
    found = answers.cpu()

    assert losses.in_float32 == 1
    torch.testing.assert_close(found[:, 1], other(clips, WHOLE), rtol=0, atol=SAME_ANSWER)
    exact = predictor(model="fake")(clips, WHOLE)
    torch.testing.assert_close(found[2, 0], exact[2], rtol=0, atol=SAME_ANSWER)


def test_rows_that_float32_spoils_are_not_computed_again() -> None:
    """A network that has diverged gives the same the second time."""
    answers, losses = answer(predictor(model="no_number"), WHOLE, spectrograms(2))
    assert answers.cpu().isnan().any(dim=1).all()
    assert losses.in_float32 == 0


@pytest.mark.usefixtures("fake_overflows")
def test_run_in_half_precision_loses_no_answer_to_an_overflow(
    make_assets: Callable,
    make_clips: Callable,
    make_settings: Callable,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Windows of the later batches overflow; the submission stays that of float32, and the log counts them."""
    contest, assets = (
        make_clips(),
        make_assets({"model": {"name": "fake", **SETTINGS}, "folds": 1, "activation": "softmax"}),
    )
    exact = run_once(make_settings(assets, contest))
    settle = Predictor.settle
    monkeypatch.setattr("test_predictor.LOUD", 1e9)

    def settled(self: Predictor, *given: object) -> None:
        settle(self, *given)
        monkeypatch.setattr("test_predictor.LOUD", -1e9)  # after the first batch everything is too loud

    monkeypatch.setattr(Predictor, "settle", settled)
    capfd.readouterr()

    found = run_once(make_settings(assets, contest, precision="bfloat16"))

    np.testing.assert_allclose(found, exact, rtol=0, atol=HALF_BOUND)
    said = capfd.readouterr().out
    assert "windows computed again in float32" in said
    assert "not finite" not in said


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
