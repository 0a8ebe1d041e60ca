"""Waveforms and mel features of the published systems, from files to what their networks see."""

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import GoldenSet, argus_input, assert_close, assert_stats, chirp, clip_path, clip_waveform, golden, part

from soundpost.audio.decode import AudioSettings, decode, fit
from soundpost.audio.trim import trim
from soundpost.errors import ClipError
from soundpost.front_ends.log_mel import LogMel, LogMelSettings
from soundpost.front_ends.log_stft import LogStft, LogStftSettings
from soundpost.front_ends.pcen import Pcen, PcenSettings
from soundpost.front_ends.picture import Picture, PictureSettings
from soundpost.functional.mel import Bands, mel_bank, mel_power
from soundpost.models.trainable_pcen import TrainablePcen

ARGUS = AudioSettings(trim_db=60.0, length_rule="at_least_from_head", length_samples=22050)
ERC = AudioSettings(sample_rate=16000, trim_db=60.0, length_rule="at_least", length_samples=32000)
FILIPMU = AudioSettings(trim_db=60.0, length_rule="at_least", length_samples=176400)
SIMONGREST = AudioSettings(trim_db=60.0)
EX4SPERANS = AudioSettings(sample_rate=0)

FILIPMU_GREY = {"n_fft": 4480, "hop_length": 746, "n_mels": 224}


def spectrogram(front_end: Any, waveform: np.ndarray) -> np.ndarray:
    """(channels, bins, frames) of one waveform."""
    return front_end(torch.from_numpy(waveform)[None])[0].numpy()


def test_waveform(signal: str) -> np.ndarray:
    """A clip by its name, or the chirp of that name."""
    return chirp(signal) if signal.startswith("synth-") else clip_waveform(signal)


test_waveform.__test__ = False


@pytest.mark.parametrize(("place", "case"), golden("argus", "features"))
def test_log_mel_of_argus_clips_matches_published_decibels(place: GoldenSet, case: Any, tmp_path: Path) -> None:
    """Trim points, the head kept of short clips and every stored decibel are those of the published code."""
    source, audio = case["source"], case["audio"]
    if "clip" in source:
        waveform = clip_waveform(source["clip"])
        kept = decode(clip_path(source["clip"]), ARGUS).waveform
    elif "rule" in source:
        span = {key: source[key] for key in ("start", "stop", "amp")}
        waveform = argus_input(source["rule"], source["name"], source["total"], source["salt"], **span)
        kept = fit(waveform, ARGUS)
    else:
        # The published reader turns whatever it cannot read into silence; the kit names the clip instead.
        (tmp_path / "clip.wav").write_bytes(b"no audio")
        with pytest.raises(ClipError, match="no audio file"):
            decode(tmp_path / "clip.wav", ARGUS)
        waveform, kept = None, np.zeros(ARGUS.length_samples, np.float32)
    if waveform is not None:
        assert audio["n_decoded"] == len(waveform)
        assert_close(audio["decoded_check"]["first"], waveform[:4], 1e-6, "first samples")
        assert tuple(audio["trim"]) == trim(waveform, ARGUS.trim_db, ARGUS.trim_pad_mode)
        start, end = audio["kept"]
        assert np.array_equal(np.pad(waveform[start:end], audio["zero_pad"]), kept)
    assert audio["n_out"] == len(kept)
    log_mel = spectrogram(LogMel(LogMelSettings()), kept)[0]
    assert tuple(case["shape"]) == log_mel.shape
    for name, entry in case["expected"].items():
        expected = place.arrays(case["file"])[entry["key"]]
        actual = log_mel.mean(1) if name == "row_mean" else part(log_mel, entry["slice"])
        assert_close(expected, actual, case["atol_db"], f"{case['id']} {name}")
    for name, number in case["stats"].items():
        assert_close(number, getattr(log_mel.astype(np.float64), name)(), case["atol_db"], f"{case['id']} {name}")


def is_stored(case: Any) -> bool:
    """Whether the arrays of an erc2019 case hold its waveform; where they do not, the clip's file is read."""
    return case.get("waveform_in_npz", True)


def erc2019_waveform(place: GoldenSet, case: Any) -> np.ndarray:
    """The untrimmed waveform (samples,) of an erc2019 case in steps of 16 bits, stored or decoded from its clip."""
    if not is_stored(case):
        decoded = decode(clip_path(case["clip"]), AudioSettings(sample_rate=ERC.sample_rate)).waveform
        return (np.round(decoded * 32768) / 32768).astype(np.float32)
    stored = place.arrays("features.npz")[f"{case['id']}.wave_i16"]
    assert case["wave_i16_sha256"] == hashlib.sha256(stored.tobytes()).hexdigest()
    return (stored / 32768).astype(np.float32)


@pytest.mark.parametrize(("place", "case"), golden("erc2019", section="features"))
def test_picture_of_erc2019_clips_matches_published_pixels(place: GoldenSet, case: Any) -> None:
    """From the untrimmed waveform: trim points, decibels, the 8-bit picture and its variant with zero padding."""
    arrays, name = place.arrays("features.npz"), case["id"]
    waveform = erc2019_waveform(place, case)
    assert (case["trim_start"], case["trim_end"]) == trim(waveform, ERC.trim_db, ERC.trim_pad_mode)
    kept = fit(waveform, ERC)
    assert case["padded_len"] == len(kept)
    settings = PictureSettings()
    same = {key: getattr(settings, key) for key in ("sample_rate", "n_fft", "hop_length", "n_mels", "fmin", "fmax")}
    tolerance = place.table["tolerance"]
    log_mel = spectrogram(LogMel(LogMelSettings(**same)), kept)[0]
    assert case["frames"] == log_mel.shape[1]
    if is_stored(case):  # another decoder's samples have a tolerance in pixels alone
        assert_close(arrays[f"{name}.logmel"], log_mel, tolerance["logmel_db"], f"{name} decibels")
    source = "image_u8_from_stored_waveform" if is_stored(case) else "image_u8_from_the_ogg_file"
    for key, pad_mode in (("image_u8", "reflect"), ("image_constant_pad_u8", "constant")):
        if f"{name}.{key}" in arrays:
            # librosa's trim pads with zeros too since 0.9, but these pictures start from the same trimmed waveform.
            picture = spectrogram(Picture(PictureSettings(pad_mode=pad_mode)), kept)[0]
            assert_pixels(arrays[f"{name}.{key}"], picture, *pixel_tolerance(tolerance[source]), f"{name} {key}")


@pytest.mark.parametrize(("place", "case"), golden("erc2019", "clip", section="features"))
def test_picture_of_an_erc2019_clip_needs_no_stored_waveform(place: GoldenSet, case: Any, tmp_path: Path) -> None:
    """A set whose case says waveform_in_npz = false, and whose arrays hold none, is compared with the clip's file."""
    arrays = {key: array for key, array in place.arrays("features.npz").items() if key != f"{case['id']}.wave_i16"}
    np.savez(tmp_path / "features.npz", **arrays)

    test_picture_of_erc2019_clips_matches_published_pixels(
        GoldenSet(tmp_path, place.table), {**case, "waveform_in_npz": False}
    )


@pytest.mark.parametrize(("place", "case"), golden("erc2019", "clip", section="features"))
def test_picture_of_erc2019_files_is_near_published_pixels(place: GoldenSet, case: Any) -> None:
    """From the file itself, with our resampling and without the stored waveform's 16-bit step."""
    picture = spectrogram(Picture(PictureSettings()), decode(clip_path(case["clip"]), ERC).waveform)[0]
    allowed = pixel_tolerance(place.table["tolerance"]["image_u8_from_the_ogg_file"])
    assert_pixels(place.arrays("features.npz")[f"{case['id']}.image_u8"], picture, *allowed, case["id"])


@pytest.mark.parametrize(("place", "case"), golden("filipmu", "features"))
def test_picture_of_filipmu_signals_matches_published_pixels(place: GoldenSet, case: Any) -> None:
    """Grey pictures of 224 bands and three-colour ones of 672, with the case's own sizes."""
    names = {"n_mels": "n_mels", "n_fft": "n_fft", "hop": "hop_length"}
    config = {names[key]: number for key, number in case.get("config", {}).items()}
    settings = PictureSettings(**{"sample_rate": 44100, **FILIPMU_GREY, **config, "colours": 3 if config else 1})
    kept = fit(test_waveform(case["signal"]), FILIPMU)
    if "samples_after_pad" in case:
        assert case["samples_after_pad"] == len(kept)
    picture = spectrogram(Picture(settings), kept)
    picture = picture.transpose(1, 2, 0) if config else picture[0]
    shared = {key: getattr(settings, key) for key in ("sample_rate", "n_fft", "hop_length", "n_mels", "fmin", "fmax")}
    actual = {"image": picture, "db": spectrogram(LogMel(LogMelSettings(**shared)), kept)[0]}
    tolerance = case["tol"]
    for name, entry in case["expect"].items():
        expected, some = place.expected(entry), part(actual[name], entry["subsample"])
        if name == "image":
            allowed = tolerance["image_max_abs"], tolerance["image_mismatch_fraction"]
            assert_pixels(expected, some, *allowed, case["name"])
            assert_stats(case["stats"][name], actual[name], 1.0, case["name"])
        else:
            assert_close(expected, some, tolerance["db_abs"], case["name"])
            assert_stats(case["stats"][name], actual[name], tolerance["db_abs"], case["name"])


@pytest.mark.parametrize(("place", "case"), golden("filipmu", "crop"))
def test_crop_of_filipmu_picture_matches_published_tensor(place: GoldenSet, case: Any) -> None:
    """As wide as high, the three channels equal, divided by 255."""
    settings = PictureSettings(sample_rate=44100, **FILIPMU_GREY)
    picture = spectrogram(Picture(settings), fit(test_waveform(case["signal"]), FILIPMU))
    size = picture.shape[1]
    assert case["range"] == [0, picture.shape[2] - size]
    tensor = np.repeat(picture[:, :, case["crop_x"] : case["crop_x"] + size] / 255, 3, axis=0)
    entry = case["expect"]["tensor"]
    assert_close(place.expected(entry), part(tensor, entry["subsample"]), case["tol"]["abs"], case["name"])
    assert_stats(case["stats"]["tensor"], tensor, case["tol"]["abs"], case["name"])


@pytest.mark.parametrize(("place", "case"), golden("simongrest", "features", "features_not_published"))
def test_pcen_of_simongrest_signals_matches_published_values(place: GoldenSet, case: Any) -> None:
    """Mel power and its normalisation, started from rest as published or from 1 as librosa does since 0.7."""
    published = case["kind"] == "features"
    pcen = Pcen(PcenSettings(start=0.0 if published else 1.0))
    waveform = test_waveform(case["signal"])
    if "trim" in case:
        assert tuple(case["trim"]) == trim(waveform, SIMONGREST.trim_db, SIMONGREST.trim_pad_mode)
    kept = fit(waveform, SIMONGREST)
    mel = mel_power(torch.from_numpy(kept), pcen.framing, pcen.bands).numpy()
    actual = {"mel": mel, "pcen": spectrogram(pcen, kept)[0]}
    for name, entry in case["expect"].items():
        scale = float(mel.max()) * case["tol"].get("mel_rel_to_max", 0) if name == "mel" else case["tol"]["pcen_abs"]
        assert_close(place.expected(entry), part(actual[name], entry["subsample"]), scale, f"{case['name']} {name}")
        assert_stats(case["stats"][name], actual[name], 2 * scale, f"{case['name']} {name}")


@pytest.mark.parametrize(("place", "case"), golden("simongrest", "trainable_pcen"))
def test_trainable_pcen_matches_published_layer_and_its_gradients(place: GoldenSet, case: Any) -> None:
    """Constants kept as logarithms give the published output, and the published gradients with respect to them."""
    random, wanted = np.random.RandomState(case["input"]["seed"]), case["grads_of_sum_out_times_w"]
    power = torch.from_numpy((random.standard_normal(case["input"]["shape"]) ** 2).astype(np.float32))
    layer = TrainablePcen(**case["start"])
    out = layer(power)
    assert_close(place.expected(case["expect"]["out"]), out.detach().numpy(), case["tol"]["abs"], case["name"])
    weights = np.random.RandomState(int(wanted["w"].split()[-1])).standard_normal(tuple(out.shape))
    (out * torch.from_numpy(weights.astype(np.float32))).sum().backward()
    for name, parameter in layer.named_parameters():
        allowed = case["tol"]["grad_rel"] * abs(wanted[name])
        assert_close(wanted[name], float(parameter.grad), allowed, f"{case['name']} gradient of {name}")


@pytest.mark.parametrize(("place", "case"), golden("ex4sperans", "clip"))
def test_log_stft_of_ex4sperans_clips_matches_published_logarithms(place: GoldenSet, case: Any) -> None:
    """Mel bands and single bins of the untrimmed clip, element by element and on average."""
    waveform = decode(clip_path(case["clip"]), EX4SPERANS).waveform
    check, arrays = case["decode"], place.arrays(case["npz"])
    assert check["n"] == len(waveform)
    assert_close(check["val"], waveform[check["idx"]], 1e-6, "decoded samples")
    settings = {
        "logmel": LogStftSettings(n_fft=2048, hop_length=1024, n_mels=128),
        "logstft": LogStftSettings(n_fft=256, hop_length=128),
        "logstft_hop256": LogStftSettings(n_fft=256, hop_length=256),
    }
    # "logmel: mel_2048_1024_128, (128, frames ::4); logstft: ..." says which frames are stored.
    strides = {name: int(step) for name, step in re.findall(r"(\w+): [^;]*frames ::(\d+)", case["stored"])}
    for name, chosen in settings.items():
        actual, stats = spectrogram(LogStft(chosen), waveform)[0], case[f"{name}_stats"]
        mean_allowed = case["tolerance_mean_abs"][name.split("_")[0]]
        assert tuple(stats["shape"]) == actual.shape
        assert_close(stats["mean"], actual.mean(dtype=np.float64), mean_allowed, f"{case['id']} {name} mean")
        if name in strides:
            expected, some = arrays[f"{case['id']}.{name}"], actual[:, :: strides[name]]
            assert_close(expected, some, case["tolerance_abs"][name], f"{case['id']} {name}")
            assert np.abs(expected - some).mean() <= mean_allowed, f"{case['id']} {name} on average"


@pytest.mark.parametrize(
    ("place", "case"), golden("ex4sperans", "constant", where=lambda case: "filterbank" in case["id"])
)
def test_mel_bank_matches_stored_rows(place: GoldenSet, case: Any) -> None:
    """Our own mel filters are librosa's of 2019, row by row and as a whole."""
    bank = mel_bank(Bands(sample_rate=44100, n_fft=2048, n_mels=128, fmin=5.0, fmax=0.0))
    allowed = case["tolerance_abs"]["filterbank"]
    rows = [int(row) for row in case["note"].split("rows ")[1].split(" ")[0].split(",")]
    assert_close(place.arrays(case["npz"])[case["arrays"][0]], bank[rows], allowed, "mel rows")
    assert_close(case["stats"]["sum_abs"], np.abs(bank.astype(np.float64)).sum(), 1e-5, "sum of the mel bank")


def pixel_tolerance(text: str) -> tuple[int, float]:
    """Levels and fraction of "at most 1 level, on at most 0.2 % of pixels"."""
    levels, percent = re.match(r"at most (\d+) levels?, on at most ([\d.]+) %", text).groups()
    return int(levels), float(percent) / 100


def assert_pixels(expected: np.ndarray, actual: np.ndarray, levels: int, fraction: float, what: str) -> None:
    """Pictures agree up to some levels on a fraction of the pixels."""
    assert expected.shape == actual.shape, f"{what}: expected shape {expected.shape}, got {actual.shape}"
    difference = np.abs(expected.astype(np.float64) - actual)
    assert difference.max() <= levels, f"{what}: differs by {difference.max()} levels, allowed {levels}"
    assert (difference > 0).mean() <= fraction, f"{what}: {(difference > 0).mean():.2%} of pixels differ"
