"""The table of kinds of sound files: who reads each, how much comes out, and how one is made.

docs/sound_files.md prints it, and test_kinds.py holds the source to every row, with and without a second reader.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from making import (
    JUNK,
    MP3,
    RATE,
    after,
    converted,
    damaged,
    flac_of_unknown_length,
    half,
    id3,
    in_antiphase,
    mp3,
    ogg_with_a_wrong_checksum,
    ogg_without_a_page,
    ogg_without_end,
    opus,
    opus_that_was,
    parted,
    piped,
    replaced,
    sound,
    unsized,
    unsized_aiff,
    variable_mp3,
    vorbis,
    with_nan,
    written,
)

MP3_FRAME = 1152  # samples
MP3_DELAY = 529  # samples that a decoder of layer III is late by; one cuts them off, the other does not


@dataclass(frozen=True)
class Kind:
    """One kind of file."""

    name: str  # the row's name, and the test's id
    suffix: str
    make: Callable[[], bytes]
    reader: str = "soundfile"  # "mended": soundfile, over a container that was mended; "ffmpeg": the second reader
    read: str = "all"  # how much of it is read, in words
    alone: str = "the same"  # what is read where there is no ffmpeg: "the same", "nothing" or "part"
    rate: int = 0  # Hz of what comes out; 0: the oracle's
    samples: int | None = None  # how many come out; None: as many as the oracle has
    expected: Callable[[], np.ndarray] | None = None  # (samples,) what comes out where ffmpeg itself is wrong
    parts: Callable[[], list[bytes]] | None = None  # files whose sounds come out one after the other
    spare: int = 0  # samples by which count and place may differ, or that the damage takes
    why: str = ""  # the answer may differ from ffmpeg's
    correlation: float = 0.999  # at least, with the oracle
    remark: str = ""  # words that the remarks must hold; empty: there is no remark
    stem: str = "clip"


def mono(rate: int = RATE, seed: int = 0) -> np.ndarray:
    """The sound that was written."""
    return sound(rate, 1, seed)[:, 0]


def _plain() -> list[Kind]:
    """Kinds that soundfile writes and reads, the oracle in agreement."""
    rows = [
        *[("WAV", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")],
        *[("WAV", "GSM610"), ("WAVEX", "PCM_16"), ("WAVEX", "PCM_24"), ("RF64", "PCM_16"), ("RF64", "FLOAT")],
        *[("W64", "PCM_16"), ("W64", "PCM_24"), ("W64", "IMA_ADPCM"), ("W64", "GSM610")],
        *[("AIFF", subtype) for subtype in ("PCM_16", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM", "GSM610")],
        *[("AU", "PCM_16"), ("AU", "ULAW"), ("AU", "FLOAT"), ("AU", "G721_32"), ("CAF", "PCM_16"), ("CAF", "FLOAT")],
        *[("FLAC", "PCM_S8"), ("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("NIST", "PCM_16"), ("NIST", "ULAW")],
        *[("SVX", "PCM_16"), ("VOC", "PCM_16"), ("IRCAM", "PCM_16"), ("IRCAM", "FLOAT"), ("PAF", "PCM_16")],
        *[("PVF", "PCM_16"), ("AVR", "PCM_16"), ("SDS", "PCM_16"), ("MP3", "MPEG_LAYER_III")],
    ]
    return [
        Kind(f"{container} {subtype}", f".{container.lower()}", lambda c=container, s=subtype: written(c, s))
        for container, subtype in rows
    ]


def _soundfile_knows_better() -> list[Kind]:
    """Kinds that ffmpeg does not read, or reads otherwise than they were written."""
    unread = "ffmpeg does not read it"
    rows = [
        *[(c, s, RATE, unread) for c, s in (("AIFF", "DWVW_16"), ("PAF", "PCM_24"), ("HTK", "PCM_16"))],
        *[(c, s, RATE, unread) for c, s in (("MAT4", "PCM_16"), ("MAT5", "FLOAT"), ("MPC2K", "PCM_16"))],
        *[("WVE", "ALAW", 8000, unread), ("XI", "DPCM_16", 44_100, unread)],
        *[("WAV", s, RATE, "ffmpeg takes it for another coding") for s in ("G721_32", "NMS_ADPCM_32")],
        ("CAF", "ALAC_16", RATE, "ffmpeg loses the last packet"),
        ("CAF", "ALAC_24", RATE, "ffmpeg loses the last packet"),
    ]
    kinds = [
        Kind(
            f"{container} {subtype}",
            f".{container.lower()}",
            lambda c=container, s=subtype, r=rate: written(c, s, rate=r),
            rate=rate,
            expected=lambda r=rate: mono(r),
            spare=80 if subtype == "G721_32" else 0,
            why=why,
            correlation=0.98,
        )
        for container, subtype, rate, why in rows
    ]
    trimmed = {"samples": RATE, "read": "all; padding behind the samples that `fact` counts is cut off"}
    wide = {"spare": 600, "why": "ffmpeg keeps the padding"}
    return [
        *kinds,
        Kind(
            "WAV IMA_ADPCM of soundfile",
            ".wav",
            lambda: written("WAV", "IMA_ADPCM"),
            read="all, with padding at the end that its `fact` counts as sound",
        ),
        Kind("WAV MS_ADPCM of soundfile", ".wav", lambda: written("WAV", "MS_ADPCM"), **trimmed, **wide),
        Kind(
            "WAV IMA_ADPCM of ffmpeg",
            ".wav",
            lambda: converted("wav", "-c:a", "adpcm_ima_wav"),
            **trimmed,
            **wide,
        ),
        Kind("WAV MS_ADPCM of ffmpeg", ".wav", lambda: converted("wav", "-c:a", "adpcm_ms"), **trimmed, **wide),
        Kind("WAV GSM610 of odd size", ".wav", lambda: written("WAV", "GSM610", rate=8000), rate=8000, samples=8000),
        Kind("W64 of a pipe", ".w64", lambda: piped("w64"), expected=mono, rate=RATE, why=unread),
        Kind("AIFF without sizes", ".aiff", unsized_aiff, expected=mono, rate=RATE, why=unread),
    ]


def _wave() -> list[Kind]:
    promise = {"remark": "header promises no samples", "reader": "mended"}
    return [
        Kind("WAV, two channels", ".wav", lambda: written("WAV", "PCM_16", 2), read="all, the mean of the channels"),
        Kind("WAV, six channels", ".wav", lambda: written("WAVEX", "PCM_16", 6), read="all, the mean of the channels"),
        Kind(
            "WAV, channels in anti-phase",
            ".wav",
            in_antiphase,
            read="all, of the loudest channel",
            expected=mono,
            rate=RATE,
            why="the mean of the channels is silence",
            remark="channels cancel each other",
        ),
        Kind("WAV FLOAT with NaN", ".wav", with_nan, read="all, NaN as 0", remark="10 of 16,000 samples were no num"),
        Kind("WAV of a pipe", ".wav", lambda: piped("wav"), remark="header promises 4,294,967,295 bytes"),
        Kind("WAV without sizes", ".wav", lambda: unsized(written("WAV", "PCM_16")), **promise),
        Kind("WAV, data size 0", ".wav", lambda: after(written("WAV", "PCM_16"), b"data", 4, bytes(4)), **promise),
        Kind("WAV cut", ".wav", lambda: half(written("WAV", "PCM_16")), remark="header promises 32,000 bytes"),
        Kind("RF64 of ffmpeg", ".wav", lambda: converted("wav", "-rf64", "always")),
        Kind(
            "RF64 of a pipe",
            ".wav",
            lambda: piped("wav", "-rf64", "always"),
            expected=mono,
            rate=RATE,
            why="ffmpeg reads no sample",
            **promise,
        ),
        Kind("BW64", ".wav", lambda: replaced(written("RF64", "PCM_16"), 0, b"BW64"), "mended"),
        Kind("AU, size -1", ".au", lambda: replaced(written("AU", "PCM_16"), 8, b"\xff" * 4)),
        Kind("AIFF-C, sowt", ".aifc", lambda: converted("aiff", "-c:a", "pcm_s16le")),
        Kind("CAF of ffmpeg", ".caf", lambda: converted("caf")),
        *[
            Kind(
                f"WAV {name}",
                ".wav",
                lambda c=coding, r=rate: converted("wav", "-c:a", c, rate=r),
                "ffmpeg",
                alone="nothing",
            )
            for name, coding, rate in (
                ("G.722", "g722", RATE),
                ("G.726", "g726", 8000),
                ("Yamaha ADPCM", "adpcm_yamaha", RATE),
                ("AC-3", "ac3", 44_100),
                ("WMA", "wmav2", 44_100),
                ("MP2", "mp2", 44_100),
                ("PCM of 64 bits", "pcm_s64le", RATE),
            )
        ],
    ]


def _flac() -> list[Kind]:
    plain = lambda seed=0: written("FLAC", "PCM_16", seed=seed)  # noqa: E731
    return [
        Kind("FLAC, two channels", ".flac", lambda: written("FLAC", "PCM_16", 2), read="all, the mean of the channels"),
        Kind("FLAC of a pipe", ".flac", lambda: piped("flac")),
        Kind("FLAC of unknown length", ".flac", flac_of_unknown_length),
        Kind("FLAC behind ID3", ".flac", lambda: id3(500) + plain()),
        Kind("FLAC before zeros", ".flac", lambda: plain() + bytes(300)),
        Kind(
            "FLAC cut",
            ".flac",
            lambda: half(plain()),
            read="all whole blocks",
            remark="decoding stopped after",
        ),
        Kind(
            "FLAC with damage",
            ".flac",
            lambda: damaged(plain()),
            "ffmpeg",
            read="all that ffmpeg gives",
            alone="part",
        ),
        Kind(
            "two FLAC joined",
            ".flac",
            lambda: plain() + plain(1),
            "mended",
            expected=lambda: np.concatenate([mono(), mono(seed=1)]),
            rate=RATE,
            why="ffmpeg loses blocks at the seam",
            remark="2 FLAC streams joined",
        ),
    ]


def _ogg() -> list[Kind]:
    def chain(name: str, suffix: str, *parts: Callable[[], bytes], **others: object) -> Kind:
        return Kind(
            name,
            suffix,
            lambda: b"".join(part() for part in parts),
            "mended",
            parts=lambda: [part() for part in parts],
            remark="2 Ogg streams joined",
            **others,
        )

    flac = lambda *more: converted("ogg", "-c:a", "flac", *more)  # noqa: E731
    narrow = {"why": "ffmpeg decodes Opus at 48 kHz always", "correlation": 0.99, "spare": 4}
    return [
        Kind("Ogg Vorbis", ".ogg", vorbis),
        Kind(
            "Ogg Vorbis of soundfile",
            ".ogg",
            lambda: written("OGG", "VORBIS"),
            samples=RATE,
            spare=128,
            why="ffmpeg keeps what the last page cuts off",
        ),
        Kind(
            "Ogg Vorbis without end flag",
            ".ogg",
            ogg_without_end,
            samples=44_100,
            spare=64,
            why="ffmpeg keeps what the last page cuts off",
        ),
        Kind("Ogg Vorbis cut", ".ogg", lambda: half(vorbis())),
        Kind("Ogg Vorbis behind junk", ".ogg", lambda: JUNK + vorbis(), "mended", parts=lambda: [vorbis()]),
        Kind("Ogg Vorbis, a page missing", ".ogg", ogg_without_a_page, "ffmpeg", "all but the page", "part"),
        Kind("Ogg Vorbis, a wrong CRC", ".ogg", ogg_with_a_wrong_checksum, "ffmpeg", "all but the page", "part"),
        chain("chained Ogg Vorbis", ".ogg", vorbis, lambda: vorbis(seed=1)),
        chain(
            "chained Ogg Vorbis of two rates",
            ".ogg",
            vorbis,
            lambda: vorbis(32_000, seed=1),
            read="all, at the rate of the first",
            correlation=0.99,
        ),
        chain("chained Opus", ".opus", opus, lambda: opus(seed=1)),
        chain("Ogg Vorbis and Opus chained", ".ogg", lambda: vorbis(48_000), lambda: opus(seed=1)),
        chain("chained Ogg FLAC", ".oga", flac, flac),
        Kind("Ogg FLAC", ".oga", flac, "mended"),
        Kind("Ogg FLAC of a pipe", ".oga", lambda: piped("ogg", "-c:a", "flac"), "mended"),
        Kind("Opus of 48 kHz", ".opus", opus),
        Kind("Opus of 44.1 kHz", ".opus", lambda: opus(44_100)),
        Kind("Opus of 32 kHz", ".opus", lambda: opus_that_was(32_000), "mended", "all, at 48 kHz"),
        Kind("Opus of 24 kHz", ".opus", lambda: opus(24_000), rate=24_000, **narrow),
        Kind(
            "Opus of 22.05 kHz",
            ".opus",
            lambda: opus_that_was(22_050),
            "mended",
            "all, at 24 kHz",
            rate=24_000,
            correlation=0.98,
            spare=4,
            why="what lies above 11 kHz in this file cannot be in a true one",
        ),
        Kind("Opus of 16 kHz", ".opus", lambda: opus(16_000), rate=16_000, **narrow),
        Kind("Opus of 8 kHz", ".opus", lambda: opus(8_000), rate=8_000, **narrow),
    ]


def _mpeg() -> list[Kind]:
    joined = {"reader": "mended", "remark": "2 MPEG streams joined"}
    left_out = {"reader": "mended", "remark": "foreign bytes left out", "why": "ffmpeg takes foreign bytes for frames"}
    return [
        Kind("MP3", ".mp3", mp3),
        Kind("MP3, two channels", ".mp3", lambda: mp3(channels=2, rate=44_100), read="all, the mean of the channels"),
        Kind("MP3 without Xing tag", ".mp3", lambda: mp3("-write_xing", "0")),
        Kind(
            "MP3 of variable rate without Xing tag",
            ".mp3",
            variable_mp3,
            "mended",
            spare=MP3_DELAY,
            why="the decoder's delay is cut off",
        ),
        Kind("MP3 behind ID3", ".mp3", lambda: id3(2000) + mp3()),
        Kind(
            "MP3 behind zeros",
            ".mp3",
            lambda: bytes(4000) + mp3(),
            samples=32_000,
            spare=MP3_DELAY + 2 * MP3_FRAME,
            why="ffmpeg overlooks the tag that counts delay and padding",
        ),
        Kind(
            "MP3 before zeros",
            ".mp3",
            lambda: mp3() + bytes(4000),
            samples=32_000,
            spare=MP3_FRAME,
            why="ffmpeg keeps some of the padding",
        ),
        Kind("MP3 before ID3v1", ".mp3", lambda: mp3() + b"TAG" + bytes(125)),
        Kind("MP3 in RIFF", ".wav", lambda: converted("wav", *MP3, rate=32_000)),
        Kind("MP2", ".mp2", lambda: converted("mp2", "-c:a", "mp2", rate=32_000)),
        Kind(
            "MP3 cut",
            ".mp3",
            lambda: half(mp3()),
            read="all whole frames",
            spare=MP3_FRAME,
            why="ffmpeg guesses at the last frame, of which only a part is there",
            correlation=0.9,
            remark="frames, file holds",
        ),
        Kind(
            "MP3 with foreign bytes in it",
            ".mp3",
            lambda: parted(mp3()),
            read="all but the frame that they part",
            parts=lambda: [mp3()],
            correlation=0.97,
            **left_out,
        ),
        Kind(
            "MP3 with bytes overwritten",
            ".mp3",
            lambda: damaged(mp3(), JUNK),
            read="all but the frames that are lost",
            parts=lambda: [mp3()],
            spare=7 * MP3_FRAME,
            correlation=0.5,  # what follows the damage comes earlier by what was lost
            **left_out,
        ),
        Kind("two MP3 joined", ".mp3", lambda: mp3() + mp3(seed=1), parts=lambda: [mp3(), mp3(seed=1)], **joined),
        Kind(
            "two MP3 joined, ID3 between",
            ".mp3",
            lambda: mp3() + id3(1000) + mp3(seed=1),
            parts=lambda: [mp3(), mp3(seed=1)],
            **joined,
        ),
        Kind(
            "two MP3 of two rates joined",
            ".mp3",
            lambda: mp3() + mp3(seed=1, rate=44_100),
            read="all, at the rate of the first",
            parts=lambda: [mp3(), mp3(seed=1, rate=44_100)],
            correlation=0.99,
            **joined,
        ),
    ]


def _second_reader() -> list[Kind]:
    """Kinds that only ffmpeg reads, also under names of other kinds."""
    aac, rate = ("-c:a", "aac"), 44_100
    rows: list[tuple[str, str, str, tuple[str, ...], int]] = [
        ("AAC in MP4", ".m4a", "ipod", aac, rate),
        ("ALAC in MP4", ".m4a", "ipod", ("-c:a", "alac"), rate),
        ("AAC in fragments of MP4", ".mp4", "mp4", (*aac, "-movflags", "frag_keyframe+empty_moov"), rate),
        ("AAC in 3GP", ".3gp", "3gp", aac, rate),
        ("PCM in MOV", ".mov", "mov", ("-c:a", "pcm_s16be"), rate),
        ("ADPCM in MOV", ".mov", "mov", ("-c:a", "adpcm_ima_qt"), rate),
        ("Opus in WebM", ".webm", "webm", ("-c:a", "libopus"), 48_000),
        ("Vorbis in WebM", ".webm", "webm", ("-c:a", "libvorbis"), rate),
        ("FLAC in Matroska", ".mka", "matroska", ("-c:a", "flac"), rate),
        ("AAC in Matroska", ".mka", "matroska", aac, rate),
        ("WMA", ".wma", "asf", ("-c:a", "wmav2"), rate),
        ("WMA 1", ".wma", "asf", ("-c:a", "wmav1"), rate),
        ("WavPack", ".wv", "wv", ("-c:a", "wavpack"), rate),
        ("True Audio", ".tta", "tta", ("-c:a", "tta"), rate),
        ("AC-3", ".ac3", "ac3", ("-c:a", "ac3"), rate),
        ("E-AC-3", ".eac3", "eac3", ("-c:a", "eac3"), rate),
        ("AAC in ADTS", ".aac", "adts", aac, rate),
        ("AAC in LATM", ".latm", "latm", aac, rate),
        ("AAC in a transport stream", ".ts", "mpegts", aac, rate),
        ("AAC in FLV", ".flv", "flv", aac, rate),
        ("DTS", ".dts", "dts", ("-c:a", "dca", "-strict", "-2"), rate),
        ("AMR", ".amr", "amr", ("-c:a", "libopencore_amrnb"), 8000),
        ("MP3 in AVI", ".avi", "avi", MP3, rate),
        ("PCM in NUT", ".nut", "nut", ("-c:a", "pcm_s16le"), rate),
        ("TrueHD", ".thd", "truehd", ("-c:a", "truehd", "-strict", "-2"), rate),
        ("SoX", ".sox", "sox", (), rate),
        ("CRI ADX", ".adx", "adx", ("-c:a", "adpcm_adx"), rate),
        ("CAF of a pipe", ".caf", "caf", (), RATE),
        ("CAF ALAC of ffmpeg", ".caf", "caf", ("-c:a", "alac"), RATE),
        ("CAF IMA ADPCM", ".caf", "caf", ("-c:a", "adpcm_ima_qt"), RATE),
        *[
            (f"{name} named {suffix}", suffix, muxer, ("-c:a", coding), rate)
            for suffix in (".wav", ".ogg")
            for name, muxer, coding in (
                ("AAC in MP4", "ipod", "aac"),
                ("Vorbis in Matroska", "matroska", "libvorbis"),
                ("WMA", "asf", "wmav2"),
                ("WavPack", "wv", "wavpack"),
                ("True Audio", "tta", "tta"),
                ("PCM in MOV", "mov", "pcm_s16be"),
                ("AC-3", "ac3", "ac3"),
                ("AAC in ADTS", "adts", "aac"),
            )
        ],
    ]
    return [
        Kind(
            name,
            suffix,
            lambda m=muxer, o=options, r=rate, p="pipe" in name: (
                piped(m, *o, rate=r) if p else converted(m, *o, rate=r)
            ),
            "ffmpeg",
            alone="nothing",
        )
        for name, suffix, muxer, options, rate in rows
    ]


def _names() -> list[Kind]:
    """Names that a shell, a pattern or an address would take for something else."""
    stems = {"percent": "a%03d%s", "brackets": "a[0-9]{1,2}", "newline": "a\nb", "colon": "http:a", "dash": "-i"}
    stems |= {"quotes": "a'b\"c`d`$(e)", "blank": " a b ", "umlaut": "Käuzchen ♪", "bar": "a|b"}
    return [
        *[
            Kind(
                f"AAC in MP4, {name} in its name",
                ".m4a",
                lambda: converted("ipod", "-c:a", "aac", rate=44_100),
                "ffmpeg",
                alone="nothing",
                stem=stem,
            )
            for name, stem in stems.items()
        ],
        *[
            Kind(f"WAV, {name} in its name", ".wav", lambda: written("WAV", "PCM_16"), stem=stem)
            for name, stem in stems.items()
        ],
        Kind("WAV in upper case", ".WAV", lambda: written("WAV", "PCM_16"), stem="CLIP"),
        Kind("WAV without suffix", "", lambda: written("WAV", "PCM_16")),
        Kind("WAV named .mp3", ".mp3", lambda: written("WAV", "PCM_16")),
        Kind("WAV named .raw", ".raw", lambda: written("WAV", "PCM_16"), "mended"),
        Kind("FLAC named .wav", ".wav", lambda: written("FLAC", "PCM_16")),
    ]


KINDS = (
    *_plain(),
    *_soundfile_knows_better(),
    *_wave(),
    *_flac(),
    *_ogg(),
    *_mpeg(),
    *_second_reader(),
    *_names(),
)


def table() -> str:
    """The kinds as rows for docs/sound_files.md."""
    words = {"mended": "soundfile, mended", "soundfile": "soundfile", "ffmpeg": "ffmpeg"}
    lines = ["| kind | read by | what is read | without ffmpeg |", "|---|---|---|---|"]
    for kind in KINDS:
        read = kind.read + (f" ({kind.why})" if kind.why else "")
        lines.append(f"| {kind.name} | {words[kind.reader]} | {read} | {kind.alone} |")
    return "\n".join(lines) + "\n"
