"""Front ends: what each one promises, librosa's numbers, and sounds whose picture is known beforehand."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import librosa
import matplotlib
import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor

from soundpost.errors import SettingsError, ShapeError
from soundpost.front_ends import FRONT_ENDS
from soundpost.front_ends.axis_picture import AxisPicture, AxisPictureSettings, quantile
from soundpost.front_ends.colour_tables import TABLES, colour_table
from soundpost.front_ends.log_mel import LogMel, LogMelSettings
from soundpost.front_ends.log_stft import LogStft, LogStftSettings
from soundpost.front_ends.pcen import Pcen, PcenSettings
from soundpost.front_ends.picture import Picture, PictureSettings
from soundpost.front_ends.picture_stack import PictureStackSettings
from soundpost.front_ends.reassigned_picture import ReassignedPicture, ReassignedPictureSettings
from soundpost.front_ends.reassignment import reassigned
from soundpost.front_ends.rendering import luminance, resized
from soundpost.functional import stft
from soundpost.functional.mel import Bands, mel_bank, mel_power
from soundpost.functional.pcen import smoothed
from soundpost.functional.stft import Framing, padded, power_spectra
from soundpost.models.trainable_pcen import TrainablePcen
from soundpost.registry import pick

RATE = 44100  # Hz
DB = 1e-3  # dB; float32 transforms of ours and of librosa differ by less than this
SMALL = {"filters_per_row": 2}  # fewer filters than published, so that a test takes no seconds


def noise(samples: int, seed: int = 0, amplitude: float = 0.3) -> Tensor:
    """(samples,) of white noise."""
    return amplitude * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def sine(samples: int, hertz: float, rate: int = RATE) -> Tensor:
    """(samples,) of a sine of amplitude 0.5."""
    return (0.5 * torch.sin(2 * torch.pi * hertz / rate * torch.arange(samples, dtype=torch.float64))).float()


def make(name: str) -> Any:
    """A front end of the registry with its default settings, or with smaller ones where those take seconds."""
    front_end = pick(FRONT_ENDS, name, "front end")
    small = {
        "reassigned_picture": lambda: ReassignedPictureSettings(**SMALL),
        "picture_stack": lambda: PictureStackSettings(pictures=("log_db", "mel_linear")),
    }
    return front_end(small.get(name, front_end.Settings)())


# ---------------------------------------------------------------- what every front end promises
@pytest.mark.parametrize("samples", [1, 2, 689, 690, 4000])
@pytest.mark.parametrize("name", FRONT_ENDS)
def test_front_end_gives_the_shape_it_promises(name: str, samples: int) -> None:
    """Shape and type are as declared, down to one sample, and everything is finite."""
    front_end = make(name)
    result = front_end(noise(samples)[None])
    assert (1, *front_end.shape(samples)) == tuple(result.shape)
    assert result.dtype == torch.float32
    assert torch.isfinite(result).all()


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_front_end_of_a_clip_is_the_same_alone_and_in_a_batch(name: str) -> None:
    """Not a bit depends on batch mates, their order or their loudness."""
    front_end = make(name)
    clips = torch.stack([noise(5000), 1e-4 * noise(5000, 1), 3 * noise(5000, 2), torch.zeros(5000)])
    together = front_end(clips)
    for row, clip in zip(together, clips, strict=True):
        assert torch.equal(front_end(clip[None])[0], row)
    assert torch.equal(together.flip(0), front_end(clips.flip(0)))


@pytest.mark.parametrize("name", FRONT_ENDS)
@pytest.mark.parametrize(
    "waveform",
    [torch.zeros(3000), torch.ones(3000), noise(3000).sign(), 1e-20 * noise(3000), 1e5 * noise(3000)],
    ids=["silence", "constant", "clipped", "faint", "huge"],
)
def test_front_end_of_extreme_sounds_is_finite(name: str, waveform: Tensor) -> None:
    """Silence, full-scale clipping and absurd levels have a defined picture."""
    assert torch.isfinite(make(name)(waveform[None])).all()


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_front_end_keeps_no_state_and_draws_nothing(name: str) -> None:
    """The second call gives the same bits, the waveform stays as it was, and so does the random generator."""
    front_end, waveforms = make(name), noise(3000)[None]
    before, state = waveforms.clone(), torch.get_rng_state()
    first = front_end(waveforms)
    assert torch.equal(first, front_end(waveforms))
    assert torch.equal(before, waveforms)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("name", FRONT_ENDS)
@pytest.mark.parametrize("shape", [(100,), (1, 0), (1, 1, 100)], ids=str)
def test_front_end_of_other_axes_is_refused(name: str, shape: tuple[int, ...]) -> None:
    """A forgotten batch axis is named, not guessed."""
    with pytest.raises(ShapeError, match=r"waveforms of shape .*\(batch, samples\)"):
        make(name)(torch.zeros(shape))


@pytest.mark.requires_cuda
@pytest.mark.parametrize("name", FRONT_ENDS)
def test_front_end_on_cuda_agrees_with_the_cpu(name: str) -> None:
    """The same code on a GPU gives the same numbers, for a clip alone and in a batch."""
    front_end = make(name)
    clips = torch.stack([noise(30000), sine(30000, 440)])
    here, there = front_end(clips), front_end(clips.cuda())
    assert torch.equal(front_end(clips[1:].cuda())[0], there[1])
    difference = (here - there.cpu()).abs()
    if here.shape[1] > 1:  # pictures: a rounding may move some pixels by a colour or more
        assert (difference > 2).float().mean() < 0.02
    else:
        assert difference.max() <= (1.0 if name == "picture" else 0.01)


def test_import_of_front_ends_leaves_librosa_out() -> None:
    """Nothing of librosa is loaded when the default front end starts."""
    code = "import sys; import soundpost.front_ends.log_mel; sys.exit('librosa' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, check=True)


# ---------------------------------------------------------------- librosa's numbers
@pytest.mark.parametrize(
    ("sample_rate", "n_fft", "n_mels", "fmin", "fmax"),
    [(44100, 2560, 128, 20, 0), (16000, 2560, 128, 20, 8000), (44100, 1024, 64, 0, 22050), (32000, 512, 40, 300, 9000)],
)
def test_mel_bank_matches_librosa(sample_rate: int, n_fft: int, n_mels: int, fmin: float, fmax: float) -> None:
    """Our own filters are librosa's Slaney filters to the rounding of float32."""
    expected = librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax or None)
    ours = mel_bank(Bands(sample_rate, n_fft, n_mels, fmin, fmax))
    assert np.abs(expected - ours).max() <= 1e-6 * expected.max()


@pytest.mark.filterwarnings("ignore:n_fft=2560 is too large")
@pytest.mark.parametrize("pad_mode", ["reflect", "constant"])
@pytest.mark.parametrize("samples", [1281, 5000, 44100, 131072])
def test_log_mel_matches_librosa_in_either_padding(samples: int, pad_mode: str) -> None:
    """Decibels agree to a thousandth, power to a ten-thousandth, whatever the length."""
    waveform = noise(samples) * torch.linspace(0, 1, samples) ** 4
    options = {"n_fft": 2560, "hop_length": 690, "n_mels": 128, "fmin": 20, "pad_mode": pad_mode}
    power = librosa.feature.melspectrogram(y=waveform.numpy(), sr=RATE, **options)
    ours = LogMel(LogMelSettings(pad_mode=pad_mode))
    assert np.abs(librosa.power_to_db(power) - ours(waveform[None])[0, 0].numpy()).max() <= DB
    relative = mel_power(waveform, ours.framing, ours.bands).numpy() / power - 1
    assert np.abs(relative).max() <= 1e-4


def test_log_mel_without_floor_matches_librosa() -> None:
    """top_db 0 keeps what lies more than 80 dB below the maximum."""
    waveform = torch.cat([noise(20000), 1e-7 * noise(20000, 1)])
    expected = librosa.power_to_db(
        librosa.feature.melspectrogram(y=waveform.numpy(), sr=RATE, n_fft=1024, hop_length=512, n_mels=40), top_db=None
    )
    settings = LogMelSettings(n_fft=1024, hop_length=512, n_mels=40, fmin=0, top_db=0, pad_mode="constant")
    ours = LogMel(settings)(waveform[None])[0, 0].numpy()
    assert expected.max() - expected.min() > 80
    assert np.abs(expected - ours).max() <= DB


@pytest.mark.parametrize("deltas", [0, 1, 2])
def test_log_mel_deltas_match_librosa(deltas: int) -> None:
    """Further channels are librosa's derivatives of the whole clip."""
    result = LogMel(LogMelSettings(deltas=deltas))(noise(20000)[None])[0].numpy()
    assert len(result) == 1 + deltas
    for order in range(1, deltas + 1):
        assert np.abs(librosa.feature.delta(result[0], order=order) - result[order]).max() <= DB


@pytest.mark.parametrize("start", [0.0, 1.0])
def test_pcen_matches_librosa_from_either_start(start: float) -> None:
    """The smoother starts from rest as librosa's did until 0.6, or from 1 as it does since 0.7."""
    waveform = noise(100000) * torch.linspace(0, 1, 100000)
    front_end = Pcen(PcenSettings(start=start))
    power = mel_power(waveform, front_end.framing, front_end.bands).numpy().astype(np.float64)
    constants = {"gain": 0.6, "bias": 0.1, "power": 0.2, "eps": 1e-9, "time_constant": 0.4}
    state = {"zi": np.zeros((256, 1))} if start == 0 else {}
    expected = librosa.pcen(power, sr=RATE, hop_length=689, **constants, **state)
    assert np.abs(expected - front_end(waveform[None])[0, 0].numpy()).max() <= 2e-6


def test_pcen_with_constants_for_each_band_uses_each_bands_own() -> None:
    """Two bands with constants of their own are what they are with those constants for all bands."""
    waveform, alike = noise(30000)[None], {"n_fft": 1024, "hop_length": 512, "n_mels": 2}
    both = Pcen(PcenSettings(gain=(0.5, 0.9), smoothing=(0.1, 0.3), bias=(1.0, 2.0), power=(0.5, 0.2), **alike))
    first = Pcen(PcenSettings(gain=0.5, smoothing=0.1, bias=1.0, power=0.5, **alike))
    second = Pcen(PcenSettings(gain=0.9, smoothing=0.3, bias=2.0, power=0.2, **alike))
    expected = torch.cat([first(waveform)[:, :, :1], second(waveform)[:, :, 1:]], 2)
    assert torch.allclose(expected, both(waveform), rtol=1e-5)


def test_smoothing_in_stretches_is_the_recursion() -> None:
    """Three stretches and a rest give what frame by frame gives."""
    power, weight, last = torch.rand(3, 200), torch.tensor([[0.02], [0.5], [1.0]]), torch.full((3,), 0.7)
    result = smoothed(power, weight, start=0.7)
    for frame in range(200):
        last = (1 - weight[:, 0]) * last + weight[:, 0] * power[:, frame]
        assert torch.allclose(last, result[:, frame], rtol=1e-5)


def test_trainable_pcen_has_one_constant_for_each_band() -> None:
    """All four constants of every band get a gradient; the input stays as it was."""
    layer, power = TrainablePcen(s=0.025, alpha=0.6, delta=0.1, r=0.2, eps=1e-6, n_bands=5), torch.rand(2, 1, 5, 100)
    before = power.clone()
    layer(power).sum().backward()
    assert torch.equal(before, power)
    assert all(parameter.grad.shape == (5,) and parameter.grad.all() for parameter in layer.parameters())


@pytest.mark.parametrize(("n_fft", "hop_length"), [(256, 128), (2048, 1024)])
def test_log_stft_matches_torch(n_fft: int, hop_length: int) -> None:
    """Bins by themselves are torch.stft's magnitudes."""
    waveform, window = noise(20000)[None], torch.hann_window(n_fft)
    magnitude = torch.stft(waveform, n_fft, hop_length, window=window, return_complex=True).abs()
    ours = LogStft(LogStftSettings(n_fft=n_fft, hop_length=hop_length))(waveform)[:, 0]
    assert (torch.log(magnitude + 1e-4) - ours).abs().max() <= 1e-3


@pytest.mark.parametrize("samples", [1, 511, 512, 513, 22050])
def test_same_padding_covers_the_clip_with_as_few_frames_as_needed(samples: int) -> None:
    """One frame for every hop begun, with the missing zeros half in front, rounded down."""
    framing = Framing(n_fft=1024, hop_length=512, pad_mode="same")
    frames = -(-samples // 512)
    missing = max(0, (frames - 1) * 512 + 1024 - samples)
    assert (frames, -(missing // 2)) == (framing.frames(samples), framing.first_sample(samples))


# ---------------------------------------------------------------- length and memory
@pytest.mark.parametrize(("start", "end"), [(-9, 4), (-1, 9), (0, 5), (3, 40), (-30, -3), (5, 6), (7, 30)])
@pytest.mark.parametrize("samples", [1, 2, 5])
@pytest.mark.parametrize("pad_mode", ["reflect", "constant"])
def test_padding_piece_by_piece_is_numpys(start: int, end: int, samples: int, pad_mode: str) -> None:
    """Any stretch of the endlessly padded waveform, however far outside."""
    waveform = np.arange(1, samples + 1, dtype=np.float32)
    expected = np.pad(waveform, 50, mode=pad_mode)[50 + start : 50 + end]
    assert expected.tolist() == padded(torch.from_numpy(waveform), start, end, pad_mode).tolist()


def test_spectra_of_ten_minutes_come_in_small_stretches() -> None:
    """Every frame comes exactly once, and no buffer outgrows its bound however long the clip is."""
    framing, frames, places = Framing(2560, 690), 0, set()
    for first, spectrum in power_spectra(noise(RATE * 600), framing):
        assert (frames, True) == (first, spectrum.shape[0] * 2560 <= stft.STRETCH_VALUES)
        frames += len(spectrum)
        places.add(spectrum.data_ptr())
    assert (framing.frames(RATE * 600), 1) == (frames, len(places))


def test_log_mel_of_a_long_clip_is_that_of_its_pieces() -> None:
    """Frames far from a cut know nothing of it."""
    front_end = LogMel(LogMelSettings(top_db=0))
    waveform = noise(690 * 2000)
    whole, piece = front_end(waveform[None])[0, 0], front_end(waveform[None, : 690 * 500])[0, 0]
    assert (whole[:, :498] - piece[:, :498]).abs().max() <= DB


# ---------------------------------------------------------------- sounds whose picture is known
@pytest.mark.parametrize("hertz", [110.0, 440.0, 1000.0, 5000.0, 15000.0])
def test_log_mel_tone_peaks_in_its_own_mel_band(hertz: float) -> None:
    """A tone is loudest in the band whose centre is nearest to it, or in a neighbour where bands are narrow."""
    settings = LogMelSettings()
    centres = librosa.mel_frequencies(n_mels=130, fmin=20, fmax=22050)[1:-1]
    loudest = LogMel(settings)(sine(RATE, hertz)[None])[0, 0].mean(1).argmax()
    assert abs(int(np.abs(centres - hertz).argmin()) - int(loudest)) <= 1


def test_log_mel_of_twice_the_amplitude_is_six_decibels_up() -> None:
    """Doubling a waveform adds 20 log10(2) everywhere, floor included."""
    front_end = LogMel(LogMelSettings())
    louder, softer = front_end(2 * noise(20000)[None]), front_end(noise(20000)[None])
    assert (louder - softer - 6.0206).abs().max() <= DB


def test_picture_of_any_sound_reaches_from_0_to_255() -> None:
    """Whole numbers, the smallest 0, the largest 255 or by rounding 254."""
    picture = Picture(PictureSettings())(noise(30000)[None])
    assert (picture == picture.round()).all()
    assert float(picture.min()) == 0
    assert float(picture.max()) in (254, 255)


def test_picture_in_colours_is_the_grey_one_cut_in_thirds() -> None:
    """Lowest, middle and highest bands become the channels, not interleaved and under one stretch."""
    grey = Picture(PictureSettings(n_mels=96))(noise(30000)[None])
    colours = Picture(PictureSettings(n_mels=96, colours=3))(noise(30000)[None])
    assert torch.equal(grey[:, 0], colours.flatten(1, 2))


@pytest.mark.parametrize("hertz", [500.0, 3000.0])
@pytest.mark.parametrize("axis", ["linear", "log", "mel"])
def test_axis_picture_tone_is_one_bright_line(axis: str, hertz: float) -> None:
    """The brightest row of a tone lies where its bin is drawn: higher tones further up, the rest dark."""
    picture = luminance(
        AxisPicture(AxisPictureSettings(axis=axis, loudness="linear"))(sine(44100, hertz, 22050)[None])[0]
    )
    other = luminance(AxisPicture(AxisPictureSettings(axis=axis, loudness="linear"))(sine(44100, 1500, 22050)[None])[0])
    rows = picture[:, 20:-20].mean(1)
    assert (rows > 20).sum() < 25
    assert (rows.argmax() < other[:, 20:-20].mean(1).argmax()) == (hertz > 1500)


def test_axis_picture_changes_its_colours_with_the_level() -> None:
    """Decibels that are nearly all of one sign are drawn one-sided, others two-sided, as published."""
    front_end = AxisPicture(AxisPictureSettings())
    palettes = [front_end.palette(front_end.loudness(level * noise(44100))) for level in (10, 0.1, 1e-4)]
    assert palettes == ["magma", "coolwarm", "magma"]


@pytest.mark.parametrize("fraction", [0.0, 0.02, 0.5, 0.98, 1.0])
def test_quantile_matches_numpy(fraction: float) -> None:
    """Between two neighbours the value is found in proportion."""
    values = noise(1003)
    assert float(quantile(values, fraction)) == pytest.approx(np.quantile(values.numpy(), fraction), abs=1e-6)


def strongest(energy: Tensor, axis: int) -> tuple[int, float]:
    """The row or column with most energy, and its share of all, with its two neighbours."""
    along = energy.sum(axis)
    best = int(along.argmax())
    return best, float(along[max(0, best - 1) : best + 2].sum() / along.sum())


@pytest.mark.parametrize("q", [1.0, 4.0])
def test_reassigned_tone_falls_into_its_own_row(q: float) -> None:
    """All energy of a steady tone goes to the row of its frequency, however wide the filters are."""
    front_end = ReassignedPicture(ReassignedPictureSettings(q=q, **SMALL))
    energy, _ = reassigned(sine(8000, 1000, 22050), front_end.grid)
    row, share = strongest(energy, 1)
    assert round(26.2 * np.log2(11025 / 1000)) == row
    assert share > 0.98


@pytest.mark.parametrize("q", [1.0, 4.0])
def test_reassigned_click_falls_into_its_own_column(q: float) -> None:
    """Nearly all energy of a click goes to the instant of the click."""
    front_end = ReassignedPicture(ReassignedPictureSettings(q=q, **SMALL))
    click = torch.zeros(8000)
    click[4250] = 1.0
    energy, _ = reassigned(click, front_end.grid)
    column, share = strongest(energy, 0)
    assert column == 4250 // 197
    assert share > 0.98


def test_reassigned_cells_of_pieces_lie_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clip too long for one transform gives the cells of its pieces."""
    grid, waveform = ReassignedPicture(ReassignedPictureSettings(**SMALL)).grid, noise(1970)
    left, right = reassigned(waveform[:985], grid), reassigned(waveform[985:], grid)
    monkeypatch.setattr("soundpost.front_ends.reassignment.SAMPLES_AT_ONCE", 1000)
    energy, visits = reassigned(waveform, grid)
    assert torch.equal(torch.cat([left[0], right[0]], 1), energy)
    assert torch.equal(torch.cat([left[1], right[1]], 1), visits)


@pytest.mark.parametrize("name", TABLES)
def test_colour_tables_are_matplotlibs(name: str) -> None:
    """The texts hold what the plotting library makes, cut or rounded as published."""
    rounding = 0.0 if name == "viridis" else 0.5
    expected = np.floor(255 * matplotlib.colormaps[name](np.arange(256))[:, :3] + rounding)
    assert np.array_equal(expected, colour_table(name, torch.device("cpu")).numpy())


@pytest.mark.parametrize("size", [(224, 224), (24, 24), (17, 40), (9, 9), (100, 7)])
def test_resizing_is_pillows_bicubic_rule(size: tuple[int, int]) -> None:
    """Every pixel agrees, in growing and in shrinking."""
    pixels = np.random.RandomState(0).randint(0, 256, (17, 23), np.uint8)
    expected = PIL.Image.fromarray(pixels).resize(size[::-1], PIL.Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(expected), resized(torch.from_numpy(pixels).float(), *size).numpy())


def test_luminance_is_pillows_grey() -> None:
    """Shades of grey are rounded as Pillow rounds them."""
    pixels = np.random.RandomState(0).randint(0, 256, (40, 50, 3), np.uint8)
    ours = luminance(torch.from_numpy(pixels).permute(2, 0, 1).float())
    assert np.array_equal(np.asarray(PIL.Image.fromarray(pixels).convert("L")), ours.numpy())


# ---------------------------------------------------------------- settings
@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (lambda: LogMel(LogMelSettings(pad_mode="edge")), "pad_mode 'edge' is not known"),
        (lambda: LogMel(LogMelSettings(hop_length=0)), "hop_length 0"),
        (lambda: LogMel(LogMelSettings(deltas=3)), "deltas = 3"),
        (lambda: LogMel(LogMelSettings(fmin=9000, fmax=8000))(noise(100)[None]), "no band lies between"),
        (lambda: Picture(PictureSettings(n_mels=128, colours=3)), "multiple of colours"),
        (lambda: Pcen(PcenSettings(gain=(0.5, 0.6))), "gain has 2 numbers for 256 mel bands"),
        (lambda: AxisPicture(AxisPictureSettings(axis="bark")), "axis 'bark'"),
        (lambda: pick(FRONT_ENDS, "picture_stack", "front end")(PictureStackSettings(("q3",))), "picture 'q3'"),
    ],
)
def test_front_end_settings_that_cannot_be_meant_are_refused(attempt: Callable[[], Any], words: str) -> None:
    """The message names the value and what is known."""
    with pytest.raises(SettingsError, match=words):
        attempt()
