"""Image networks of timm: heads, channels, which output is the answer, and what is said where timm is missing."""

import sys
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torchvision_beside_cpu_torch import has_timm

from soundpost.errors import SettingsError, WeightsError
from soundpost.importers.timm_networks import TEMPLATES_OF, import_timm, published_arrays
from soundpost.inference.fuse_batch_norm import fold_batch_norms
from soundpost.models.sed_heads import AttentionSed, LogSumExp, MelGem, middle
from soundpost.models.timm_body import HEADS, TimmNetwork, TimmSettings, with_channels

requires_timm = pytest.mark.skipif(not has_timm(), reason="timm is not installed; see requirements-timm.txt")
LABELS = ("a", "b", "c")


def network(**settings: Any) -> TimmNetwork:
    torch.manual_seed(3)
    table = {"timm": "test_efficientnet", "in_chans": 1, **settings}
    return TimmNetwork(TimmSettings(**table), len(LABELS)).eval()


@requires_timm
@pytest.mark.parametrize("head", sorted(HEADS))
def test_head_of_any_name_gives_a_logit_for_each_class_alone_as_in_a_batch(head: str) -> None:
    """One row's answer does not depend on the others of its batch."""
    model = network(head=head)
    pictures = torch.randn(3, 1, 64, 96)
    with torch.inference_mode():
        together, alone = model(pictures), torch.cat([model(picture[None]) for picture in pictures])
    assert together.shape == (3, 3)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@requires_timm
def test_output_of_probabilities_comes_back_through_the_sigmoid() -> None:
    """An answer that is a probability is given as the logit whose sigmoid it is."""
    model = network(head="attention_sed", output="clipwise_pred_long")
    pictures = torch.randn(2, 1, 64, 96)
    with torch.inference_mode():
        expected = model.outputs(pictures)["clipwise_pred_long"]
        torch.testing.assert_close(expected, model(pictures).sigmoid(), atol=1e-6, rtol=1e-5)


@requires_timm
def test_classes_of_a_larger_checkpoint_are_selected_in_the_recipe_s_order() -> None:
    """Networks of 2023 knew more species than the contest asked for."""
    small, large = (
        network(head="classifier", classes=5, selected=(4, 0, 2)),
        network(head="classifier", classes=5, selected=(0, 1, 2)),
    )
    large.load_state_dict(small.state_dict())
    pictures = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        chosen, first = small(pictures)[0], large(pictures)[0]
    assert (chosen[1], chosen[2]) == (first[0], first[2])
    with pytest.raises(SettingsError, match=r"gives 2 classes and the recipe has 3 labels"):
        network(classes=5, selected=(1, 2))


@requires_timm
def test_wrong_names_are_refused_with_the_known_ones() -> None:
    """Body, head, channels and output each have a message."""
    with pytest.raises(SettingsError, match=r"timm = 'efficientnet_b99': .*list_models"):
        network(timm="efficientnet_b99")
    with pytest.raises(SettingsError, match=r"head 'dense', channels 'equal'; known heads: classifier"):
        network(head="dense")
    with pytest.raises(SettingsError, match=r"output 'sum'; known: att_clipwise"):
        network(head="frame_attention", output="sum")(torch.zeros(1, 1, 64, 64))


def test_timm_that_is_not_installed_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The member is left out with this reason; everything else of a kernel runs on."""
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(SettingsError, match=r"needs the package timm, which is not installed here") as refused:
        network()
    assert "\n" not in str(refused.value)


@requires_timm
def test_batch_norms_with_activations_are_folded_to_the_same_answers() -> None:
    """timm's norms hold their activation, which must stay when the norm goes."""
    model = network(head="classifier")
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    pictures = torch.randn(2, 1, 64, 64)
    folded = fold_batch_norms(model, pictures[:1])
    assert folded is not model
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    with torch.inference_mode():
        torch.testing.assert_close(model(pictures), folded(pictures), atol=1e-4, rtol=1e-4)


def test_channels_of_a_picture_are_equal_or_end_with_the_place_of_each_mel() -> None:
    """A spectrogram of one channel fills all of the network's."""
    picture = torch.rand(2, 1, 5, 4)
    equal = with_channels(picture, TimmSettings("", in_chans=3))
    placed = with_channels(picture, TimmSettings("", in_chans=3, channels="mel_position"))
    assert torch.equal(equal, picture.expand(2, 3, 5, 4))
    assert torch.equal(placed[:, :2], equal[:, :2])
    torch.testing.assert_close(placed[1, 2, :, 3], torch.linspace(0, 1, 5))


def test_attention_head_weighs_frames_by_its_softmax() -> None:
    """The clip is the mean of the frames' probabilities, by attention."""
    head = AttentionSed(channels=3, classes=2, mixed=0.5, share=1.0).eval()
    maps = torch.randn(1, 3, 4, 6)
    with torch.inference_mode():
        outputs = head(maps)
        hidden = head.dense_layers(head.pooling(maps).transpose(1, 2)).transpose(1, 2)
        weights = F.softmax(torch.tanh(head.attention(hidden)), dim=2)
        expected = (weights * head.fix_scale(hidden).sigmoid()).sum(dim=2)
    torch.testing.assert_close(expected, outputs["clipwise_pred_long"])


def test_log_sum_exp_of_equal_frames_is_their_logit() -> None:
    """The mean is taken out again, so that the number of frames does not matter."""
    head = LogSumExp(channels=3, classes=2, temperature=1.0).eval()
    frame = torch.randn(1, 3, 4, 1)
    with torch.inference_mode():
        one, many = head(frame)["logits"], head(frame.expand(1, 3, 4, 7))["logits"]
    torch.testing.assert_close(one, many)


def test_generalised_mean_of_exponent_one_is_the_mean() -> None:
    """A clamped exponent does not go below one."""
    pool = MelGem(clamped=True, is_scalar=True)
    torch.nn.init.constant_(pool.p, 0.2)
    maps = torch.rand(2, 3, 4, 5)
    torch.testing.assert_close(pool(maps), maps.mean(dim=2))


@pytest.mark.parametrize(("frames", "share", "expected"), [(10, 0.25, (3, 6)), (30, 1 / 3, (10, 20)), (7, 1.0, (0, 7))])
def test_middle_of_a_window_follows_from_the_start_before_it_is_rounded(
    frames: int, share: float, expected: tuple[int, int]
) -> None:
    """3.75 and 6.25 of ten frames are 3 to 6."""
    assert middle(frames, share) == expected


# ---------------------------------------------------------------- importing
@requires_timm
@pytest.mark.parametrize("wrapper", ["", "model.", "module.", "_orig_mod.model."])
def test_import_of_a_public_checkpoint_drops_what_is_no_weight(wrapper: str, tmp_path: Any) -> None:
    """Names at the top stand under head, front-end buffers and distillation heads go, wrappers are taken off."""
    torch.manual_seed(1)
    table = {"timm": "test_efficientnet", "in_chans": 1, "head": "bottleneck_attention"}
    state = TimmNetwork(TimmSettings(**table), 3).state_dict()  # type: ignore[arg-type]
    public = {name.removeprefix("head."): value for name, value in state.items()}
    public |= {"distill_head.weight": torch.zeros(3), "logmelspec_extractor.window": torch.zeros(4)}
    torch.save(
        {"model_state_dict": {f"{wrapper}{name}": value for name, value in public.items()}}, tmp_path / "fold2.ckpt"
    )
    recipe = import_timm(
        "birdclef_silver2026_sed", tmp_path / "fold2.ckpt", tmp_path / "r", "r", LABELS, "test_efficientnet"
    )
    assert recipe.model.settings["timm"] == "test_efficientnet"
    assert recipe.windows["seconds"] == 5.0
    assert [member.fold for member in recipe.members] == ["2"]


@requires_timm
def test_import_of_another_network_or_of_nothing_is_refused(tmp_path: Any) -> None:
    """The message says what is missing."""
    with pytest.raises(WeightsError, match=r"no \.pt, \.pth, \.bin, \.ckpt file"):
        import_timm("birdclef_vs2025", tmp_path, tmp_path / "r", "r", LABELS, "test_efficientnet")
    torch.save({"x": torch.zeros(2)}, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match="Missing key"):
        import_timm("birdclef_vs2025", tmp_path / "x.pt", tmp_path / "r", "r", LABELS, "test_efficientnet")


def test_published_names_of_every_template_have_a_head() -> None:
    """Each template's head is the one that its checkpoints are renamed for."""
    from soundpost.importers.recipe_files import template

    for name, head in TEMPLATES_OF.items():
        assert template(name)["model"]["head"] == head
    assert set(published_arrays({"encoder.a": torch.zeros(1)}, "classifier")) == {"backbone.a"}
