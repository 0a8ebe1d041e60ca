"""The second reader: the ffmpeg program, asked for what soundfile refuses, and bounded in everything.

The program gets the open file, never its name; it may open no address, write no file, take no more memory, time and
output than is said here, and dies with the process that asked.
"""

import os
import re
import resource
import selectors
import shutil
import signal
import struct
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from soundpost.audio.downmix import Downmix
from soundpost.resources.processes import die_with_parent

PROGRAM_VARIABLE = "SOUNDPOST_FFMPEG"  # names another program than the one on the path; empty: there is none
TIMEOUT_SECONDS = 40.0  # for one file; below what a worker may take for a clip
MEMORY_BYTES = 1 << 30  # address space of the program; its libraries alone take some 300 MB of it
LARGEST_BLOCK = 256 << 20  # bytes that it may ask for at once
READ_BYTES = 1 << 20  # taken from its pipe at once
SAID_BYTES = 8192  # so much of its messages is kept
MOST_CHANNELS = 64
UNSURE = b"misdetection possible"  # in its messages where it guesses at noise
MAGIC, HEAD_BYTES, FLOAT32 = b".snd", 24, 6  # samples come back in the AU format

# What it may take a file for: sound and the containers of sound, never a list of other files or a picture.
FORMATS = (
    "aac,ac3,eac3,adx,aiff,alaw,amr,amrnb,amrwb,ape,apc,asf,asf_o,ast,au,avi,avr,caf,dff,iff,dsf,dts,dtshd,flac,flv,"
    "g722,g723_1,gsm,gxf,ilbc,ircam,loas,matroska,webm,mlp,mmf,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpc,mpc8,mpeg,mpegts,mxf,"
    "nistsphere,nut,ogg,oma,paf,pvf,qcp,rm,rso,sbc,sds,shn,sln,sol,sox,spdif,svx,tak,truehd,tta,voc,vqf,w64,wav,wtv,"
    "wv,xa,xwma,vag"
)


class FfmpegError(Exception):
    """The program is not there or gives nothing; the message is half a sentence."""


@dataclass
class Answer:
    """What the program gave."""

    mix: Downmix
    rate: int = 0  # Hz
    channels: int = 0
    said: bytearray = field(default_factory=bytearray)  # the beginning of its messages
    waiting: bytearray = field(default_factory=bytearray)  # bytes of a sample time that is not whole yet
    stopped: str = ""  # why not all was read; empty: the file ended

    def take(self, content: bytes) -> None:
        """The next bytes of its output.

        Raises:
            FfmpegError: this is no output that was asked for.
        """
        self.waiting += content
        if not self.rate:
            if len(self.waiting) < HEAD_BYTES:
                return
            offset, _, coding, self.rate, self.channels = struct.unpack_from(">5I", self.waiting, 4)
            is_ours = self.waiting[:4] == MAGIC and coding == FLOAT32 and HEAD_BYTES <= offset < SAID_BYTES
            if not is_ours or not 0 < self.channels <= MOST_CHANNELS:
                raise FfmpegError(f"it answers with something else than sound ({bytes(self.waiting[:8])!r})")
            self.waiting = self.waiting.ljust(offset, b"\0")
            del self.waiting[:offset]
        whole = len(self.waiting) // (4 * self.channels)
        if whole:
            size = whole * 4 * self.channels
            block = np.frombuffer(bytes(self.waiting[:size]), ">f4").astype(np.float32)
            self.mix.add(block.reshape(whole, self.channels))
            del self.waiting[:size]


def program() -> str | None:
    """Where the program is; None where there is none."""
    named = os.environ.get(PROGRAM_VARIABLE)
    return shutil.which(named) if named else None if named == "" else shutil.which("ffmpeg")


def read(path: Path, max_seconds: float, channel: int | None = None) -> Answer:
    """What the program makes of a file, as one channel.

    Args:
        path: the file, whatever it is named.
        max_seconds: s of sound, beyond which nothing is read; a little more may come back.
        channel: see Downmix.

    Raises:
        FfmpegError: there is no program, it gives not one sample, or it only guesses what the file is.
        OSError: the file or the program cannot be opened.
    """
    found = program()
    if found is None:
        raise FfmpegError("there is no ffmpeg here, which reads more kinds of files")
    with path.open("rb") as file:
        process = subprocess.Popen(
            _command(found, file.fileno(), max_seconds),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(file.fileno(),),
            preexec_fn=_bound,
            process_group=0,
            env={"PATH": os.environ.get("PATH", ""), "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", "")},
        )
        answer = Answer(Downmix(channel))
        try:
            _listen(process, answer, max_seconds)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe:
                    pipe.close()
    if UNSURE in answer.said:
        raise FfmpegError("ffmpeg only guesses what it is")
    if not answer.mix.count:
        raise FfmpegError(f"ffmpeg reads nothing of it either ({answer.stopped or _last_line(answer.said)})")
    return answer


def _command(found: str, descriptor: int, max_seconds: float) -> list[str]:
    quiet = ["-nostdin", "-hide_banner", "-loglevel", "warning", "-max_alloc", str(LARGEST_BLOCK), "-threads", "1"]
    source = ["-protocol_whitelist", "file,pipe", "-format_whitelist", FORMATS, "-i", f"file:/dev/fd/{descriptor}"]
    wanted = ["-map", "0:a:0", "-vn", "-sn", "-dn", "-t", f"{max_seconds + 1:g}", "-threads", "1"]
    return [found, *quiet, *source, *wanted, "-c:a", "pcm_f32be", "-f", "au", "pipe:1"]


def _bound() -> None:
    """In the new process, before the program begins."""
    die_with_parent()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (int(TIMEOUT_SECONDS) + 1, int(TIMEOUT_SECONDS) + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _listen(process: "subprocess.Popen[bytes]", answer: Answer, max_seconds: float) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    with selectors.DefaultSelector() as selector:
        for pipe in (process.stdout, process.stderr):
            if pipe:
                selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                answer.stopped = f"ffmpeg was stopped after {TIMEOUT_SECONDS:g} s"
                return
            for key, _ in selector.select(left):
                content = os.read(key.fd, READ_BYTES)
                if not content:
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stderr:
                    answer.said += content[: max(0, SAID_BYTES - len(answer.said))]
                else:
                    answer.take(content)
            if answer.rate and answer.mix.count > max_seconds * answer.rate:
                return
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        if process.returncode is None:
            answer.stopped = f"ffmpeg was stopped after {TIMEOUT_SECONDS:g} s"
        elif process.returncode:
            answer.stopped = f"ffmpeg ended with status {process.returncode}: {_last_line(answer.said)}"


def _last_line(said: bytearray) -> str:
    lines = [line.strip().rstrip(".") for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    return re.sub(r"\[[^\]]* @ 0x[^\]]*\] *", "", lines[-1]) if lines else "it says nothing"
