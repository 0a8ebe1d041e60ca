"""What stands on the page: every chapter as data, and the page made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from soundpost.report_page import charts
from soundpost.report_page.clips import Shown, least_certain, shown
from soundpost.report_page.run_file import RunFile
from soundpost.report_page.template import PAGE

STATUSES = {
    0: "every row holds a prediction or a counted fallback",
    1: "a defect; the best submission so far lies on disk",
    2: "refused: settings, weights or limits with which there can be no prediction",
    3: "no clip was answered; the submission holds class priors",
    130: "interrupted; the best submission so far lies on disk",
    143: "terminated; the best submission so far lies on disk",
}
MOST_TOLD = 8  # clips of a kind that are shown; the others are counted
KINDS = {"silent": "silent", "mended": "mended", "read by ffmpeg": "second_reader"}  # as the page says, in run.json
MOST_LABELS = 200  # with a histogram each


@dataclass(frozen=True)
class Label:
    """One column of the submission."""

    name: str
    n_first: int  # clips whose likeliest label it is
    mean: float
    histogram: Markup
    precision: float | None


def page(
    run: RunFile,
    paths: Mapping[str, Path],
    plays: bool,
    n_uncertain: int,
    result: Mapping[str, Any] | None = None,
    truth: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """The whole page as HTML that needs no other file.

    Args:
        run: what is shown.
        paths: where its clips lie, by name.
        plays: whether clips get a player, with their sound in the page.
        n_uncertain: least certain clips that are shown.
        result: fields of a soundpost.evaluation.against_truth.Score, if there is a truth.
        truth: clip -> its labels.
    """
    truth = truth or {}

    def one(name: str, why: str = "") -> Shown:
        return shown(run, name, why, paths.get(name), plays, truth.get(name, ()))

    def told(sentences: Sequence[str]) -> list[Shown]:
        return [one(name, why) for name, _, why in (text.partition(": ") for text in sentences[:MOST_TOLD])]

    clips = {
        "Least certain": [one(name) for name in least_certain(run, n_uncertain)],
        "Silent": told(run.ended.get("silent", ())),
        "Mended": told(run.ended.get("mended", ())),
        "Read by ffmpeg": told(run.ended.get("second_reader", ())),
    }
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(PAGE)
    table = run.table
    return template.render(
        run=run,
        table=table,
        status=STATUSES.get(table["status"], "ended by a signal or a defect"),
        facts=_facts(run),
        timeline=Markup(charts.timeline(table)) if table["passes"] else "",
        memory=Markup(charts.memory(table)) if table["samples"] else "",
        speed=Markup(charts.speed(table)) if table["samples"] else "",
        weights=_weights(table["ready"]),
        stages=table["ready"].get("blend", {}).get("stages", ()),
        labels=_labels(run, result),
        n_more_labels=max(0, len(run.labels) - MOST_LABELS),
        score=result,
        clips={title: found for title, found in clips.items() if found},
        n_paths=len(paths),
        counts={kind: len(run.ended.get(key, ())) for kind, key in KINDS.items()},
    )


def _facts(run: RunFile) -> list[tuple[str, str]]:
    table, ended, ready = run.table, run.ended, run.table["ready"]
    settings = table["settings"]
    limit = ready.get("memory_limit_bytes", 0)
    facts = [
        (f"{run.unit} answered", f"{ended.get('answered', 0):,} of {ended.get('rows', len(run.names)):,}"),
        ("unreadable / not in the folder", f"{len(ended.get('unreadable', {})):,} / {len(ended.get('missing', {})):,}"),
        ("seconds", f"{table['seconds']:,.1f} of {settings['time_limit_seconds']:,.0f}"),
        ("peak memory", f"{ended.get('peak_bytes', 0) / 1e6:,.0f} of {limit / 1e6:,.0f} MB"),
        ("audio decoded", f"{ended.get('audio_seconds', 0) / 60:,.1f} minutes"),
        ("devices", ", ".join(ready.get("devices", ())) or "none"),
        ("passes complete", f"{_complete(table)} of {ended.get('passes_planned', '?')}"),
        ("engines started", str(table["engines"])),
        ("folder of the recordings" if run.unit == "rows" else "folder of the clips", settings["test_dir"]),
    ]
    return facts + [(f"seconds, {stage}", f"{s:,.1f}") for stage, s in ended.get("seconds", {}).items()]


def _complete(table: Mapping[str, Any]) -> int:
    return sum(work["members"] for work in table["passes"] if work["complete"])


def _weights(ready: Mapping[str, Any]) -> Markup | str:
    """The chart of members' shares, where one rule blends them; empty for a blend of several stages."""
    stages = ready.get("blend", {}).get("stages", ())
    if len(stages) != 1:
        return ""
    given = {name: float(stages[0]["weights"].get(name, 1.0)) for name in stages[0]["inputs"]}
    total = sum(given.values()) or 1.0
    members = ready["members"]
    shares = []
    for member in members:
        recipe = member.split("/")[0]
        folds = sum(1 for other in members if other.split("/")[0] == recipe)
        shares.append(given[member] / total if member in given else given.get(recipe, 0.0) / total / folds)
    return Markup(charts.weights(members, shares))


def _labels(run: RunFile, result: Mapping[str, Any] | None) -> list[Label]:
    if not run.probabilities.size:
        return []
    rows = [i for i, name in enumerate(run.names) if name not in run.unanswered]
    answers = run.probabilities[rows]
    first = np.bincount(answers.argmax(axis=1), minlength=len(run.labels)) if rows else np.zeros(len(run.labels), int)
    return [
        Label(
            label,
            int(first[i]),
            float(answers[:, i].mean()) if rows else 0.0,
            Markup(charts.histogram(answers[:, i])),
            result["of_labels"].get(label) if result else None,
        )
        for i, label in enumerate(run.labels[:MOST_LABELS])
    ]
