"""The second reader under injury: a program that hangs, floods, dies, eats memory, or is asked to reach out."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from making import FFMPEG, RATE, after, converted, of_samples, replaced, sound, written

from soundpost.audio import ffmpeg
from soundpost.audio.decode import AudioSettings, Probe, decode, probe
from soundpost.errors import ClipError

AS_IT_IS = AudioSettings(sample_rate=0)
AU_HEAD = "sys.stdout.buffer.write(b'.snd' + struct.pack('>5I', 24, 0xFFFFFFFF, 6, 16000, 1))"
PATIENCE_SECONDS = 30.0

MakeProgram = Callable[[str], None]


@pytest.fixture
def m4a(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clip that only ffmpeg reads; the program is the real one."""
    monkeypatch.setenv(ffmpeg.PROGRAM_VARIABLE, FFMPEG)
    path = tmp_path / "clip.m4a"
    path.write_bytes(converted("ipod", "-c:a", "aac", rate=44_100))
    return path


@pytest.fixture
def make_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeProgram:
    """Puts a Python program in ffmpeg's place."""

    def make(code: str) -> None:
        path = tmp_path / "stand_in"
        path.write_text(f"#!{sys.executable} -S\nimport os, signal, struct, sys, time\n{code}\n")
        path.chmod(0o755)
        monkeypatch.setenv(ffmpeg.PROGRAM_VARIABLE, str(path))

    return make


def samples_of(path: Path, settings: AudioSettings) -> int:
    """Samples of a clip, all of them finite; 0 where it is refused. Anything else that is raised fails the test."""
    try:
        waveform = decode(path, settings).waveform
    except ClipError:
        return 0
    assert len(waveform) > 0
    assert np.isfinite(waveform).all()
    return len(waveform)


def test_program_is_the_one_that_is_named_or_the_one_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty name means that there is none; a name that leads nowhere is none either."""
    (tmp_path / "ffmpeg").write_text("#!/bin/sh\n")
    (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(ffmpeg.PROGRAM_VARIABLE, raising=False)
    assert ffmpeg.program() == str(tmp_path / "ffmpeg")
    monkeypatch.setenv(ffmpeg.PROGRAM_VARIABLE, "")
    assert ffmpeg.program() is None
    monkeypatch.setenv(ffmpeg.PROGRAM_VARIABLE, str(tmp_path / "elsewhere"))
    assert ffmpeg.program() is None


def test_decode_without_any_ffmpeg_says_that_one_would_help(m4a: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clip is lost, and the log says what would have read it."""
    monkeypatch.delenv(ffmpeg.PROGRAM_VARIABLE)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ClipError, match=r"clip\.m4a: .*there is no ffmpeg here, which reads more kinds of files"):
        decode(m4a, AS_IT_IS)


@pytest.mark.parametrize(
    "code",
    ["time.sleep(600)", "os.system('sleep 600')", "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: pass"],
)
def test_program_that_hangs_costs_its_time_limit_and_leaves_nothing_behind(
    m4a: Path, make_program: MakeProgram, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """It is killed with all that it started, and no descriptor stays open."""
    make_program(code)
    monkeypatch.setattr(ffmpeg, "TIMEOUT_SECONDS", 0.5)
    before, started = os.listdir("/proc/self/fd"), time.monotonic()

    with pytest.raises(ClipError, match=r"ffmpeg was stopped after 0\.5 s"):
        decode(m4a, AS_IT_IS)

    assert time.monotonic() - started < PATIENCE_SECONDS
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert not [child for child in psutil.Process().children(recursive=True) if "stand_in" in " ".join(child.cmdline())]


def test_program_that_hangs_after_some_sound_leaves_that_sound(
    m4a: Path, make_program: MakeProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came before the limit is used, and the clip is named."""
    make_program(f"{AU_HEAD}\nsys.stdout.buffer.write(bytes(4000)); sys.stdout.flush(); time.sleep(600)")
    monkeypatch.setattr(ffmpeg, "TIMEOUT_SECONDS", 1.5)
    decoded = decode(m4a, AS_IT_IS)
    assert len(decoded.waveform) == 1000
    assert decoded.remarks == ("clip.m4a: ffmpeg was stopped after 1.5 s",)


@pytest.mark.parametrize("content", ["bytes(1 << 20)", "b'\\x7f' * (1 << 20)"], ids=["zeros", "absurd amplitudes"])
def test_program_that_floods_its_output_is_cut_at_what_was_asked_for(
    m4a: Path, make_program: MakeProgram, content: str
) -> None:
    """No more sound is taken than the run reads of a clip."""
    make_program(f"{AU_HEAD}\nwhile True: sys.stdout.buffer.write({content})")
    decoded = decode(m4a, AudioSettings(sample_rate=0, max_seconds=2.5))
    assert len(decoded.waveform) == 40_000
    assert np.isfinite(decoded.waveform).all()
    assert "only the first 2.5 s were read" in decoded.remarks[0]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("while True: sys.stderr.write('woe ' * 10000)", "ffmpeg was stopped after 0.5 s"),
        ("while True: sys.stdout.write('woe ' * 10000)", "something else than sound"),
        (AU_HEAD.replace(", 1))", ", 0))"), "something else than sound"),
        (AU_HEAD.replace(", 1))", ", 2000000000))"), "something else than sound"),
        (AU_HEAD.replace("'>5I', 24", "'>5I', 0xFFFFFFF0"), "something else than sound"),
        (f"{AU_HEAD.replace('16000', '7')}\nsys.stdout.buffer.write(bytes(40))", "ffmpeg says 7 Hz"),
        (AU_HEAD, "ffmpeg reads nothing of it either"),
        ("sys.exit('no\\nsuch decoder.')", r"ended with status 1: such decoder\)"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "ended with status -9"),
        ("bytes(3 << 30)", "MemoryError"),
        ("open('loot', 'w').write('x' * 100000)", "ended with status -25|File too large"),
    ],
)
def test_program_that_misbehaves_costs_the_clip_and_is_quoted(
    m4a: Path, make_program: MakeProgram, monkeypatch: pytest.MonkeyPatch, code: str, words: str
) -> None:
    """Whatever it does, the answer is a ClipError that says what."""
    make_program(code)
    monkeypatch.chdir(m4a.parent)
    if "stderr" in code:
        monkeypatch.setattr(ffmpeg, "TIMEOUT_SECONDS", 0.5)
    with pytest.raises(ClipError, match=rf"clip\.m4a: .*({words})"):
        decode(m4a, AS_IT_IS)
    loot = m4a.parent / "loot"
    assert not loot.exists() or loot.stat().st_size == 0


def test_program_that_cannot_be_started_costs_the_clip(
    m4a: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is no program is named like anything else."""
    (tmp_path / "broken").write_bytes(b"\x7fELF")
    (tmp_path / "broken").chmod(0o755)
    monkeypatch.setenv(ffmpeg.PROGRAM_VARIABLE, str(tmp_path / "broken"))
    with pytest.raises(ClipError, match=r"clip\.m4a: .*Exec format error"):
        decode(m4a, AS_IT_IS)


def test_program_that_is_killed_in_the_middle_leaves_what_it_gave(m4a: Path, make_program: MakeProgram) -> None:
    """The clip is answered from the part, and named."""
    make_program(f"{AU_HEAD}\nsys.stdout.buffer.write(bytes(4001)); sys.stdout.flush(); os.kill(os.getpid(), 9)")
    decoded = decode(m4a, AS_IT_IS)
    assert len(decoded.waveform) == 1000
    assert "ffmpeg ended with status -9" in decoded.remarks[0]
    assert decoded.second_reader.startswith("clip.m4a: read by ffmpeg (soundfile: Format not recognised")


def test_program_dies_with_the_process_that_asked(m4a: Path, make_program: MakeProgram) -> None:
    """A worker that is killed leaves no ffmpeg behind."""
    make_program("time.sleep(600)")
    code = "import sys; from pathlib import Path; from soundpost.audio import ffmpeg; ffmpeg.read(Path(sys.argv[1]), 9)"
    environment = os.environ | {"PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code, str(m4a)], env=environment) as asking:
        until = time.monotonic() + PATIENCE_SECONDS
        children: list[psutil.Process] = []
        while not children and time.monotonic() < until:
            children = psutil.Process(asking.pid).children()
            time.sleep(0.02)
        asking.kill()
    _, alive = psutil.wait_procs(children, PATIENCE_SECONDS)
    assert children
    assert not [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("suffix", [".m3u8", ".wav", ".m4a"])
@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile 'http://127.0.0.1:{port}/a.wav'\n",
        "ffconcat version 1.0\nfile '{wav}'\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 0\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{wav}\n#EXT-X-ENDLIST\n",
    ],
    ids=["playlist", "concat", "concat of a file", "session", "playlist of a file"],
)
def test_clip_that_names_an_address_or_another_file_is_refused_and_nothing_is_reached(
    m4a: Path, text: str, suffix: str
) -> None:
    """A list of other files is no sound, and nobody is called."""
    other = m4a.with_name("other.wav")
    other.write_bytes(written("WAV", "PCM_16"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        path = m4a.with_name(f"list{suffix}")
        path.write_text(text.format(port=server.getsockname()[1], wav=other))
        with pytest.raises(ClipError, match="no audio file that can be read"):
            decode(path, AS_IT_IS)
        with pytest.raises(TimeoutError, match="timed out"):
            server.accept()


@pytest.mark.parametrize("seed", range(8))
def test_noise_that_ffmpeg_could_take_for_sound_is_refused(m4a: Path, seed: int) -> None:
    """What it only guesses at is not believed."""
    m4a.write_bytes(np.random.default_rng(seed).bytes(60_000))
    with pytest.raises(ClipError, match="no audio file that can be read"):
        decode(m4a, AS_IT_IS)


def test_second_reader_reads_no_further_than_max_seconds(m4a: Path) -> None:
    """The bound holds for it as for the first."""
    decoded = decode(m4a, AudioSettings(sample_rate=0, max_seconds=0.25))
    assert len(decoded.waveform) == 11_025
    assert decoded.remarks == ("clip.m4a: only the first 0.25 s were read",)


def test_second_reader_of_a_clip_that_ends_there_makes_no_remark(m4a: Path) -> None:
    """A clip of exactly that length was read whole."""
    decoded = decode(m4a, AudioSettings(sample_rate=0, max_seconds=1.0))
    assert (len(decoded.waveform), decoded.remarks) == (44_100, ())


@pytest.mark.parametrize(
    ("content", "samples"),
    [
        (after(converted("ipod", "-c:a", "aac", rate=44_100), b"mdhd", 16, b"\x7f\xff\xff\xff"), 45_056),
        (after(converted("wav", "-c:a", "g722"), b"data", 4, b"\xff\xff\xff\xff"), RATE),
        (replaced(converted("tta", "-c:a", "tta"), 14, b"\xff\xff\xff\x7f"), 0),  # its header has a checksum
        (after(converted("wv", "-c:a", "wavpack"), b"wvpk", 12, b"\xff\xff\xff\x7f"), RATE),
        (replaced(written("FLAC", "PCM_16"), 21, bytes([written("FLAC", "PCM_16")[21] | 15]) + b"\xff" * 4), RATE),
        (replaced(written("AU", "PCM_16"), 8, b"\x7f\xff\xff\xff"), RATE),
        (after(written("W64", "PCM_16"), b"data", 16, b"\xff" * 7 + b"\x7f"), RATE),
        (after(written("RF64", "PCM_16"), b"ds64", 16, b"\xff" * 7 + b"\x7f"), RATE),
    ],
    ids=["m4a", "G.722", "True Audio", "WavPack", "FLAC", "AU", "W64", "RF64"],
)
def test_clip_that_claims_years_costs_what_it_holds(content: bytes, samples: int, m4a: Path) -> None:
    """A length in a header decides neither memory nor time."""
    m4a.write_bytes(content)
    started, memory = time.monotonic(), psutil.Process().memory_info().rss
    assert samples_of(m4a, AS_IT_IS) == samples
    assert time.monotonic() - started < PATIENCE_SECONDS
    assert psutil.Process().memory_info().rss - memory < 200 << 20


def test_channels_in_anti_phase_are_noticed_behind_the_second_reader_too(m4a: Path) -> None:
    """The loudest channel alone is taken."""
    both = np.concatenate([0.5 * sound(), -0.5 * sound()], 1)
    wav = m4a.with_name("clip.wav")
    wav.write_bytes(of_samples(both, "WAV", "FLOAT"))
    command = [FFMPEG, "-y", "-v", "error", "-i", wav, "-c:a", "wavpack", "-f", "wv", m4a]
    subprocess.run(command, check=True)
    decoded = decode(m4a, AS_IT_IS)
    assert np.abs(decoded.waveform - 0.5 * sound()[:, 0]).max() < 1e-4
    assert decoded.remarks == ("clip.m4a: its channels cancel each other; channel 1 alone was taken",)


def test_probe_of_what_only_ffmpeg_reads_counts_its_samples(m4a: Path) -> None:
    """A forecast knows the length of such clips."""
    assert probe(m4a) == Probe(samples=44_100, sample_rate=44_100, channels=1)


def test_probe_of_what_nobody_reads_is_a_clip_error(m4a: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both readers are quoted."""
    monkeypatch.setenv(ffmpeg.PROGRAM_VARIABLE, "")
    with pytest.raises(ClipError, match=r"Format not recognised.*no ffmpeg here"):
        probe(m4a)


MAKE_DAMAGED = {
    "wav": lambda: written("WAV", "PCM_16"),
    "ima": lambda: written("WAV", "IMA_ADPCM"),
    "rf64": lambda: written("RF64", "PCM_16"),
    "aiff": lambda: written("AIFF", "PCM_16"),
    "flac": lambda: written("FLAC", "PCM_16"),
    "ogg": lambda: converted("ogg", "-c:a", "libvorbis", rate=44_100),
    "opus": lambda: 2 * converted("ogg", "-c:a", "libopus", rate=48_000),
    "oga": lambda: converted("ogg", "-c:a", "flac"),
    "mp3": lambda: converted("mp3", "-c:a", "libmp3lame", rate=32_000),
    "m4a": lambda: converted("ipod", "-c:a", "aac", rate=44_100),
    "webm": lambda: converted("webm", "-c:a", "libopus", rate=48_000),
    "wma": lambda: converted("asf", "-c:a", "wmav2", rate=44_100),
}


@pytest.mark.parametrize("kind", MAKE_DAMAGED)
def test_decode_of_random_damage_is_finite_or_a_clip_error_in_bounded_time(kind: str, m4a: Path) -> None:
    """Bytes overwritten, taken out, doubled, or the end cut off: sound or a sentence, never anything else."""
    random = np.random.default_rng(sorted(MAKE_DAMAGED).index(kind))
    whole = MAKE_DAMAGED[kind]()
    path = m4a.with_name(f"clip.{kind}")
    for _ in range(12):
        content = bytearray(whole)
        for _ in range(random.integers(1, 6)):
            early = random.random() < 0.2  # headers are where damage hurts
            at = int(random.integers(0, min(200, len(content)) if early else len(content)))
            length = int(random.integers(1, 60))
            match random.integers(4):
                case 0:
                    content[at : at + length] = random.bytes(length)
                case 1:
                    del content[at : at + length]
                case 2:
                    content[at:at] = content[at : at + length]
                case 3:
                    del content[max(at, len(content) // 4) :]
        path.write_bytes(content or b"x")
        started = time.monotonic()
        samples_of(path, AudioSettings(sample_rate=RATE, max_seconds=20.0))
        assert time.monotonic() - started < PATIENCE_SECONDS
