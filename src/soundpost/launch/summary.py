"""What a quiet run still tells: one line that counts whatever went another way than it should, if anything did."""

from collections.abc import Mapping
from typing import Any

CLIPS = {  # lists of the engine's report in run.json -> as a person counts them
    "missing": "not in the folder",
    "unreadable": "unreadable",
    "unfinished": "lost to later passes",
    "too_large": "too large for memory",
    "mended": "mended",
    "silent": "silent",
}
OTHERS = {"members_skipped": "member skipped", "devices_lost": "device lost", "passes_failed": "pass failed"}


def summary(table: Mapping[str, Any], status: int) -> str:
    """One line; empty where there is nothing to tell.

    Args:
        table: the record of the run, see run_record.
        status: how the run ended.
    """
    ended = table["ended"]
    told = [f"status {status}"] if status else []
    if table["engines"] > 1:
        told.append(f"{table['engines']} engines started")
    clips = [f"{len(ended[kind]):,} {words}" for kind, words in CLIPS.items() if ended.get(kind)]
    if clips:
        told.append(f"of {ended.get('rows', 0):,} clips {', '.join(clips)}")
    left = ended.get("passes_planned", 0) - sum(work["members"] for work in table["passes"] if work["complete"])
    if left > 0:
        told.append(f"{left} of {ended['passes_planned']} passes not complete")
    for kind, words in OTHERS.items():
        if found := ended.get(kind):
            told.append(f"{words}: {', '.join(found)}")
    told += [f"{what} {count:,}" for what, count in ended.get("fallbacks", {}).items()]
    if warnings := ended.get("warnings"):
        told.append(f"{len(warnings)} about rows and columns, the first: {warnings[0]}")
    return f"warning: {'; '.join(told)}" if told else ""
