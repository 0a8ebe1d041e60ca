"""Tells what is heard in recordings: the likeliest labels of every clip, and of every stretch of a long recording.

A recording of up to 30 s is answered whole, a longer one in stretches of 10 s; --window sets another length for all.

With --out TAGS.parquet, and no --format, this tags an archive instead, which has options of its own: see
soundpost tag --out TAGS.parquet --help, and docs/archive.md.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from soundpost.arguments import Parser, own_arguments
from soundpost.contest.audio_files import AudioFile, find_audio_files
from soundpost.errors import SettingsError
from soundpost.exit_status import STATUS_NOTHING, STATUS_OK
from soundpost.tag.detections import Choice, Heard, detect
from soundpost.tag.segments import ORDERS, write_segments
from soundpost.tag.tables import FORMATS, SUFFIXES, read_table, write_table
from soundpost.tagger import load


def parser() -> Parser:
    """The options of `soundpost tag`."""
    parser = Parser(prog="soundpost tag", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("places", nargs="+", type=Path, metavar="PLACE", help="audio files, and folders with all below them")
    add("--out", type=Path, metavar="FILE", help="one table of all recordings (default: tags.csv, or as --format says)")
    add("--each", type=Path, metavar="DIR", help="instead, one table for each recording, in the same folders below DIR")
    add("--format", choices=sorted(FORMATS), default="csv", help="of the tables (default: csv)")
    add("--top", type=int, default=3, metavar="N", help="labels of a stretch, at most (default: 3)")
    add("--threshold", type=float, default=0.0, metavar="P", help="least probability of a label (default: 0)")
    add("--window", type=float, default=0.0, metavar="S", help="cut every recording into stretches of S seconds")
    add("--hop", type=float, default=0.0, metavar="S", help="seconds between two stretches (default: the window)")
    add("--skip-existing", action="store_true", help="leave out recordings that the tables have already")
    add("--segments", type=Path, metavar="DIR", help="write the stretches that say most about each label, as wav files")
    add("--segments-per-label", type=int, default=10, metavar="N", help="of --segments (default: 10)")
    add("--segments-by", choices=ORDERS, default="score", help="the most certain or the loudest (default: score)")
    add("--weights", type=Path, metavar="DIR", help="folder of submission.toml (default: Soundpost's own)")
    add("--members", default="", metavar="NAMES", help="only these: compact/1,compact/3 (default: all)")
    add("--views", type=int, default=0, metavar="N", help="only the N cheapest views, which is quicker (default: all)")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:1 (default: auto)")
    add("--quiet", action="store_true", help="print no labels")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Tag what the command line names.

    Returns:
        0; 3 when not one recording could be read.

    Raises:
        KitError: places, options, weights or a device that cannot be used.
    """
    given = own_arguments() if arguments is None else list(arguments)
    if _is_archive(given):
        from soundpost.archive.command import main as tag_archive  # it needs pyarrow

        return tag_archive(given)
    options = parser().parse_args(given)
    choice = _choice(options)
    recordings = find_audio_files(options.places)
    out = options.out or Path(f"tags{SUFFIXES[options.format]}")
    kept: list[Heard] = []
    if options.skip_existing:
        kept, recordings = _existing(options, out, recordings)
    tagger = load(options.weights, options.device, [m for m in options.members.split(",") if m], max(0, options.views))
    fresh: list[Heard] = []
    try:
        for heard in detect(tagger, _shown(recordings, options.quiet), choice):
            fresh.append(heard)
            _tell(heard, options.quiet)
            if options.each and not heard.error:
                write_table(_table_of(heard.recording, options), options.format, [heard])
    finally:
        if not options.each:  # also after Ctrl-C, so that --skip-existing goes on from here
            write_table(out, options.format, [*kept, *fresh])
    return _end(options, out, kept, fresh)


def _is_archive(arguments: Sequence[str]) -> bool:
    """Whether a folder of parquet is asked for: --out TAGS.parquet, without a --format."""
    pairs = [*itertools.pairwise(arguments), *(text.partition("=")[::2] for text in arguments)]
    outs = [value for option, value in pairs if option == "--out"]
    return any(out.endswith(".parquet") for out in outs) and all(option != "--format" for option, _ in pairs)


def _choice(options: argparse.Namespace) -> Choice:
    if options.top < 1 or not 0 <= options.threshold <= 1 or options.segments_per_label < 1:
        raise SettingsError(
            f"--top {options.top}, --threshold {options.threshold}, --segments-per-label {options.segments_per_label}: "
            "give counts from 1 on, and a probability from 0 to 1."
        )
    if options.window < 0 or options.hop < 0 or (options.hop and not options.window):
        raise SettingsError(
            f"--window {options.window} --hop {options.hop}: give seconds, and --hop with --window only."
        )
    if options.hop > options.window:
        raise SettingsError(
            f"--hop {options.hop} is longer than --window {options.window}, and what lies between would not be "
            "heard. Give a shorter one."
        )
    if options.out and options.each:
        raise SettingsError("--out and --each: one table, or one for each recording? Give one of the two.")
    if options.format == "audacity" and not options.each:
        raise SettingsError("--format audacity: a label track belongs to one recording. Give --each FOLDER.")
    return Choice(options.window, options.hop, options.top, options.threshold)


def _existing(
    options: argparse.Namespace, out: Path, recordings: Sequence[AudioFile]
) -> tuple[list[Heard], list[AudioFile]]:
    """What is there already, and what is left to do."""
    if options.each:
        return [], [one for one in recordings if not _table_of(one, options).is_file()]
    kept = read_table(out, options.format, recordings) if out.is_file() else []
    known = {heard.recording.name for heard in kept}
    return kept, [one for one in recordings if one.name not in known]


def _table_of(recording: AudioFile, options: argparse.Namespace) -> Path:
    return Path(options.each / (recording.name + SUFFIXES[options.format]))


def _shown(recordings: Sequence[AudioFile], quiet: bool) -> Iterator[AudioFile]:
    yield from tqdm(recordings, unit="file", leave=False, disable=quiet or None, file=sys.stderr)


def _tell(heard: Heard, quiet: bool) -> None:
    if heard.error:
        print(f"not read: {heard.error}", file=sys.stderr)
    if quiet:
        return
    by_stretch: dict[tuple[float, float], list[str]] = {}
    for d in heard.detections:
        by_stretch.setdefault((d.begin, d.end), []).append(f"{d.label} {d.score:.2f}")
    for (begin, end), labels in by_stretch.items():
        tqdm.write(f"{heard.recording.name} {begin:.1f}-{end:.1f} s: {', '.join(labels)}", file=sys.stdout)


def _end(options: argparse.Namespace, out: Path, kept: Sequence[Heard], fresh: Sequence[Heard]) -> int:
    heard = [*kept, *fresh]
    unread = sum(1 for one in fresh if one.error and not one.detections)
    rows = sum(len(one.detections) for one in heard)
    skipped = f", {len(kept):,} from before" if kept else ""
    print(f"{options.each or out}: {rows:,} labels of {len(heard) - unread:,} recordings{skipped}, {unread:,} not read")
    if options.segments:
        detections = [d for one in heard for d in one.detections]
        count = write_segments(options.segments, detections, options.segments_per_label, options.segments_by)
        print(f"{options.segments}: {count:,} wav files")
    return STATUS_NOTHING if fresh and unread == len(heard) else STATUS_OK
