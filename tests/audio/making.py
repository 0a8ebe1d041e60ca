"""How sound files of all kinds are made for tests: by soundfile, by ffmpeg, and by changing their bytes."""

import io
import struct
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import soundfile

from soundpost.audio.ogg import CAPTURE, crc

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
RATE = 16_000  # Hz
JUNK = np.random.default_rng(7).bytes(3000)
MP3 = ("-c:a", "libmp3lame", "-b:a", "128k")


@cache
def sound(rate: int = RATE, channels: int = 1, seed: int = 0) -> np.ndarray:
    """A second of noise up to 0.3 of the rate and a tone at 0.42 of it, (samples, channels) float32."""
    random = np.random.default_rng(seed)
    spectrum = np.fft.rfft(random.standard_normal((rate, channels)), axis=0)
    spectrum[int(len(spectrum) * 0.6) :] = 0
    noise = np.fft.irfft(spectrum, rate, axis=0)
    tone = np.sin(2 * np.pi * 0.42 * np.arange(rate))[:, None]
    return (0.15 * noise / noise.std() + 0.1 * tone).astype(np.float32)


def of_samples(samples: np.ndarray, container: str, subtype: str, rate: int = RATE, endian: str = "FILE") -> bytes:
    """What soundfile writes of these samples."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=container, subtype=subtype, endian=endian)
    return file.getvalue()


def written(container: str, subtype: str, channels: int = 1, rate: int = RATE, seed: int = 0) -> bytes:
    """What soundfile writes of the sound."""
    return of_samples(sound(rate, channels, seed), container, subtype, rate)


@cache
def converted(muxer: str, *options: str, rate: int = RATE, channels: int = 1, seed: int = 0) -> bytes:
    """What ffmpeg makes of the sound in a file, whose sizes it can go back and fill in."""
    wav = of_samples(sound(rate, channels, seed), "WAV", "FLOAT", rate)
    with tempfile.NamedTemporaryFile() as out:
        command = [FFMPEG, "-y", "-v", "error", "-i", "pipe:0", *options, "-f", muxer, out.name]
        subprocess.run(command, input=wav, check=True, capture_output=True)
        return Path(out.name).read_bytes()


def piped(muxer: str, *options: str, rate: int = RATE) -> bytes:
    """What ffmpeg makes of the sound in a pipe, where sizes stay unknown."""
    wav = of_samples(sound(rate), "WAV", "FLOAT", rate)
    command = [FFMPEG, "-v", "error", "-i", "pipe:0", *options, "-f", muxer, "pipe:1"]
    return subprocess.run(command, input=wav, check=True, capture_output=True).stdout


def heard(content: bytes, folder: Path, suffix: str = ".bin") -> tuple[np.ndarray, int]:
    """The oracle: the mean of the channels that ffmpeg itself decodes, (samples,) float32, and its rate in Hz."""
    path = folder / f"oracle{suffix}"
    path.write_bytes(content)
    command = [FFMPEG, "-nostdin", "-v", "quiet", "-i", path, "-map", "0:a:0", "-c:a", "pcm_f32be", "-f", "au", "-"]
    answer = subprocess.run(command, capture_output=True).stdout
    offset, _, _, rate, channels = struct.unpack(">5I", answer[4:24])
    samples = np.frombuffer(answer[offset : offset + (len(answer) - offset) // (4 * channels) * 4 * channels], ">f4")
    return samples.reshape(-1, channels).astype(np.float32).mean(1), rate


# ------------------------------------------------------------ bytes that are changed
def replaced(content: bytes, at: int, new: bytes) -> bytes:
    """The content with other bytes at a place."""
    return content[:at] + new + content[at + len(new) :]


def after(content: bytes, word: bytes, offset: int, new: bytes) -> bytes:
    """The content with other bytes so many bytes behind a word."""
    return replaced(content, content.index(word) + offset, new)


def half(content: bytes) -> bytes:
    """The first half."""
    return content[: len(content) // 2]


def damaged(content: bytes, junk: bytes = JUNK[:40]) -> bytes:
    """The content with its middle overwritten."""
    return replaced(content, len(content) // 2, junk)


def parted(content: bytes, junk: bytes = JUNK) -> bytes:
    """The content with foreign bytes put into its middle."""
    return half(content) + junk + content[len(content) // 2 :]


def id3(size: int) -> bytes:
    """An ID3 tag of zeros."""
    return b"ID3\x04\0\0" + bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127]) + bytes(size)


def flac_of_unknown_length() -> bytes:
    """The count of samples in STREAMINFO, 36 bits, is 0."""
    content = written("FLAC", "PCM_16")
    return replaced(content, 21, bytes([content[21] & 0xF0]) + bytes(4))


def unsized(content: bytes) -> bytes:
    """A WAV whose sizes the recorder never came to write."""
    return replaced(after(content, b"data", 4, bytes(4)), 4, bytes(4))


def unsized_aiff() -> bytes:
    """The same for AIFF, whose count of samples is 0 too."""
    content = after(written("AIFF", "PCM_16"), b"COMM", 10, bytes(4))
    return replaced(after(content, b"SSND", 4, bytes(4)), 4, bytes(4))


def in_antiphase() -> bytes:
    """The right channel is the left one turned over."""
    return of_samples(np.concatenate([sound(), -sound()], 1), "WAV", "FLOAT")


def with_nan() -> bytes:
    """Ten samples are no numbers."""
    samples = sound().copy()
    samples[100:110] = np.nan
    return of_samples(samples, "WAV", "FLOAT")


def vorbis(rate: int = 44_100, seed: int = 0) -> bytes:
    """Vorbis in pages of a tenth of a second."""
    return converted("ogg", "-c:a", "libvorbis", "-page_duration", "100000", rate=rate, seed=seed)


def opus(rate: int = 48_000, seed: int = 0) -> bytes:
    """Opus as ffmpeg writes it."""
    return converted("ogg", "-c:a", "libopus", "-b:a", "96k", rate=rate, seed=seed)


def opus_that_was(rate: int) -> bytes:
    """Opus of full band whose header says that it was made of sound of that rate, as opusenc writes it."""
    content = after(opus(), b"OpusHead", 12, struct.pack("<I", rate))
    return with_checksum(content, 0, pages(content)[1])


def pages(content: bytes) -> list[int]:
    """Where the pages of an Ogg file begin."""
    found = [content.find(CAPTURE)]
    while found[-1] >= 0:
        found.append(content.find(CAPTURE, found[-1] + 4))
    return found[:-1]


def with_checksum(content: bytes, start: int, stop: int) -> bytes:
    """The content with the checksum of one page made right."""
    blank = replaced(content, start + 22, bytes(4))
    return replaced(blank, start + 22, struct.pack("<I", crc(blank[start:stop])))


def ogg_without_end() -> bytes:
    """The last page does not say that it is the last."""
    content = vorbis()
    last = pages(content)[-1]
    return with_checksum(replaced(content, last + 5, bytes([content[last + 5] & ~4])), last, len(content))


def ogg_without_a_page() -> bytes:
    """A page in the middle is not there."""
    content, starts = vorbis(), pages(vorbis())
    middle = len(starts) // 2
    return content[: starts[middle]] + content[starts[middle + 1] :]


def ogg_with_a_wrong_checksum() -> bytes:
    """A page in the middle has another checksum."""
    starts = pages(vorbis())
    return replaced(vorbis(), starts[len(starts) // 2] + 22, b"\1\2\3\4")


def mp3(*options: str, rate: int = 32_000, seed: int = 0, channels: int = 1) -> bytes:
    """MPEG layer III as lame writes it, at 128 kbit/s, behind a frame with a Xing tag and an ID3 tag."""
    return converted("mp3", *MP3, *options, rate=rate, seed=seed, channels=channels)


def variable_mp3() -> bytes:
    """MPEG layer III of variable bit rate without a frame that counts the others."""
    return converted("mp3", "-c:a", "libmp3lame", "-q:a", "4", "-write_xing", "0", rate=44_100)
