"""Decoding: sound files of all kinds, damaged ones, and which stretch of a waveform is kept."""

import math
import struct
import subprocess
import sys
import warnings
from pathlib import Path

import librosa
import numpy as np
import pytest
import scipy.io
import soundfile
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from making import FFMPEG

from soundpost.audio.decode import AudioSettings, Probe, decode, fit, probe
from soundpost.audio.ffmpeg import PROGRAM_VARIABLE
from soundpost.audio.trim import loudest, trim
from soundpost.errors import ClipError, SettingsError

RATE = 16000  # Hz
AS_IT_IS = AudioSettings(sample_rate=0)
SHARED = Path(__file__).resolve().parents[3] / "shared"
SCIPY_FILES = sorted((Path(scipy.io.__file__).parent / "tests" / "data").glob("*.wav"))

STEPS = {  # the coarsest step of amplitude that a format keeps near full scale
    ("WAV", "PCM_U8"): 1 / 128,
    ("WAV", "PCM_16"): 1 / 32768,
    ("WAV", "PCM_24"): 1 / 2**23,
    ("WAV", "PCM_32"): 1 / 2**23,
    ("WAV", "FLOAT"): 1e-7,
    ("WAV", "DOUBLE"): 1e-7,
    ("WAV", "ALAW"): 1 / 32,
    ("WAV", "ULAW"): 1 / 32,
    ("AIFF", "PCM_16"): 1 / 32768,
    ("FLAC", "PCM_16"): 1 / 32768,
    ("FLAC", "PCM_24"): 1 / 2**23,
    ("OGG", "VORBIS"): 0.1,
    ("MP3", "MPEG_LAYER_III"): 0.1,
}


def tone(samples: int = RATE, hertz: float = 440.0, rate: int = RATE) -> np.ndarray:
    """A sine of amplitude 0.5."""
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(samples) / rate)).astype(np.float32)


def wav(
    data: bytes, promised: int | None = None, tag: int = 1, bits: int = 16, channels: int = 1, rate: int = RATE
) -> bytes:
    """A RIFF file whose header promises that many bytes of samples."""
    size = len(data) if promised is None else promised
    width = channels * bits // 8
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, tag, channels, rate, rate * width, width, bits)
    return (
        struct.pack("<4sI4s", b"RIFF", min(36 + size, 0xFFFFFFFF), b"WAVE")
        + fmt
        + struct.pack("<4sI", b"data", size)
        + data
    )


def pcm(waveform: np.ndarray) -> bytes:
    """16-bit samples."""
    return np.round(waveform * 32767).astype("<i2").tobytes()


@pytest.mark.parametrize(("container", "subtype"), STEPS, ids="/".join)
def test_decode_of_every_format_gives_the_tone_that_was_written(container: str, subtype: str, tmp_path: Path) -> None:
    """A tone survives each format to within its own step."""
    if container not in soundfile.available_formats() or subtype not in soundfile.available_subtypes(container):
        pytest.skip(f"this libsndfile writes no {container} {subtype}")
    path = tmp_path / f"clip.{container.lower()}"
    soundfile.write(path, tone(), RATE, format=container, subtype=subtype)
    decoded = decode(path, AudioSettings(sample_rate=RATE))
    assert (decoded.sample_rate, decoded.waveform.dtype, decoded.remarks) == (RATE, np.float32, ())
    assert np.abs(decoded.waveform[:RATE] - tone()).max() <= STEPS[container, subtype]


def test_decode_of_two_channels_gives_their_mean(tmp_path: Path) -> None:
    """Sound in one channel alone comes out at half its amplitude."""
    soundfile.write(tmp_path / "clip.wav", np.stack([tone(), np.zeros(RATE, np.float32)], 1), RATE, subtype="FLOAT")
    assert np.array_equal(tone() / 2, decode(tmp_path / "clip.wav", AS_IT_IS).waveform)


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_decode_of_another_rate_resamples_as_librosa_does(rate: int, tmp_path: Path) -> None:
    """The result is librosa's default resampling, sample by sample."""
    soundfile.write(tmp_path / "clip.wav", tone(rate // 2, rate=rate), rate, subtype="FLOAT")
    decoded = decode(tmp_path / "clip.wav", AudioSettings(sample_rate=RATE))
    expected = librosa.resample(tone(rate // 2, rate=rate), orig_sr=rate, target_sr=RATE)
    assert decoded.sample_rate == RATE
    assert np.array_equal(expected, decoded.waveform)


def test_decode_of_one_sample_at_another_rate_is_finite(tmp_path: Path) -> None:
    """The shortest clip there is can be resampled too."""
    (tmp_path / "clip.wav").write_bytes(wav(pcm(np.array([0.25]))))
    waveform = decode(tmp_path / "clip.wav", AudioSettings(sample_rate=44100)).waveform
    assert len(waveform) == 3
    assert np.isfinite(waveform).all()


def test_import_of_audio_leaves_librosa_out() -> None:
    """Nothing of librosa is loaded before a clip has to be resampled."""
    code = "import sys; import soundpost.audio.decode; sys.exit('librosa' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0


def test_probe_of_a_sound_file_gives_what_its_header_says(tmp_path: Path) -> None:
    """Length, rate and channels without decoding."""
    soundfile.write(tmp_path / "clip.flac", np.zeros((123, 2)), RATE)
    assert Probe(samples=123, sample_rate=RATE, channels=2) == probe(tmp_path / "clip.flac")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0 bytes"),
        (b"This is no audio file.\n" * 40, "no audio file"),
        (wav(b""), "header promises 0 samples, file holds none"),
        (wav(b"", promised=123480), "file holds none"),
        (wav(pcm(tone()))[:30], "no audio file"),
        (b"RIFF", "no audio file"),
        (wav(bytes(44), tag=0x7777), "no audio file"),
        (wav(pcm(tone()), rate=7), "header says 7 Hz"),
    ],
    ids=["empty", "text", "header only", "header that promises", "cut header", "four bytes", "unknown coding", "rate"],
)
def test_decode_without_one_sample_names_file_and_reason(content: bytes, words: str, tmp_path: Path) -> None:
    """A file with nothing to hear is a ClipError, never silence."""
    (tmp_path / "bark.wav").write_bytes(content)
    with pytest.raises(ClipError, match=rf"bark\.wav: .*{words}"):
        decode(tmp_path / "bark.wav", AS_IT_IS)


@pytest.mark.parametrize("function", [probe, lambda path: decode(path, AS_IT_IS)], ids=["probe", "decode"])
def test_missing_file_and_folder_are_clip_errors(function: object, tmp_path: Path) -> None:
    """What cannot be opened is named like any other bad clip."""
    with pytest.raises(ClipError, match=r"bark\.wav: cannot be opened"):
        function(tmp_path / "bark.wav")
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(ClipError, match=r"folder\.wav: "):
        function(tmp_path / "folder.wav")


@pytest.mark.parametrize("promised", [2 * RATE * 2, 0xFFFFFFFF], ids=["twice as much", "unknown"])
def test_decode_of_a_header_that_promises_too_much_gives_the_samples_there_are(promised: int, tmp_path: Path) -> None:
    """A cut file and one of a streaming encoder give every whole sample, and say so."""
    (tmp_path / "clip.wav").write_bytes(wav(pcm(tone()) + b"\x01", promised))
    decoded = decode(tmp_path / "clip.wav", AS_IT_IS)
    assert len(decoded.waveform) == RATE
    assert np.abs(decoded.waveform - tone()).max() <= 1 / 32767
    assert decoded.remarks == (f"clip.wav: header promises {promised:,} bytes of samples, file holds {2 * RATE + 1:,}",)


def test_decode_of_samples_that_are_no_numbers_makes_them_zero_and_says_so(tmp_path: Path) -> None:
    """NaN and infinity become silence; the rest stays as it was, even above 1."""
    waveform = 3 * tone()
    waveform[10:20], waveform[30] = np.nan, np.inf
    (tmp_path / "clip.wav").write_bytes(wav(waveform.astype("<f4").tobytes(), tag=3, bits=32))
    decoded = decode(tmp_path / "clip.wav", AS_IT_IS)
    assert np.array_equal(np.where(np.isfinite(waveform), waveform, 0), decoded.waveform)
    assert decoded.remarks == (f"clip.wav: 11 of {RATE:,} samples were no numbers and became 0",)


def test_decode_of_absurd_amplitudes_keeps_their_squares_in_range(tmp_path: Path) -> None:
    """Samples whose square no float32 holds are cut down, with a remark."""
    (tmp_path / "clip.wav").write_bytes(wav(np.full(100, 3e38, "<f4").tobytes(), tag=3, bits=32))
    decoded = decode(tmp_path / "clip.wav", AS_IT_IS)
    assert np.isfinite(np.square(decoded.waveform) * 1e12).all()
    assert "samples louder than" in decoded.remarks[0]


def test_decode_of_damaged_flac_gives_what_comes_before_the_damage(tmp_path: Path) -> None:
    """The decoder gives up in the middle; what it gave until then is kept."""
    path = tmp_path / "clip.flac"
    noise = np.random.RandomState(0).uniform(-0.5, 0.5, 20 * RATE)
    soundfile.write(path, noise, RATE)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    decoded = decode(path, AS_IT_IS)
    count = len(decoded.waveform)
    assert RATE < count < 11 * RATE
    assert np.abs(decoded.waveform - noise[:count]).max() <= 1 / 32768
    assert decoded.remarks


def test_decode_reads_no_further_than_max_seconds(tmp_path: Path) -> None:
    """A clip of absurd length costs bounded memory, and the report says what was left out."""
    soundfile.write(tmp_path / "clip.wav", tone(5 * RATE), RATE)
    decoded = decode(tmp_path / "clip.wav", AudioSettings(sample_rate=RATE, max_seconds=2.0))
    assert len(decoded.waveform) == 2 * RATE
    assert decoded.remarks == ("clip.wav: only the first 2 s of 5 s were read",)


@pytest.mark.parametrize("value", [0.0, 0.25], ids=["zeros", "a constant"])
def test_decode_of_a_clip_in_which_nothing_changes_names_it_as_silent(value: float, tmp_path: Path) -> None:
    """It is answered, and the report can say which clips hold nothing to hear."""
    (tmp_path / "clip.wav").write_bytes(wav(np.full(RATE, value, "<f4").tobytes(), tag=3, bits=32))
    decoded = decode(tmp_path / "clip.wav", AS_IT_IS)
    assert decoded.waveform.tolist() == [value] * RATE
    assert (decoded.silent, decoded.remarks) == (f"clip.wav: all 16,000 samples are {value:g}", ())


def test_decode_of_a_single_sample_names_it_as_silent(tmp_path: Path) -> None:
    """One amplitude is no sound."""
    (tmp_path / "clip.wav").write_bytes(wav(pcm(np.array([0.25]))))
    assert decode(tmp_path / "clip.wav", AS_IT_IS).silent == "clip.wav: it holds a single sample"


def test_decode_of_nothing_but_nan_is_silent_and_says_both(tmp_path: Path) -> None:
    """What became zeros is silence too."""
    (tmp_path / "clip.wav").write_bytes(wav(np.full(50, np.nan, "<f4").tobytes(), tag=3, bits=32))
    decoded = decode(tmp_path / "clip.wav", AS_IT_IS)
    assert decoded.silent == "clip.wav: all 50 samples are 0"
    assert decoded.remarks == ("clip.wav: 50 of 50 samples were no numbers and became 0",)


@pytest.mark.parametrize(
    ("right", "is_cancelled"), [(-1.0, True), (-0.98, True), (-0.9, False), (0.0, False), (1.0, False)]
)
def test_decode_of_channels_that_cancel_takes_the_louder_one(right: float, is_cancelled: bool, tmp_path: Path) -> None:
    """A mean that has lost 30 dB is no mean of sounds; anything above stays the mean."""
    soundfile.write(tmp_path / "clip.wav", np.stack([tone(), right * tone()], 1), RATE, subtype="FLOAT")
    decoded = decode(tmp_path / "clip.wav", AS_IT_IS)
    expected = tone() if is_cancelled else (tone() + np.float32(right) * tone()) / 2
    assert np.abs(decoded.waveform - expected).max() < 1e-6
    assert bool(decoded.remarks) == is_cancelled


def as_scipy_reads(path: Path) -> np.ndarray | None:
    """What scipy finds in a file, (samples, channels) or (samples,); None where it refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return scipy.io.wavfile.read(path)[1]
        except ValueError:
            return None


@pytest.mark.parametrize("path", SCIPY_FILES, ids=lambda path: path.stem)
def test_decode_of_scipys_odd_files_gives_all_true_samples_or_a_clip_error(path: Path) -> None:
    """What both read is the same; refused are files without samples and integers of more than 32 bits."""
    samples = as_scipy_reads(path)
    if refuses(path):
        assert samples is None or len(samples) == 0 or samples.dtype.itemsize == 8
    elif samples is not None:
        zero, scale = {"u": (128, 128), "i": (0, 2.0 ** (8 * samples.itemsize - 1)), "f": (0, 1)}[samples.dtype.kind]
        expected = (samples.reshape(len(samples), -1).astype(np.float64).mean(1) - zero) / scale
        waveform = decode(path, AS_IT_IS).waveform
        assert expected.shape == waveform.shape
        assert np.abs(expected - waveform).max() <= 1e-6


def refuses(path: Path) -> bool:
    """Whether a file is a ClipError; anything else that is raised fails the test."""
    try:
        decoded = decode(path, AudioSettings(sample_rate=RATE, max_seconds=60.0))
    except ClipError:
        return True
    assert len(decoded.waveform) > 0
    assert np.isfinite(decoded.waveform).all()
    return False


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
@given(position=st.floats(0, 1), junk=st.binary(min_size=0, max_size=40), cut=st.floats(0.2, 1))
@hypothesis_settings(max_examples=40, deadline=None, derandomize=True)
def test_decode_of_damaged_files_gives_finite_samples_or_a_clip_error(
    suffix: str, position: float, junk: bytes, cut: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever bytes are overwritten or missing, nothing but a ClipError is ever raised."""
    path = tmp_path_factory.mktemp("damage") / f"clip.{suffix}"
    soundfile.write(path, tone(4000), RATE)
    content = bytearray(path.read_bytes())
    at = int(position * len(content))
    content[at : at + len(junk)] = junk
    path.write_bytes(content[: math.ceil(cut * len(content))])
    refuses(path)


@pytest.mark.requires_shared
@pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="the shared data folder is not beside the checkout")
@pytest.mark.parametrize("program", ["", FFMPEG], ids=["soundfile alone", "ffmpeg too"])
def test_decode_of_made_odd_files_refuses_only_those_without_sound(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three of the seventeen kinds of odd files hold nothing and are refused; all others are heard."""
    monkeypatch.setenv(PROGRAM_VARIABLE, program)
    clips = SHARED / "data" / "esc10"
    command = [SHARED / "data" / "make_fat_shaped.py", "--clips", clips / "clips", "--classes", clips / "clips.csv"]
    options = ["--folds", "1,2,3,4", "--out", tmp_path, "--n", "1", "--odd", "all"]
    subprocess.run([sys.executable, *command, *options], check=True, capture_output=True)
    lines = (tmp_path / "odd_files.csv").read_text().splitlines()[1:]
    kinds = dict(line.split(",")[:2] for line in lines)
    refused = {kind for name, kind in kinds.items() if refuses(tmp_path / "test" / name)}
    assert len(kinds) == 17
    assert refused == {"zero_length", "header_only", "not_audio"}


# ---------------------------------------------------------------- what is kept of a waveform
def burst(samples: int, start: int, stop: int) -> np.ndarray:
    """Noise from start to stop, zeros elsewhere."""
    waveform = np.zeros(samples, np.float32)
    waveform[start:stop] = 0.1 * np.random.RandomState(1).standard_normal(stop - start)
    return waveform


@pytest.mark.parametrize("span", [(0, 3000), (700, 9000), (20000, 41600), (59000, 60001)])
@pytest.mark.parametrize("pad_mode", ["reflect", "constant"])
def test_trim_agrees_with_librosa_in_either_padding(span: tuple[int, int], pad_mode: str) -> None:
    """librosa's own trim pads with zeros; its frame energies with mirrored padding give the trim of 2019."""
    waveform = burst(60001, *span) + 1e-4 * tone(60001)
    level = librosa.power_to_db(librosa.feature.rms(y=waveform, pad_mode=pad_mode)[0] ** 2, ref=np.max, top_db=None)
    loud = np.flatnonzero(level > -60)
    assert (512 * loud[0], min(60001, 512 * (loud[-1] + 1))) == trim(waveform, 60.0, pad_mode)
    if pad_mode == "constant":
        assert tuple(librosa.effects.trim(waveform)[1]) == trim(waveform, 60.0, pad_mode)


@pytest.mark.parametrize("samples", [1, 2, 511, 1024, 1025, 5000])
def test_trim_of_silence_and_of_very_short_clips_keeps_all(samples: int) -> None:
    """Digital silence is as loud as its loudest frame; a single sample is its own loudest frame."""
    assert trim(np.zeros(samples, np.float32), 60.0, "reflect") == (0, samples)
    assert trim(np.full(samples, 0.5, np.float32), 60.0, "reflect") == (0, samples)


def test_length_rule_at_least_puts_the_clip_between_zeros() -> None:
    """Where an odd number of samples is missing, the greater half follows."""
    kept = fit(np.ones(5, np.float32), AudioSettings(length_rule="at_least", length_samples=10))
    assert kept.tolist() == [0, 0, 1, 1, 1, 1, 1, 0, 0, 0]


def test_length_rule_from_head_loses_a_late_short_sound_as_published() -> None:
    """The published slip takes the head of the untrimmed clip; the rule around the sound is what was meant."""
    waveform = burst(88200, 52920, 57330)
    rule = {"trim_db": 60.0, "length_samples": 22050}
    head = fit(waveform, AudioSettings(length_rule="at_least_from_head", **rule))
    meant = fit(waveform, AudioSettings(length_rule="at_least_around_sound", **rule))
    assert (len(head), np.count_nonzero(head)) == (22050, 0)
    assert (len(meant), np.count_nonzero(meant)) == (22050, 4410)


def test_length_rule_from_head_leaves_long_clips_trimmed() -> None:
    """What is long enough after trimming is not touched by the rule."""
    settings = AudioSettings(trim_db=60.0, length_rule="at_least_from_head", length_samples=22050)
    waveform = burst(88200, 20000, 60000)
    start, end = trim(waveform, 60.0, "reflect")
    assert np.array_equal(waveform[start:end], fit(waveform, settings))


@pytest.mark.parametrize("start", [0, 500, 30000, 59000])
def test_loudest_stretch_has_the_burst_in_its_middle(start: int) -> None:
    """Half a stretch of zeros lies before and after every clip, so a burst at its edge is centred too."""
    waveform = burst(60000, start, start + 1000)
    kept = loudest(waveform, 4000)
    assert kept.shape == (4000,)
    assert np.array_equal(waveform[start : start + 1000], kept[1500:2500])


@pytest.mark.parametrize("samples", [1, 3, 1000])
def test_loudest_stretch_of_short_or_silent_clips_has_full_length(samples: int) -> None:
    """One sample and digital silence give as many samples as were asked for."""
    assert loudest(np.zeros(samples, np.float32), 4000).tolist() == [0.0] * 4000
    kept = loudest(np.full(samples, 0.5, np.float32), 4000)
    assert kept.shape == (4000,)
    assert np.count_nonzero(kept) == samples


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"length_rule": "longest"}, "length_rule 'longest' is not known"),
        ({"trim_pad_mode": "edge"}, "trim_pad_mode 'edge' is not known"),
        ({"length_rule": "at_least"}, "length_samples 0"),
        ({"max_seconds": 0.0}, "no time at all"),
        ({"sample_rate": -1}, "negative number"),
    ],
)
def test_audio_settings_that_cannot_be_meant_are_refused(wrong: dict[str, object], words: str) -> None:
    """A recipe with such settings fails before the first clip is read."""
    with pytest.raises(SettingsError, match=words):
        AudioSettings(**wrong)
