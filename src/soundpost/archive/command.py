"""Tags an archive: every clip's probabilities, embeddings and remarks as a folder of parquet, TAGS.parquet.

Clips are files, folders, globs, csv and parquet tables of paths with offsets, and addresses such as s3://. The columns
and what to do with them stand in docs/archive.md. A call that was ended in any way goes on with --resume.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from soundpost.archive import here, table
from soundpost.archive.bar import Bar
from soundpost.archive.clip_list import list_clips
from soundpost.archive.part_files import PartFiles, opened
from soundpost.archive.plan import Answer, Plan
from soundpost.archive.recording_steps import RecordingSteps
from soundpost.arguments import Parser
from soundpost.ensemble.weights_folder import default_root
from soundpost.errors import SettingsError
from soundpost.exit_status import STATUS_NOTHING, STATUS_OK

ENGINES = ("here", "ray")
PRECISIONS = ("float32", "float16", "bfloat16", "auto")


def parser() -> Parser:
    """The options of `soundpost tag ... --out TAGS.parquet`."""
    parser = Parser(
        prog="soundpost tag ... --out TAGS.parquet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("clips", nargs="+", metavar="CLIPS", help="files, folders, globs, csv or parquet of paths, addresses")
    add("--out", required=True, metavar="TAGS.parquet", help="folder of the part files, or an address such as s3://")
    add(
        "--root", default="", metavar="DIR", help="what relative paths in tables lie below (default: the table's place)"
    )
    add(
        "--top", type=int, default=0, metavar="K", help="only the K likeliest labels of a row (default: all, by column)"
    )
    add("--window", type=float, default=0.0, metavar="S", help="rows are stretches of S seconds (default: whole clips)")
    add("--hop", type=float, default=0.0, metavar="S", help="seconds between two stretches (default: the window)")
    add("--embeddings", nargs="?", const="first", default="", metavar="MEMBER", help="add embeddings, of this member")
    add("--resume", action="store_true", help="go on where an earlier call stood")
    add("--part", type=int, default=2000, metavar="N", help="clips of a part file (default: 2000)")
    add("--weights", type=Path, metavar="DIR", help="folder of submission.toml (default: Soundpost's own)")
    add("--members", default="", metavar="NAMES", help="only these: compact/1,compact/3 (default: all)")
    add("--views", type=int, default=0, metavar="N", help="only the N cheapest views, which is quicker (default: all)")
    add("--no-after", action="store_true", help="leave out the steps of [[after]] (default: recording by recording)")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:1 (default: auto)")
    add("--precision", choices=PRECISIONS, default="float32", help="of the networks (default: float32)")
    add("--engine", choices=ENGINES, default="here", help="this machine, or a cluster of Ray (default: here)")
    add("--address", default="", metavar="HOST:PORT", help="of the cluster (default: one of its own on this machine)")
    add("--actors", type=int, default=0, metavar="N", help="copies of the ensemble on the cluster (default: as it has)")
    add("--quiet", action="store_true", help="show no progress")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Tag what the command line names.

    Returns:
        0; 3 when not one row could be read.

    Raises:
        KitError: clips, options, weights, a device or a disk that cannot be used.
    """
    options = parser().parse_args(arguments)
    plan = _plan(options)
    table.check_labels(plan)
    steps = RecordingSteps(plan)
    with opened(options.out, plan, options.resume) as parts:
        missing = parts.missing()
        done = len(plan.clips) - sum(len(plan.items(part)) for part in missing)
        bar = Bar(len(plan.clips), done, options.quiet)
        try:
            rows, unreadable = _write(plan, parts, steps, _engine(options, plan, missing, bar) if missing else ())
        finally:
            bar.close()
    before = f", {done:,} clips from before" if done else ""
    print(f"{options.out}: {rows:,} rows of {len(plan.clips) - done:,} clips{before}, {unreadable:,} unreadable")
    return STATUS_NOTHING if rows and rows == unreadable and not done else STATUS_OK


def _write(
    plan: Plan, parts: PartFiles, steps: RecordingSteps, answered: Iterable[tuple[int, list[Answer]]]
) -> tuple[int, int]:
    """Write part after part as they come; how many rows there were, and how many of them unreadable."""
    rows = unreadable = 0
    features = parts.features()
    for part, answers in answered:
        features = features or next((len(a.embedding) for a in answers if a.embedding is not None), 0)
        steps.apply(answers)
        parts.write(part, table.table_of(plan, answers, features))
        rows += len(answers)
        unreadable += sum(bool(answer.unreadable) for answer in answers)
    return rows, unreadable


def _engine(
    options: argparse.Namespace, plan: Plan, missing: Sequence[int], bar: Bar
) -> Iterator[tuple[int, list[Answer]]]:
    if options.engine == "here":
        return here.answer_here(plan, missing, bar)
    from soundpost.archive import on_ray

    return on_ray.answer_on_ray(plan, missing, bar, options.address, options.actors)


def _plan(options: argparse.Namespace) -> Plan:
    if options.top < 0 or options.part < 1 or options.actors < 0 or options.views < 0:
        raise SettingsError(
            f"--top {options.top}, --part {options.part}, --actors {options.actors}, --views {options.views}: give "
            "counts, and a part at least one clip."
        )
    if options.window < 0 or options.hop < 0 or options.hop > options.window:
        raise SettingsError(
            f"--window {options.window} --hop {options.hop}: give seconds, and a hop no longer than the window."
        )
    if options.engine == "ray" and options.precision != "float32":
        raise SettingsError("--engine ray answers in float32. Leave --precision out, or take --engine here.")
    if options.engine == "here" and (options.address or options.actors):
        raise SettingsError("--address and --actors belong to --engine ray. Add it, or leave them out.")
    plan = Plan(
        clips=list_clips(options.clips, options.root),
        weights=options.weights or default_root(),
        members=tuple(name for name in options.members.split(",") if name),
        views=options.views,
        window_seconds=options.window,
        hop_seconds=options.hop,
        top=options.top,
        part_clips=options.part,
        precision=options.precision,
        device=options.device,
        has_steps=not options.no_after,
        embedding="" if options.embeddings == "first" else options.embeddings,
    )
    return replace(plan, embedding=plan.chosen[0][1].name) if options.embeddings == "first" else plan
