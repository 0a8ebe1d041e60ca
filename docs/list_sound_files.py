"""Write docs/sound_files.md anew: python docs/list_sound_files.py. A test compares its table with what is tested."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "audio"))
sys.path.insert(0, str(ROOT / "src"))

from kinds import KINDS, table  # noqa: E402

TEXT = """# Kinds of sound files, and what is read of each

A clip is read by soundfile first. Where the container is at fault (sizes that were never written, streams that were
joined, foreign bytes, a header that asks for less than the file holds) soundfile is given the same bytes as they
should have stood; nothing is copied or written. Where soundfile refuses a file, gives up in it, or reads less than
the container promises, the `ffmpeg` program is asked, if there is one on the path; whichever gives more is kept.
The log says for each clip what was mended, which were read by ffmpeg and why, and which are silent; without an
ffmpeg it says that one would help.

ffmpeg gets the open file and never its name, runs without a shell, may open nothing but files and pipes, takes only
formats of sound, and is bounded: {timeout:g} s for a file, {memory:,} MiB of address space, no file written, no
more sound than the run reads of a clip. It dies with the worker that asked. `{variable}` names another program;
empty, none is asked.

Several channels become their mean; where the mean has lost 30 dB against the channels (left = -right), the loudest
channel alone is taken, and the log says so.

Each row is a test, `tests/audio/test_kinds.py`, against what ffmpeg itself decodes: the same count of samples, in
the same place, of the same shape; where the row says why, the sound that was written, or the parts that were
joined, are what must come out. {count} kinds:

"""


def main() -> None:
    """Write the page."""
    from soundpost.audio import ffmpeg

    text = TEXT.format(
        timeout=ffmpeg.TIMEOUT_SECONDS,
        memory=ffmpeg.MEMORY_BYTES >> 20,
        variable=ffmpeg.PROGRAM_VARIABLE,
        count=len(KINDS),
    )
    (ROOT / "docs" / "sound_files.md").write_text(text + table(), "utf-8")


if __name__ == "__main__":
    main()
