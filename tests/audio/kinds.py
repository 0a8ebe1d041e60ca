"""Some hundred kinds of sound files: how each is made, who reads it, and what must come out."""

import io
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import soundfile

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
RATE = 16000  # Hz
SECONDS = 1.0

Make = Callable[[], bytes]


@dataclass(frozen=True)
class Kind:
    """One kind of file."""

    name: str  # the test's id and the first column of the table in docs/sound_files.md
    suffix: str
    make: Make
    reader: str = "soundfile"  # or "mended": soundfile after the container was mended; or "ffmpeg"
    rate: int = RATE  # Hz, of what comes out
    samples: int | None = None  # which must come out; None: as many as the oracle has
    spare: int = 0  # samples by which the two may differ in count, in place or both, for the reason in `why`
    why: str = ""  # the two may differ
    oracle: bool = True  # False: ffmpeg itself is wrong or does not read it; the written sound is what must come out
    correlation: float = 0.999
    stem: str = "clip"
    remark: str = ""  # words of a remark that must be there; "": no remark at all


def sound(rate: int = RATE, channels: int = 1, seconds: float = SECONDS, seed: int = 0) -> np.ndarray:
    """Noise up to a third of the rate and a tone above, (samples, channels) float32."""
    rng = np.random.default_rng(seed)
    samples = round(rate * seconds)
    spectrum = np.fft.rfft(rng.standard_normal((samples, channels)), axis=0)
    spectrum[int(len(spectrum) * 0.6) :] = 0
    noise = np.fft.irfft(spectrum, samples, axis=0)
    tone = np.sin(2 * np.pi * (0.42 * rate) * np.arange(samples) / rate)[:, None]
    return (0.15 * noise / noise.std() + 0.1 * tone).astype(np.float32)


def written(container: str, subtype: str, channels: int = 1, rate: int = RATE, seed: int = 0, **others: str) -> bytes:
    """What soundfile writes."""
    file = io.BytesIO()
    file.name = "x"
    soundfile.write(file, sound(rate, channels, seed=seed), rate, format=container, subtype=subtype, **others)
    return file.getvalue()


def converted(muxer: str, *options: str, rate: int = RATE, channels: int = 1, seed: int = 0, seconds: float = SECONDS) -> bytes:
    """What ffmpeg makes of the sound."""
    import tempfile

    wav = io.BytesIO()
    soundfile.write(wav, sound(rate, channels, seconds, seed), rate, format="WAV", subtype="FLOAT")
    with tempfile.NamedTemporaryFile(suffix=".out") as out:
        subprocess.run(
            [FFMPEG, "-y", "-v", "error", "-i", "pipe:0", *options, "-f", muxer, out.name],
            input=wav.getvalue(), check=True, capture_output=True,
        )
        return Path(out.name).read_bytes()


def piped(muxer: str, *options: str, rate: int = RATE, channels: int = 1, seed: int = 0) -> bytes:
    """The same into a pipe, in which nothing can be written afterwards."""
    wav = io.BytesIO()
    soundfile.write(wav, sound(rate, channels, seed=seed), rate, format="WAV", subtype="FLOAT")
    command = [FFMPEG, "-v", "error", "-i", "pipe:0", *options, "-f", muxer, "pipe:1"]
    return subprocess.run(command, input=wav.getvalue(), check=True, capture_output=True).stdout


def replaced(content: bytes, at: int, new: bytes) -> bytes:
    assert at >= 0
    return content[:at] + new + content[at + len(new) :]


JUNK = np.random.default_rng(7).bytes(3000)


def middle(content: bytes) -> int:
    return len(content) // 2


def flac_without_totals() -> bytes:
    c = written("FLAC", "PCM_16")
    # STREAMINFO body begins at 8; total samples: low 4 bits of byte 8+13, then 4 bytes
    c = replaced(c, 8 + 13, bytes([c[8 + 13] & 0xF0]) + bytes(4))
    return c


def wav_zeroed() -> bytes:
    c = written("WAV", "PCM_16")
    at = c.index(b"data")
    return replaced(replaced(c, 4, bytes(4)), at + 4, bytes(4))


def au_minus() -> bytes:
    return replaced(written("AU", "PCM_16"), 8, b"\xff" * 4)


def bw64() -> bytes:
    return replaced(written("RF64", "PCM_16"), 0, b"BW64")


def antiphase() -> bytes:
    f = io.BytesIO()
    x = sound()
    soundfile.write(f, np.concatenate([x, -x], 1), RATE, format="WAV", subtype="FLOAT")
    return f.getvalue()


def with_nan() -> bytes:
    x = sound()
    x[100:110] = np.nan
    f = io.BytesIO()
    soundfile.write(f, x, RATE, format="WAV", subtype="FLOAT")
    return f.getvalue()


def id3(n: int) -> bytes:
    return b"ID3\x04\x00\x00" + bytes([n >> 21 & 127, n >> 14 & 127, n >> 7 & 127, n & 127]) + bytes(n)


MP3 = ("-c:a", "libmp3lame", "-b:a", "128k")


def mp3(seed: int = 0, *more: str, rate: int = 32000) -> bytes:
    return converted("mp3", *MP3, *more, rate=rate, seed=seed)


def mp3_in_riff() -> bytes:
    return converted("wav", *MP3, rate=32000)


def ogg_pages(c: bytes) -> list[int]:
    out, at = [], 0
    while (at := c.find(b"OggS", at)) >= 0:
        out.append(at)
        at += 4
    return out


def ogg_no_end() -> bytes:
    c = written("OGG", "VORBIS")
    last = ogg_pages(c)[-1]
    head = bytearray(c[last:])
    head[5] &= ~4
    head[22:26] = bytes(4)
    head[22:26] = struct.pack("<I", ogg_crc(bytes(head)))
    return c[:last] + bytes(head)


def ogg_crc(page: bytes) -> int:
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ (0x04C11DB7 if crc & 0x80000000 else 0)
        crc &= 0xFFFFFFFF
    return crc


def long_ogg() -> bytes:
    return converted("ogg", "-c:a", "libvorbis", "-page_duration", "100000", rate=44100)


def ogg_missing_page() -> bytes:
    c = long_ogg()
    p = ogg_pages(c)
    k = len(p) // 2
    return c[: p[k]] + c[p[k + 1] :]


def ogg_wrong_crc() -> bytes:
    c = long_ogg()
    p = ogg_pages(c)
    k = len(p) // 2
    return replaced(c, p[k] + 22, b"\1\2\3\4")


def opus(rate: int, seed: int = 0) -> bytes:
    return converted("ogg", "-c:a", "libopus", "-b:a", "96k", rate=rate, seed=seed)

KINDS = []
def add(name, suffix, make, **k):
    KINDS.append(Kind(name, suffix, make, **k))

for st in soundfile.available_subtypes("WAV"):
    add(f"wav {st}", ".wav", lambda st=st: written("WAV", st))
for cont, sub in [("WAVEX","PCM_16"),("WAVEX","PCM_24"),("RF64","PCM_16"),("RF64","FLOAT"),("W64","PCM_16"),("W64","PCM_24"),("W64","IMA_ADPCM"),("W64","MS_ADPCM"),("W64","GSM610"),("AIFF","PCM_16"),("AIFF","PCM_24"),("AIFF","FLOAT"),("AIFF","ULAW"),("AIFF","IMA_ADPCM"),("AIFF","GSM610"),("AIFF","DWVW_16"),("AU","PCM_16"),("AU","ULAW"),("AU","FLOAT"),("AU","G721_32"),("CAF","PCM_16"),("CAF","FLOAT"),("CAF","ALAC_16"),("CAF","ALAC_24"),("FLAC","PCM_16"),("FLAC","PCM_24"),("FLAC","PCM_S8"),("OGG","VORBIS"),("OGG","OPUS"),("MP3","MPEG_LAYER_III"),("NIST","PCM_16"),("NIST","ULAW"),("SVX","PCM_16"),("SVX","PCM_S8"),("VOC","PCM_16"),("VOC","PCM_U8"),("IRCAM","PCM_16"),("IRCAM","FLOAT"),("PAF","PCM_16"),("PAF","PCM_24"),("PVF","PCM_16"),("HTK","PCM_16"),("AVR","PCM_16"),("MAT4","PCM_16"),("MAT4","DOUBLE"),("MAT5","FLOAT"),("SDS","PCM_16"),("MPC2K","PCM_16"),("WVE","ALAW"),("XI","DPCM_16")]:
    add(f"{cont} {sub}".lower(), "."+cont.lower(), lambda c=cont,s=sub: written(c,s, rate= 8000 if c=="WVE" else 44100 if c in("XI",) else RATE))
add("aiff sowt", ".aif", lambda: written("AIFF","PCM_16",endian="LITTLE"))
add("wav stereo", ".wav", lambda: written("WAV","PCM_16",2))
add("wav 6 channels", ".wav", lambda: written("WAVEX","PCM_16",6))
add("flac stereo", ".flac", lambda: written("FLAC","PCM_16",2))
add("flac piped", ".flac", lambda: piped("flac"))
add("flac no totals", ".flac", flac_without_totals)
add("flac cut", ".flac", lambda: (c:=written("FLAC","PCM_16"))[:middle(c)])
add("flac damaged", ".flac", lambda: replaced(c:=written("FLAC","PCM_16"),middle(c),JUNK[:40]))
add("flac id3", ".flac", lambda: id3(500)+written("FLAC","PCM_16"))
add("flac joined", ".flac", lambda: written("FLAC","PCM_16")+written("FLAC","PCM_16",seed=1))
add("flac unknown md5", ".flac", lambda: written("FLAC","PCM_16")+bytes(300))
add("ogg flac", ".oga", lambda: converted("ogg","-c:a","flac"))
add("ogg flac piped", ".oga", lambda: piped("ogg","-c:a","flac"))
add("ogg flac stereo", ".oga", lambda: converted("ogg","-c:a","flac",channels=2))
add("chained ogg", ".ogg", lambda: written("OGG","VORBIS")+written("OGG","VORBIS",seed=1))
add("chained ogg two rates", ".ogg", lambda: written("OGG","VORBIS")+written("OGG","VORBIS",rate=22050,seed=1))
add("chained opus", ".opus", lambda: opus(48000)+opus(48000,1))
add("chained opus 16k", ".opus", lambda: opus(16000)+opus(16000,1))
add("chained ogg flac", ".ogg", lambda: 2*converted("ogg","-c:a","flac"))
add("chained vorbis+opus", ".ogg", lambda: written("OGG","VORBIS",rate=48000)+opus(48000,1))
add("ogg no end", ".ogg", ogg_no_end)
add("ogg missing page", ".ogg", ogg_missing_page)
add("ogg wrong crc", ".ogg", ogg_wrong_crc)
add("ogg cut", ".ogg", lambda: (c:=long_ogg())[:middle(c)])
add("ogg junk front", ".ogg", lambda: JUNK[:500]+long_ogg())
add("ogg vorbis long", ".ogg", long_ogg)
add("speex", ".spx", lambda: b"") if 0 else None
for r in (8000,12000,16000,22050,24000,32000,44100,48000):
    add(f"opus {r}", ".opus", lambda r=r: opus(r))
add("opus sf 24000",".opus", lambda: written("OGG","OPUS",rate=24000))
add("wav zeroed", ".wav", wav_zeroed)
add("wav piped", ".wav", lambda: piped("wav"))
add("wav data zero riff right", ".wav", lambda: replaced(c:=written("WAV","PCM_16"), c.index(b"data")+4, bytes(4)))
add("bw64", ".wav", bw64)
add("rf64 ds64 zeros", ".wav", lambda: replaced(c:=written("RF64","PCM_16"), 20, bytes(24)))
add("rf64 ff", ".wav", lambda: converted("wav","-rf64","always"))
add("rf64 piped", ".wav", lambda: piped("wav","-rf64","always"))
add("w64 ff", ".w64", lambda: converted("w64"))
add("w64 piped", ".w64", lambda: piped("w64"))
add("aiff zeroed", ".aiff", lambda: replaced(replaced(replaced(c:=written("AIFF","PCM_16"),4,bytes(4)),c.index(b"COMM")+10,bytes(4)),c.index(b"SSND")+4,bytes(4)))
add("aiff ff", ".aiff", lambda: converted("aiff"))
add("au -1", ".au", au_minus)
add("caf ff", ".caf", lambda: converted("caf"))
add("caf piped", ".caf", lambda: piped("caf"))
add("caf alac ff", ".caf", lambda: converted("caf","-c:a","alac"))
add("caf aac", ".caf", lambda: converted("caf","-c:a","aac"))
add("caf ima ff", ".caf", lambda: converted("caf","-c:a","adpcm_ima_qt"))
add("caf opus", ".caf", lambda: converted("caf","-c:a","libopus",rate=48000))
add("wav ima ff", ".wav", lambda: converted("wav","-c:a","adpcm_ima_wav"))
add("wav ms ff", ".wav", lambda: converted("wav","-c:a","adpcm_ms"))
add("wav g722", ".wav", lambda: converted("wav","-c:a","g722"))
add("wav g726", ".wav", lambda: converted("wav","-c:a","g726",rate=8000))
add("wav gsm sf 8k", ".wav", lambda: written("WAV","GSM610",rate=8000))
add("wav yamaha", ".wav", lambda: converted("wav","-c:a","adpcm_yamaha"))
add("wav swf adpcm", ".wav", lambda: converted("wav","-c:a","adpcm_swf",rate=22050))
add("wav aac", ".wav", lambda: converted("wav","-c:a","aac",rate=44100))
add("wav ac3", ".wav", lambda: converted("wav","-c:a","ac3",rate=44100))
add("wav wma", ".wav", lambda: converted("wav","-c:a","wmav2",rate=44100))
add("wav mp2", ".wav", lambda: converted("wav","-c:a","mp2",rate=44100))
add("wav s64", ".wav", lambda: converted("wav","-c:a","pcm_s64le",rate=44100))
add("mp3", ".mp3", lambda: mp3())
add("mp3 44100 stereo", ".mp3", lambda: converted("mp3",*MP3,rate=44100,channels=2))
add("mp3 vbr", ".mp3", lambda: converted("mp3","-c:a","libmp3lame","-q:a","4",rate=44100))
add("mp3 no xing", ".mp3", lambda: mp3(0,"-write_xing","0"))
add("mp3 vbr no xing", ".mp3", lambda: converted("mp3","-c:a","libmp3lame","-q:a","4","-write_xing","0",rate=44100))
add("mp3 id3", ".mp3", lambda: id3(2000)+mp3())
add("mp3 zeros", ".mp3", lambda: bytes(4000)+mp3())
add("mp3 zeros behind", ".mp3", lambda: mp3()+bytes(4000))
add("mp3 id3v1", ".mp3", lambda: mp3()+b"TAG"+bytes(125))
add("mp3 apetag", ".mp3", lambda: mp3()+b"APETAGEX"+struct.pack("<4I",2000,32,0,0)+bytes(8)+bytes(32))
add("mp3 in riff", ".wav", mp3_in_riff)
add("mp3 junk middle", ".mp3", lambda: (c:=mp3())[:middle(c)]+JUNK+c[middle(c):])
add("mp3 junk middle no xing", ".mp3", lambda: (c:=mp3(0,"-write_xing","0"))[:middle(c)]+JUNK+c[middle(c):])
add("mp3 overwritten middle", ".mp3", lambda: replaced(c:=mp3(),middle(c),JUNK))
add("mp3 joined", ".mp3", lambda: mp3()+mp3(1))
add("mp3 joined no xing", ".mp3", lambda: mp3(0,"-write_xing","0")+mp3(1,"-write_xing","0"))
add("mp3 joined id3", ".mp3", lambda: mp3()+id3(1000)+mp3(1))
add("mp3 joined two rates", ".mp3", lambda: mp3()+mp3(1,rate=44100))
add("mp3 cut", ".mp3", lambda: (c:=mp3())[:middle(c)])
add("mp2", ".mp2", lambda: converted("mp2","-c:a","mp2",rate=32000))
add("antiphase", ".wav", antiphase)
add("nan", ".wav", with_nan)
for nm,mx,op,r in [("m4a aac","ipod",("-c:a","aac"),44100),("m4a alac","ipod",("-c:a","alac"),44100),("mp4 fragmented","mp4",("-c:a","aac","-movflags","frag_keyframe+empty_moov"),44100),("mov pcm","mov",("-c:a","pcm_s16be"),44100),("mov ima","mov",("-c:a","adpcm_ima_qt"),44100),("3gp","3gp",("-c:a","aac"),44100),("webm opus","webm",("-c:a","libopus"),48000),("webm vorbis","webm",("-c:a","libvorbis"),44100),("mka flac","matroska",("-c:a","flac"),44100),("mka aac","matroska",("-c:a","aac"),44100),("wma","asf",("-c:a","wmav2"),44100),("wma1","asf",("-c:a","wmav1"),44100),("wavpack","wv",("-c:a","wavpack"),44100),("tta","tta",("-c:a","tta"),44100),("ac3","ac3",("-c:a","ac3"),44100),("eac3","eac3",("-c:a","eac3"),44100),("adts","adts",("-c:a","aac"),44100),("latm","latm",("-c:a","aac"),44100),("dts","dts",("-c:a","dca","-strict","-2"),44100),("amr","amr",("-c:a","libopencore_amrnb"),8000),("avi mp3","avi",MP3,44100),("avi pcm","avi",("-c:a","pcm_s16le"),44100),("mpegts","mpegts",("-c:a","aac"),44100),("flv","flv",("-c:a","aac"),44100),("rm ac3","rm",("-c:a","ac3"),44100),("nut","nut",("-c:a","pcm_s16le"),44100),("gsm raw","gsm",("-c:a","gsm"),8000),("truehd","truehd",("-c:a","truehd","-strict","-2"),44100),("mlp","mlp",("-c:a","mlp","-strict","-2"),44100),("aptx","aptx",("-c:a","aptx"),44100),("sbc","sbc",("-c:a","sbc"),44100),("sox","sox",(),44100),("voc ff","voc",(),44100),("g722","g722",("-c:a","g722"),16000),("oma","oma",("-c:a","pcm_s16be"),44100),("adx","adx",("-c:a","adpcm_adx"),44100),("ogg speex","ogg",("-c:a","libspeex"),16000),("ircam","ircam",("-c:a","pcm_s16le"),16000),("wtv","wtv",("-c:a","mp2"),44100),("mxf","mxf",("-c:a","pcm_s16le"),48000),("gxf","gxf",("-c:a","pcm_s16le"),48000),("dv","caf",("-c:a","pcm_s24be"),48000),("spdif","spdif",("-c:a","ac3"),48000)]:
    add(nm,"."+nm.split()[0],lambda mx=mx,op=op,r=r: converted(mx,*op,rate=r))
