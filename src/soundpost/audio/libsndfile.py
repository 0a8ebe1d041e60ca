"""The first reader: soundfile, block by block, over the file as it is or as its container should have been."""

import re
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import soundfile

from soundpost.audio import containers
from soundpost.audio.downmix import Downmix
from soundpost.audio.mended_file import MendedFile, Piece
from soundpost.audio.resample import RATES, resample

BLOCK = 1 << 16  # sample times read at once, so that a header's promise never decides how much memory is taken
SMALL_BLOCK = 1 << 8  # the same where a whole block cannot be had, to get what lies before the damage
UNKNOWN = 1 << 60  # samples; a header that announces more announces nothing
LYING_SIZE = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)  # as the decoder logs it
REFUSALS = (soundfile.SoundFileError, OSError, ValueError)


class Refused(Exception):
    """Soundfile opens nothing of a file; the message is half a sentence."""


class Forward(soundfile.SoundFile):
    """A sound file that is only read forward.

    soundfile seeks after every block to where it already is. That takes time, and libsndfile cannot do it in FLAC of
    unknown length and in DWVW: the block that was just read would be lost.
    """

    def seekable(self) -> bool:
        """False, whatever the file could do."""
        return False


Reopen = Callable[[], Forward]
Streams = Generator[tuple[Forward, Reopen], None, None]


@dataclass
class Take:
    """What a reader got of a file."""

    mix: Downmix
    rate: int  # Hz
    channels: int
    promised: int | None = None  # samples, as the container says; None: it does not say
    channel: int | None = None  # the one that was asked for
    stopped: str = ""  # why the decoder gave up; empty: it did not
    is_whole: bool = True  # whether no other reader needs to be asked
    remarks: list[str] = field(default_factory=list)  # half a sentence each


def announced(path: Path) -> Take:
    """Rate, channels and promised samples; no sample is decoded.

    Raises:
        Refused: soundfile opens neither the file nor what a mended container makes of it.
        OSError: the file cannot be read.
    """
    layout, files = _opened(path)
    take: Take | None = None
    with closing(files):
        for file, _ in files:
            take = take or Take(Downmix(), file.samplerate, file.channels, 0)
            frames = file.frames if file.frames < UNKNOWN else 0
            take.promised = (take.promised or 0) + round(frames * take.rate / file.samplerate)
    if take is None:
        raise Refused("none of its streams can be opened")
    if layout.trims and layout.samples is not None:
        take.promised = min(take.promised or 0, layout.samples)
    return take


def read(path: Path, max_seconds: float, channel: int | None = None) -> Take:
    """As many samples as soundfile can get, and whether that is all there is.

    Args:
        path: a file that is not empty.
        max_seconds: s; what lies beyond is not read, with a remark.
        channel: see Downmix.

    Raises:
        Refused: soundfile opens neither the file nor what a mended container makes of it.
        OSError: the file cannot be read.
    """
    layout, files = _opened(path)
    take: Take | None = None
    most = 0
    with closing(files):
        for file, reopen in files:
            if take is None:
                take = _begun(file, layout, channel)
                most = max(1, round(max_seconds * take.rate))
            if take.mix.count >= most:
                take.promised = None  # nobody counts what is not read
                break
            _add(take, file, reopen, most - take.mix.count, is_link=bool(layout.streams))
    if take is None:
        raise Refused("none of its streams can be opened")
    _judge(take, layout, most, max_seconds)
    return take


def read_stretch(path: Path, begin_seconds: float, seconds: float, channel: int | None = None) -> Take | None:
    """A stretch of a sound file without what lies before it; None where that cannot be had for certain.

    Args:
        path: a file that is not empty.
        begin_seconds: s, where the stretch begins.
        seconds: s, its length; it may reach beyond the end.
        channel: see Downmix.

    Raises:
        Refused: soundfile opens neither the file nor what a mended container makes of it.
        OSError: the file cannot be read.
    """
    layout, files = _opened(path)
    with closing(files):
        file, _ = next(files, (None, None))
        if file is None or layout.streams or layout.samples is not None or LYING_SIZE.search(file.extra_info):
            return None
        take = Take(Downmix(channel), file.samplerate, file.channels)
        begin, end = round(begin_seconds * take.rate), round((begin_seconds + seconds) * take.rate)
        try:
            file.seek(begin)
            block = file.read(max(1, end - begin), dtype="float32", always_2d=True)
        except REFUSALS:
            return None
    take.mix.add(block)
    return take if len(block) >= min(end, file.frames) - begin > 0 else None


def _opened(path: Path) -> tuple[containers.Layout, Streams]:
    """How the file has to be read, and its streams one after the other, each with a way to open it once more."""
    try:
        file = Forward(path)
    except TypeError:  # a suffix that stands for samples without a header; only what is in the file counts
        layout = containers.Layout([[range(path.stat().st_size)]])
        return layout, _streams(path, layout)
    except REFUSALS as error:
        layout = containers.look(path, "", "", 0)
        if not layout.streams:
            raise Refused(str(error).removeprefix(f"Error opening {str(path)!r}: ").rstrip(".")) from error
        return layout, _streams(path, layout)
    try:
        layout = containers.look(path, file.format, file.subtype, file.frames)
    except BaseException:
        file.close()
        raise
    if layout.streams:
        file.close()
        return layout, _streams(path, layout)
    return layout, _as_it_is(path, file)


def _as_it_is(path: Path, file: Forward) -> Streams:
    with file:
        yield file, lambda: Forward(path)


def _streams(path: Path, layout: containers.Layout) -> Streams:
    for pieces in layout.streams:
        with ExitStack() as stack:

            def reopen(pieces: Sequence[Piece] = pieces, stack: ExitStack = stack) -> Forward:
                return Forward(stack.enter_context(MendedFile(path, pieces)))

            with suppress(*REFUSALS):  # a stream that holds nothing a decoder knows is left out, as others do
                file = stack.enter_context(reopen())
                yield file, reopen


def _begun(file: Forward, layout: containers.Layout, channel: int | None) -> Take:
    take = Take(Downmix(channel), file.samplerate, file.channels, channel=channel)
    if layout.remark:
        take.remarks.append(layout.remark)
    if layout.trims and layout.samples is not None:
        # A count that is no more than a block smaller than what the decoder announces tells where padding begins.
        padding = file.frames - layout.samples
        take.promised = layout.samples if 0 <= padding <= containers.LARGEST_BLOCK else file.frames
    elif layout.samples is not None:
        take.promised = layout.samples
    elif file.frames < UNKNOWN:
        take.promised = 0 if layout.streams else file.frames
    lie = None if layout.streams else LYING_SIZE.search(file.extra_info)
    if lie:
        take.remarks.append(f"header promises {int(lie[1]):,} bytes of samples, file holds {int(lie[2]):,}")
    if file.format == "RAW":
        take.is_whole = False
        take.remarks.append("without a header; what it holds was guessed from its suffix")
    return take


def _add(take: Take, file: Forward, reopen: Reopen, left: int, is_link: bool) -> None:
    """Read a stream to its end, or so many samples of it as are left to be read in all."""
    if not RATES[0] <= file.samplerate <= RATES[1] and take.mix.count:
        take.remarks.append(f"a stream of {file.samplerate:,} Hz, which no recording has, was left out")
        return
    if is_link and take.promised is not None:
        more = round(file.frames * take.rate / file.samplerate)
        take.promised = take.promised + more if file.frames < UNKNOWN else None
    if file.samplerate == take.rate:
        wanted = left if is_link or take.promised is None else min(left, take.promised)
        take.stopped = _fill(take.mix, file, reopen, wanted) or take.stopped
        return
    other = Downmix(take.channel)
    take.stopped = _fill(other, file, reopen, round(left * file.samplerate / take.rate)) or take.stopped
    if other.count:
        take.mix.add(resample(other.waveform(), file.samplerate, take.rate)[:, None])
        take.remarks.append(f"a stream of {file.samplerate:,} Hz was brought to {take.rate:,} Hz")


def _fill(mix: Downmix, file: Forward, reopen: Reopen, wanted: int) -> str:
    """Add so many samples of a file; the answer says why the decoder gave up, or nothing."""
    before = mix.count
    size = max(SMALL_BLOCK, 2 * BLOCK // max(2, file.channels))
    stopped = _blocks(mix, file, wanted, size)
    if stopped:
        with suppress(*REFUSALS), reopen() as again:
            for _ in range((mix.count - before) // size):
                again.read(size, dtype="float32", always_2d=True)
            _blocks(mix, again, size, SMALL_BLOCK)
    return stopped


def _blocks(mix: Downmix, file: Forward, wanted: int, size: int) -> str:
    while wanted > 0:
        try:
            block = file.read(min(size, wanted), dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            return str(error).rstrip(".")
        if len(block) == 0:
            break
        mix.add(block)
        wanted -= len(block)
    return ""


def _judge(take: Take, layout: containers.Layout, most: int, max_seconds: float) -> None:
    """Set whether all was read, and say so where it was not."""
    count, promised = take.mix.count, take.promised
    if take.stopped:
        take.remarks.append(f"decoding stopped after {count:,} samples ({take.stopped})")
    elif promised is not None and count < min(promised, most) - layout.slack:
        take.remarks.append(f"header promises {promised:,} samples, file holds {count:,}")
    elif count >= most and (promised is None or promised > most):
        whole = f" of {promised / take.rate:,.0f} s" if promised else ""
        take.remarks.append(f"only the first {max_seconds:g} s{whole} were read")
        return
    else:
        take.is_whole = take.is_whole and count > 0
        return
    take.is_whole = False
