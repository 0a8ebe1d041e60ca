"""birdclef: pictures, cutting, networks and whole pipelines of published systems; needs timm."""

from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from birdclef_inputs import check, made
from cases import GoldenSet, assert_close, assert_stats, clip_waveform, golden, part, value
from torch import Tensor, nn
from torchvision_beside_cpu_torch import has_timm

from soundpost import registry
from soundpost.after.apply import apply, steps_of
from soundpost.after.frames import overlap_average_max
from soundpost.after.table import Table, of_recordings
from soundpost.audio.decode import AudioSettings, decode
from soundpost.audio.sinc import resample_sinc
from soundpost.audio.windows import Samples, WindowSettings, cut, ring_parts
from soundpost.ensemble.rules import BLENDS
from soundpost.front_ends import FRONT_ENDS
from soundpost.importers.recipe_files import template
from soundpost.importers.timm_networks import RENAMED, published_arrays
from soundpost.models import MODELS
from soundpost.models.sed_heads import AttentionSed, LogSumExp, MapGem, MelGem
from soundpost.models.timm_body import TimmSettings, with_channels

requires_timm = pytest.mark.skipif(not has_timm(), reason="timm is not installed; see requirements-timm.txt")


# ---------------------------------------------------------------- sound
@pytest.mark.parametrize(("place", "case"), golden("birdclef", "resample"))
def test_resampling_of_birdclef_gives_the_published_samples(
    place: GoldenSet, case: dict[str, Any], tmp_path: Any
) -> None:
    """Both resamplers, by samples and statistics."""
    source, rate = case["input"], case["rate"]
    waveform = clip_waveform(source["clip"])[source["first"] : source["first"] + source["samples"]]
    if case["id"].endswith("sinc"):
        actual = resample_sinc(waveform, source["rate"], rate)
    else:
        soundfile.write(tmp_path / "clip.wav", waveform, source["rate"], subtype="FLOAT")
        actual = decode(tmp_path / "clip.wav", AudioSettings(sample_rate=rate)).waveform
    assert case["samples"] == len(actual)
    entry = case["expected"]
    assert_close(place.expected(entry), part(actual, entry["slice"]), case["atol"], case["id"])
    assert_stats(case["stats"], actual, case["atol"], case["id"])


CUTS = {  # how many windows a loader makes of n samples, and how it fills them
    "floor_5s": (lambda n, rate: n // (5 * rate), "behind", 5),
    "ceil_5s": (lambda n, rate: -(-n // (5 * rate)), "behind", 5),
    "floor_20s": (lambda n, rate: n // (5 * rate), "behind", 20),
    "rounded_seconds_5s": (lambda n, rate: -(-round(n / rate) // 5), "around", 5),
    "theo_reshape": (lambda n, rate: n // (5 * rate), "behind", 5),
    "ceil_5s_left_pad": (lambda n, rate: -(-n // (5 * rate)), "in_front", 5),
}


@pytest.mark.parametrize(("place", "case"), golden("birdclef", "windows"))
def test_windows_of_birdclef_lie_where_published(place: GoldenSet, case: dict[str, Any]) -> None:
    """Every loader on a ramp: how many windows, and what is in the first and last ones."""
    rate = case["rate"]
    for row in case["rows"]:
        ramp = np.arange(1, row["samples"] + 1, dtype=np.float32)
        if "context_10s" in row:
            settings = WindowSettings(context_seconds=10.0, padding="ends_again")
            starts = [settings.first_sample(i, rate) for i in range(len(row["context_10s"]))]
            windows = cut(ramp, starts, settings.window_samples(rate), settings.padding)
            for expected, window in zip(row["context_10s"], windows, strict=True):
                assert_close(np.concatenate([np.arange(a + 1, a + n + 1) for a, n in expected]), window, 0, "context")
            continue
        for rule, (count, padding, context) in CUTS.items():
            if rule in row:
                settings = WindowSettings(context_seconds=float(context), padding=padding)
                starts = [settings.first_sample(i, rate) for i in range(count(len(ramp), rate))]
                windows = cut(ramp, starts, settings.window_samples(rate), padding)
                assert row[rule]["count"] == len(windows), (rule, row["samples"])
                shown = list(range(len(windows))) if len(windows) < 5 else [0, 1, len(windows) - 2, len(windows) - 1]
                assert row[rule]["windows"] == [described(windows[i]) for i in shown], (rule, row["samples"])


def described(window: np.ndarray) -> list[int | None]:
    """Length, first sample that is not zero, its value, and the last one's."""
    there = np.flatnonzero(window)
    ends = (int(there[0]), int(there[-1])) if len(there) else ()
    return [len(window), *(number for place in ends for number in (place, int(window[place])))]


# ---------------------------------------------------------------- pictures
def front_end(name: str, **changes: Any) -> Any:
    """The front end of a published system."""
    table = {**template(f"birdclef_{name}")["front_end"], **changes}
    return registry.build(FRONT_ENDS, table["name"], table, "front end")


def windows_of(case: dict[str, Any], place: GoldenSet) -> np.ndarray:
    """The waveforms that a front end gets in one call."""
    source = case["input"]
    values, then = made(source, place), source.get("then", "")
    if source["rule"] == "waves":
        check(source, values) if not then else None
        if then.startswith("row 1 times"):
            values[1] *= np.float32(0.001)
            check(source, values)
        return values
    if source["rule"] != "soundscape":
        return values
    length = 640000 if then.startswith("windows of 640000") else 160000
    settings = WindowSettings(context_seconds=length / 32000)
    cuts = cut(values, [settings.first_sample(i, 32000) for i in range(12)], length)
    if "silent one left out" in then:
        cuts = cuts[np.abs(cuts).max(axis=1) > 0]
    return cuts[::5] if "every 5th" in then else cuts


@pytest.mark.parametrize(("place", "case"), golden("birdclef", "front_end"))
def test_pictures_of_birdclef_are_the_published_ones(place: GoldenSet, case: dict[str, Any]) -> None:
    """Values and statistics; without a floor, cells deep below a picture's maximum by their amplitude."""
    waveforms = windows_of(case, place)
    name, changes = case["front_end"], {}
    for suffix, step in (("_min_max", "turned_min_max"), ("_mean_std", "standardise")):
        if name.endswith(suffix):
            level = "as_is" if case["waveform"] == "none" else "deviation"
            name, changes = name.removesuffix(suffix), {"steps": [step], "level": level}
    pictures = front_end(name, **changes)(torch.from_numpy(waveforms))[:, 0].numpy()
    entry, atol = case["expected"], max(case["atol"], 3 * case.get("difference_independent", 0))
    if len(case["shape"]) == 4 and "channels" not in case:
        settings = TimmSettings("", in_chans=case["shape"][1])
        pictures = with_channels(torch.from_numpy(pictures)[:, None], settings).numpy()
    assert tuple(case["shape"][-2:]) == pictures.shape[-2:]
    if "position" in case:
        settings = TimmSettings("", in_chans=3, channels="mel_position")
        places = with_channels(torch.from_numpy(pictures)[:, None], settings)[0, 2, :, 0]
        assert [case["position"][k] for k in ("first", "second", "last")] == pytest.approx(
            [float(places[0]), float(places[1]), float(places[-1])]
        )
    expected, actual = place.expected(entry), part(pictures, entry["slice"])
    if "beyond" not in case:
        assert_close(expected, actual, atol, case["id"])
        for stats, picture in zip(case["stats"], pictures, strict=True):
            assert_stats(stats, picture, 2 * atol, case["id"])
        return
    reach, top = case["beyond"]["reach"], np.array(case["maximum"])[:, None, None]
    assert_close(np.array(case["maximum"]), pictures.max(axis=(1, 2)), atol, "maxima")
    deep = expected < top - reach
    assert_close(np.where(deep, 0, expected), np.where(deep, 0, actual), atol, case["id"])
    amplitudes = [np.where(deep, 10.0 ** (4 * (values - top)), 0) for values in (expected, actual)]
    beyond = max(case["beyond"]["atol"], 3 * case["beyond"]["difference_independent"])
    assert_close(amplitudes[0], amplitudes[1], beyond, "beyond the reach")
    for stats, picture, maximum in zip(case["stats"], pictures, case["maximum"], strict=True):
        assert_stats(stats, np.maximum(picture, maximum - reach), 2 * atol, case["id"])


# ---------------------------------------------------------------- networks
def filled(network: nn.Module, head: str, weights: dict[str, Any], salt: str = "", prefix: str = "") -> nn.Module:
    """The network with the weights that the published names make."""
    names = {ours: published for published, ours in RENAMED.get(head, {}).items()}
    if head == "classifier":
        names = {"backbone.": prefix or "encoder."}
    arrays = {}
    for key, tensor in network.state_dict().items():
        ours = next((ours for ours in names if key.startswith(ours)), "")
        published = names.get(ours, "") + key.removeprefix(ours)
        numbers = value(published, tuple(tensor.shape), salt + weights["salt"])
        if tensor.ndim >= 2:
            numbers = numbers * np.float32(weights["gain"])
        numbers = numbers * np.float32(weights["gains"].get(published, 1.0))
        for name, number in weights["fixed"].items():
            if published == name or (name.startswith("*") and published.endswith(name[1:])):
                numbers = np.full_like(numbers, number)
        arrays[published] = torch.from_numpy(np.asarray(numbers)).to(tensor.dtype)
    if prefix:
        network.load_state_dict({f"backbone.{key.removeprefix(prefix)}": array for key, array in arrays.items()})
    else:
        network.load_state_dict(published_arrays(arrays, head) if head in RENAMED else arrays)
    return network.eval()


@pytest.mark.parametrize(("place", "case"), golden("birdclef", "head"))
def test_head_of_birdclef_gives_the_published_outputs(place: GoldenSet, case: dict[str, Any]) -> None:
    """Attention, its middle, the generalised means and the soft maximum on made maps."""
    config, name = case["config"], case["head"]
    maps = torch.from_numpy(made(case["input"], place))
    channels, classes = maps.shape[1], config.get("classes", 0)
    share = config.get("infer_period", 1.0) / config.get("train_period", 1.0)
    head: nn.Module = {
        "gem_frequency": lambda: MelGem(),
        "gem_clamped": lambda: MelGem(clamped=True, is_scalar=True),
        "gem_map": lambda: MapGem(config["p"]),
        "log_sum_exp": lambda: LogSumExp(channels, classes, config["temperature"]),
    }.get(name, lambda: AttentionSed(channels, classes, config.get("coefficient", 0.5), share))()
    assert case["keys"] == {key: list(tensor.shape) for key, tensor in head.state_dict().items()}
    filled(head, "", case["weights"], place.salt)
    with torch.inference_mode():
        outputs = head(maps)
    if isinstance(outputs, Tensor):
        outputs = {"pooled": outputs.reshape(case["outputs"][0]["shape"])}
    outputs["probabilities"] = outputs.get("clipwise_timewisemax_pred_short")
    for entry in case["outputs"]:
        assert_close(place.expected(entry), outputs[entry["name"]].numpy(), entry["atol"], entry["name"])


def network_settings(case: dict[str, Any]) -> TimmSettings:
    """Our settings of a published network."""
    config = case["config"]
    head = config.get("head", {})
    selected = config.get("selected_indices") or {}
    chosen = np.random.RandomState(selected["seed"]).permutation(selected["num_class"]) if selected else []
    return TimmSettings(
        timm=config["backbone"],
        head=case["network"],
        in_chans=config["timm"]["in_chans"],
        channels="mel_position"
        if "mel position" in str(case["input"].get("then")) or "front_end" in config
        else "equal",
        classes=head.get("num_class", 0) if selected else 0,
        selected=tuple(int(i) for i in chosen[: selected.get("count", 0)]),
        has_gem=config.get("use_gem", False),
        mixed=head.get("infer_framewise_max_coef", head.get("p", 0.5)),
        share=head.get("infer_period", 1.0) / head.get("train_period", 1.0),
        temperature=config.get("temperature", 1.0),
    )


@requires_timm
@pytest.mark.parametrize(("place", "case"), golden("birdclef", "network"))
def test_network_of_birdclef_gives_the_published_outputs(place: GoldenSet, case: dict[str, Any]) -> None:
    """Names and number of weights, and every output; forward's sigmoid where the output is probabilities."""
    settings = network_settings(case)
    config = case["config"]
    n_classes = len(settings.selected) or config.get("num_classes", config["timm"].get("num_classes", 0))
    n_classes = n_classes or config["head"]["num_class"]
    network = registry.build(MODELS, "timm", vars(settings), "model", n_classes)
    prefix = config.get("prefix", "") if case["network"] == "classifier" else ""
    filled(network, case["network"], case["weights"], place.salt, prefix)
    if "distill_head" in case.get("note", ""):  # two more entries, which prediction does not need
        assert case["keys"]["entries"] == len(network.state_dict()) + 2
    else:
        assert case["keys"]["entries"] == len(network.state_dict())
        assert case["keys"]["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    pictures = torch.from_numpy(made(case["input"], place))
    if case["input"]["rule"] == "waves":
        pictures = front_end(config["front_end"])(pictures)[:, 0]
    with torch.inference_mode():
        outputs = network.outputs(pictures[:, None])
        for entry in case["outputs"]:
            name, actual = entry["name"], outputs[entry["name"]]
            actual = actual[..., list(settings.selected)] if settings.selected else actual
            assert_close(place.expected(entry), actual.numpy(), entry["atol"], name)
            if "clipwise_" in name and "_pred_" in name:
                chosen = registry.build(MODELS, "timm", {**vars(settings), "output": name}, "model", n_classes)
                chosen.load_state_dict(network.state_dict())
                answer = chosen.eval()(pictures[:, None]).sigmoid()
                assert_close(place.expected(entry), answer.numpy(), entry["atol"], f"forward, {name}")


# ---------------------------------------------------------------- pipelines
def pipeline_members(case: dict[str, Any], place: GoldenSet, head: str, **settings: Any) -> list[nn.Module]:
    """The networks of a pipeline with their weights."""
    found = []
    for entry in case.get("networks") or [case["network"]]:
        own_head = {"gem": "gem_classifier", "classifier": "classifier"}.get(entry.get("head", ""), head)
        selected = tuple(entry.get("selected") or ())
        table = TimmSettings(
            entry["backbone"],
            own_head,
            classes=entry["classes"] if selected else 0,
            selected=selected,
            **{"in_chans": 3, **settings},
        )
        network = registry.build(MODELS, "timm", vars(table), "model", len(selected) or entry["classes"])
        found.append(filled(network, own_head, entry["weights"], place.salt))
    return found


def mean_of(members: list[nn.Module], pictures: Tensor, rule: str = "mean") -> np.ndarray:
    """The members' probabilities, blended."""
    with torch.inference_mode():
        answers = [member(pictures).sigmoid().double().numpy() for member in members]
    weights = np.full((len(members), len(pictures)), 1 / len(members))
    return BLENDS["power" if rule == "root_mean_square" else "mean"](answers, weights)


@requires_timm
@pytest.mark.parametrize(("place", "case"), golden("birdclef", "pipeline"))
def test_pipeline_of_birdclef_gives_the_published_rows(place: GoldenSet, case: dict[str, Any]) -> None:
    """From a made minute to twelve rows, with the templates' front ends and the steps of [[after]]."""
    minute, system = made(case["input"], place), case["system"].split("/")[0]
    name = (
        case["front_end"]
        if isinstance(case["front_end"], str)
        else f"fg2026_{'20s' if case['context_s'] == 20 else '128'}"
    )
    settings = WindowSettings(context_seconds=float(case.get("context_s", 5)))
    starts = [settings.first_sample(i, 32000) for i in range(12)]
    length = settings.window_samples(32000)
    waveforms = torch.from_numpy(cut(minute, starts, length))
    make = front_end(name)
    pictures = torch.cat([make(some) for some in waveforms.split(case.get("batch", 12))])
    steps: list[dict[str, Any]] = []
    if system in ("vs2023", "vs2025"):
        output = "clipwise_timewisemax_pred_short" if system == "vs2023" else "clipwise_pred_long"
        mixed = case["head"].get("coefficient", 0.5)
        members = pipeline_members(case, place, "attention_sed", in_chans=1, output=output, mixed=mixed)
        values = mean_of(members, pictures, case["blend"])
    elif system == "theo2024":
        values = mean_of(pipeline_members(case, place, "classifier", channels="mel_position"), pictures)
    elif case["system"] == "fg2026/sed":
        options = {"in_chans": 1, "clip_weight": case["steps"][0]["clip_frame"][0], "logit_limit": 50.0}
        values = mean_of(pipeline_members(case, place, "bottleneck_attention", **options), pictures)
        steps = [{"name": "gaussian", "sigma": case["steps"][1]["gaussian"]}]
    elif system == "silver2026":
        values = mean_of(pipeline_members(case, place, "log_sum_exp", in_chans=1), pictures)
        steps = [{"name": "gaussian", "sigma": case["steps"][0]["gaussian"]}, {"name": "clip"}]
        values = values[:, : case["expected"]["shape"][1]]
    else:
        values, steps = fg2026(case, place, minute, waveforms, make)
    names = (case.get("file", "r.ogg"),)
    columns = tuple(case.get("columns", ()))
    table = Table(values, of_recordings(1, len(values)), names, columns)
    actual = apply(steps_of(steps), table)
    if columns:  # what the member does not know is told apart behind its steps
        known = [columns.index(column) for column in case["label_map"].values()]
        actual[:, [i for i in range(len(columns)) if i not in known]] = 1 / len(columns)
    assert_close(place.expected(case["expected"]), actual, case["atol"], case["id"])


def fg2026(
    case: dict[str, Any], place: GoldenSet, minute: np.ndarray, waveforms: Tensor, make: Any
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """One member of the second place of 2026 in the submission's columns, and its steps."""
    on = case["steps"]
    is_long = case["context_s"] == 20
    member = pipeline_members(case, place, "frame_attention", output="frame_logits" if is_long else "att_clipwise")[0]

    def answer(some: Tensor) -> np.ndarray:
        with torch.inference_mode():
            probabilities = member(make(some)).sigmoid().double().numpy()
        return overlap_average_max(probabilities, probabilities.shape[1] * 5 // 20) if is_long else probabilities

    values = answer(waveforms)
    if on["TEMPORAL_TTA"]:
        rolled = [
            torch.from_numpy(
                Samples([(0, minute)])
                .joined(ring_parts(0, waveforms.numel(), d, waveforms.numel()))
                .reshape(waveforms.shape)
            )
            for d in (40000, -40000)
        ]
        values = (values + 2 * answer(rolled[0]) + 2 * answer(rolled[1])) / 5
    columns = case["columns"]
    table = np.full((len(values), len(columns)), 1 / len(columns))
    for label, column in case["label_map"].items():
        table[:, columns.index(column)] = values[:, int(label)]
    ratios = next(c["settings"]["ratios"] for c in place.table["cases"] if c.get("step") == "diel_prior")
    steps = {
        "DIEL_PRIOR": {"name": "diel_prior", "ratios": ratios, "taxa": case["taxa"]},
        "TEMPORAL_SMOOTHING": {"name": "kernel", "weights": [0.2, 0.6, 0.2]},
        "DELTA_SMOOTH": {"name": "delta", "alpha": 0.15},
        "RANK_AWARE": {"name": "maximum_power", "power": 0.4},
        "CONF_SCALE": {"name": "top_k_scale", "k": 2, "power": 1.0},
    }
    return table, [settings for key, settings in steps.items() if on[key]]
