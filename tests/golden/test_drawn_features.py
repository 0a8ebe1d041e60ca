"""The drawn pictures of "High resolution spectrograms", from the stored excerpts to what the network sees."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import GoldenSet, assert_close, assert_stats, clip_path, golden, golden_sets, part
from torch import Tensor

from soundpost.audio.decode import AudioSettings, decode
from soundpost.front_ends.axis_picture import AxisPicture, AxisPictureSettings, bin_of_row, frame_of_column
from soundpost.front_ends.colour_tables import colour_table
from soundpost.front_ends.reassigned_picture import ReassignedPicture, ReassignedPictureSettings, cells_shown, trusted
from soundpost.front_ends.reassignment import reassigned
from soundpost.front_ends.rendering import luminance, resized

EXCERPT = AudioSettings(sample_rate=22050, length_rule="loudest", length_samples=44100)


def waveform_of(place: GoldenSet, name: str) -> Tensor:
    """(samples,) float32 of a stored excerpt."""
    return torch.from_numpy((place.arrays("waves.npz")[name] / 32768).astype(np.float32))


@functools.lru_cache(maxsize=64)
def reassigned_case(folder: Path, wave: str, q: float) -> Any:
    """The case that holds the reassigned cells of an excerpt."""
    place = next(found for found in golden_sets("hires_spectrogram") if found.folder == folder)
    cases = [case for case in place.table["cases"] if case["kind"] == "reassigned"]
    return next(case for case in cases if case["wave"] == wave and case["q"] == q)


def front_end_of(case: Any, double: bool = False) -> ReassignedPicture:
    """The front end with the sizes that a case names."""
    given = case["params"]
    names = {
        "hop_length": "tdeci",
        "filters_per_row": "over",
        "rows_per_octave": "noct",
        "fmin": "minf",
        "fmax": "maxf",
    }
    sizes = {ours: given[theirs] for ours, theirs in names.items()}
    return ReassignedPicture(ReassignedPictureSettings(q=float(case["q"]), double=double, **sizes))


@functools.lru_cache(maxsize=64)
def cells(folder: Path, wave: str, q: float) -> tuple[Tensor, Tensor]:
    """Energy and visits of a stored excerpt, in float32, computed once for all tests of this process."""
    place = next(found for found in golden_sets("hires_spectrogram") if found.folder == folder)
    return reassigned(waveform_of(place, wave), front_end_of(reassigned_case(folder, wave, q)).grid)


def drawn(place: GoldenSet, wave: str, name: str) -> Tensor:
    """(3, 224, 224) of a picture by its name in the cases: q4, log_db and so on."""
    if name.startswith("q"):
        case = reassigned_case(place.folder, wave, int(name[1:]))
        return front_end_of(case).picture(trusted(*cells(place.folder, wave, case["q"]), case["threshold"]))
    axis, loudness = name.split("_")
    front_end = AxisPicture(AxisPictureSettings(axis=axis, loudness=loudness))
    return front_end(waveform_of(place, wave)[None])[0]


def assert_picture(place: GoldenSet, entry: Any, stats: Any, picture: Tensor, tolerance: Any, what: str) -> None:
    """At most that fraction of the pixels differs at all, and the whole has the stored statistics."""
    image = picture.permute(1, 2, 0).numpy()
    expected = place.expected(entry).astype(np.float64)
    some = part(image, entry["subsample"])
    assert expected.shape == some.shape, f"{what}: expected {expected.shape}, got {some.shape}"
    differing = float((expected != some).any(-1).mean())
    assert differing <= tolerance["mismatch_fraction"], f"{what}: {differing:.2%} of pixels differ"
    if "max_abs" in tolerance:
        assert np.abs(expected - some).max() <= tolerance["max_abs"], f"{what}: {np.abs(expected - some).max()} levels"
    assert_stats(stats, image, 1.0, what, rtol=2e-3)


@pytest.mark.parametrize(("place", "case"), golden("hires_spectrogram", "excerpt"))
def test_excerpt_of_clips_holds_the_published_loudest_moment(place: GoldenSet, case: Any) -> None:
    """Another resampler may move the centre along a plateau, but the loudest quarter adds up to the same."""
    expected, tolerance = case["expect"], case["tol"]
    whole = decode(clip_path(case["signal"]), AudioSettings(sample_rate=EXCERPT.sample_rate)).waveform
    kept = decode(clip_path(case["signal"]), EXCERPT).waveform
    assert expected["samples_22k"] == len(whole)
    assert (EXCERPT.length_samples,) == kept.shape
    half = EXCERPT.length_samples // 2
    quarter = np.abs(kept[half - half // 4 - 1 :][: half // 2]).sum(dtype=np.float64)
    allowed = tolerance["max_window_sum_rel"] * expected["max_window_sum"]
    assert_close(expected["max_window_sum"], quarter, allowed, f"{case['name']} loudest quarter")
    padded = np.pad(whole, half)
    starts = [s for s in range(len(padded) - 2 * half + 1) if padded[s] == kept[0]]
    centres = [s + half for s in starts if np.array_equal(padded[s : s + 2 * half], kept)]
    assert any(abs(centre - expected["centre"]) <= tolerance["centre_samples"] for centre in centres), centres


@pytest.mark.parametrize(("place", "case"), golden("hires_spectrogram", "features"))
def test_amplitudes_of_excerpts_match_published_values(place: GoldenSet, case: Any) -> None:
    """Amplitude and decibels of the short-time spectrum, and the palette that the clip is drawn in."""
    waveform = waveform_of(place, case["wave"])
    for name, loudness in (("mag", "linear"), ("db", "db")):
        front_end = AxisPicture(AxisPictureSettings(loudness=loudness))
        level = front_end.loudness(waveform)
        entry, actual = case["expect"][name], level.numpy()
        scale = case["tol"]["mag_rel_to_max"] * actual.max() if name == "mag" else case["tol"]["db_abs"]
        assert_close(place.expected(entry), part(actual, entry["subsample"]), scale, f"{case['name']} {name}")
        assert_stats(case["stats"][name], actual, max(scale, 1e-6), f"{case['name']} {name}")
        assert case["colour"][loudness] == front_end.palette(level)


@pytest.mark.parametrize(("place", "case"), golden("hires_spectrogram", "axis_map"))
def test_plotting_area_shows_the_published_bins(place: GoldenSet, case: Any) -> None:
    """Which bin and frame each pixel shows is exact."""
    axis = case["name"].split("/")[1]
    if axis == "reassigned":
        actual = {"row": cells_shown(1.5, 224), "column": cells_shown(0.5, 224)}
    else:
        actual = {"bin_of_raster_row": bin_of_row(axis, 22050, 2048), "frame_of_raster_column": frame_of_column(87)}
    for name, entry in case["expect"].items():
        assert np.array_equal(place.expected(entry), actual[name].numpy()), f"{case['name']} {name}"


@pytest.mark.parametrize(("place", "case"), golden("hires_spectrogram", "lut"))
def test_colour_tables_match_published_entries(place: GoldenSet, case: Any) -> None:
    """All 256 entries of all three tables are exact."""
    for name, entry in case["expect"].items():
        actual = colour_table(name.removesuffix("_t"), torch.device("cpu")).numpy()
        assert np.array_equal(place.expected(entry), actual), name


@pytest.mark.parametrize(("place", "case"), golden("hires_spectrogram", "resize"))
def test_resizing_matches_pillow(place: GoldenSet, case: Any) -> None:
    """Random pixels in another size, as Pillow computes them."""
    rule = case["input"]["rule"]
    size, seed = rule.split("size=(")[1].split(")")[0], int(rule.split("seed ")[1].split(" ")[0])
    random = np.random.RandomState(seed).uniform(0, 255, tuple(int(n) for n in size.split(",")))
    picture = torch.from_numpy(random.astype(np.float32).astype(np.uint8)).permute(2, 0, 1).float()
    actual = resized(picture, *case["input"]["to"]).permute(1, 2, 0).numpy()
    assert_close(place.expected(case["expect"]["image"]), actual, case["tol"]["max_abs"], case["name"])


@pytest.mark.parametrize(("place", "case"), golden("hires_spectrogram", "image", where=lambda case: "axis" in case))
def test_axis_pictures_of_excerpts_match_published_pixels(place: GoldenSet, case: Any) -> None:
    """Every axis in both loudnesses, in colour and as luminance."""
    picture = drawn(place, case["wave"], f"{case['axis']}_{case['loudness']}")
    assert_picture(place, case["expect"]["image"], case["stats"]["image"], picture, case["tol"], case["name"])
    assert_stats(case["stats"]["grey"], luminance(picture).numpy(), 1.0, f"{case['name']} grey", rtol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("place", "case"), golden("hires_spectrogram", "reassigned"))
def test_reassigned_cells_of_excerpts_match_published_energies(place: GoldenSet, case: Any) -> None:
    """Energies before and after the threshold and the picture, computed in float32 as the experiments were."""
    energy, visits = cells(place.folder, case["wave"], case["q"])
    expected, tolerance, actual = case["expect"], case["tol"], energy.T.numpy()
    sides = {"energy": actual, "energy_time_marginal": actual.sum(1), "energy_freq_marginal": actual.sum(0)}
    for name, array in sides.items():
        some = part(array, expected[name].get("subsample", "all"))
        assert_near(place.expected(expected[name]), some, tolerance["energy_float32_rel_L1"], f"{case['name']} {name}")
    kept = trusted(energy, visits, case["threshold"])
    total = case["stats"]["hist"]["mean"] * kept.numel()
    assert abs(total - float(kept.sum())) <= tolerance["final_rel_L1"] * total, f"{case['name']} after the threshold"
    picture = front_end_of(case).picture(kept)
    allowed = {"mismatch_fraction": tolerance["image_mismatch_fraction_float32"]}
    assert_picture(place, expected["image"], case["stats"]["image"], picture, allowed, case["name"])


@pytest.mark.parametrize(
    ("place", "case"), golden("hires_spectrogram", "reassigned", where=lambda case: "counts" in case["expect"])
)
def test_reassigned_cells_in_double_precision_match_to_rounding(place: GoldenSet, case: Any) -> None:
    """Where the visits are stored too, the float64 transform gives the published energies and visits."""
    front_end = front_end_of(case, double=True)
    energy, visits = reassigned(waveform_of(place, case["wave"]), front_end.grid)
    entry = case["expect"]["energy"]
    some = part(energy.T.numpy(), entry["subsample"])
    assert_near(place.expected(entry), some, case["tol"]["energy_float64_rel_L1"], case["name"])
    assert case["count_max"] == int(visits.max())
    entry = case["expect"]["counts"]
    assert_near(place.expected(entry), part(visits.T.numpy(), entry["subsample"]), 1e-6, f"{case['name']} visits")
    allowed = {"mismatch_fraction": case["tol"]["image_mismatch_fraction_float64_with_stored_threshold"]}
    picture = front_end.picture(trusted(energy, visits, case["threshold"]))
    assert_picture(place, case["expect"]["image"], case["stats"]["image"], picture, allowed, case["name"])


@pytest.mark.slow
@pytest.mark.parametrize(("place", "case"), golden("hires_spectrogram", "image", where=lambda case: "channels" in case))
def test_stacked_pictures_of_excerpts_match_published_pixels(place: GoldenSet, case: Any) -> None:
    """The luminances of three pictures as three channels."""
    channels = torch.stack([luminance(drawn(place, case["wave"], name)) for name in case["channels"]])
    assert_picture(place, case["expect"]["image"], case["stats"]["image"], channels, case["tol"], case["name"])


def assert_near(expected: np.ndarray, actual: np.ndarray, rel_l1: float, what: str) -> None:
    """Absolute differences add up to at most rel_l1 of what the expected values add up to."""
    assert expected.shape == actual.shape, f"{what}: expected shape {expected.shape}, got {actual.shape}"
    expected = expected.astype(np.float64)
    worst = np.abs(expected - actual).sum() / np.abs(expected).sum()
    assert worst <= rel_l1, f"{what}: differs by {worst:.3g} of the sum, allowed {rel_l1:g}"
