"""Answers as rows of parquet: what the columns are called and what is in them (docs/archive.md).

id, path, start, end      which clip, or which stretch of it in seconds; start and end are null for a whole file
a column for each label   float32, its probability; with --top K two lists instead: top_labels and top_scores
embedding                 a list of fixed size of float32, where it was asked for
unreadable, mended,       sentences; null where there is nothing to say. An unreadable row has no probabilities, and a
silent, incomplete        row that is incomplete lacks the answers of some members
"""

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from soundpost.archive.plan import Answer, Plan
from soundpost.errors import SettingsError

REMARKS = ("unreadable", "mended", "silent", "incomplete")
TOP_LABELS, TOP_SCORES, EMBEDDING = "top_labels", "top_scores", "embedding"
PLACES = ("id", "path", "start", "end")
METADATA = b"soundpost"


def check_labels(plan: Plan) -> None:
    """Raise SettingsError where a label is called as another column is."""
    taken = {*PLACES, *REMARKS, EMBEDDING}
    if clash := [label for label in plan.labels if label in taken and not plan.top]:
        raise SettingsError(f"a label is called {clash[0]!r}, as another column is. Ask for --top K, or rename it.")


def table_of(plan: Plan, answers: Sequence[Answer], features: int) -> pa.Table:
    """The rows of a part in the order of the plan.

    Args:
        plan: what was asked for.
        answers: all of the part's, in any order.
        features: length of an embedding; 0 where none is asked for, or none is known yet.
    """
    answers = sorted(answers, key=lambda answer: (answer.row.clip, answer.row.number))
    columns: dict[str, pa.Array] = {
        "id": pa.array([a.row.id for a in answers], pa.string()),
        "path": pa.array([a.row.path for a in answers], pa.string()),
        "start": pa.array([a.row.start for a in answers], pa.float64()),
        "end": pa.array([a.row.end for a in answers], pa.float64()),
    }
    columns |= _top(plan, answers) if plan.top else _by_label(plan, answers)
    if plan.embedding:
        columns[EMBEDDING] = _fixed([a.embedding for a in answers], features)
    for name in REMARKS:
        columns[name] = pa.array([getattr(a, name) or None for a in answers], pa.string())
    told = {
        "labels": list(plan.labels),
        "members": [member.name for _, member in plan.chosen],
        "embedding": plan.embedding,
        "precision": plan.precision,
    }
    return pa.table(columns).replace_schema_metadata({METADATA: json.dumps(told).encode()})


def labels_of(schema: pa.Schema, name: str) -> list[str]:
    """The labels that an archive knows.

    Raises:
        SettingsError: it is none of ours.
    """
    told = (schema.metadata or {}).get(METADATA)
    if told is None:
        raise SettingsError(f"{name} was not written by soundpost tag. Name the --out of such a call.")
    return list(json.loads(told)["labels"])


def _by_label(plan: Plan, answers: Sequence[Answer]) -> dict[str, pa.Array]:
    unheard = np.array([a.probabilities is None for a in answers], bool)
    nothing = np.zeros(len(plan.labels), np.float32)
    table = np.stack([nothing if a.probabilities is None else a.probabilities for a in answers])
    return {
        label: pa.array(table[:, i].astype(np.float32), pa.float32(), mask=unheard)
        for i, label in enumerate(plan.labels)
    }


def _top(plan: Plan, answers: Sequence[Answer]) -> dict[str, pa.Array]:
    labels: list[list[str] | None] = []
    scores: list[list[float] | None] = []
    for answer in answers:
        if answer.probabilities is None:
            labels.append(None)
            scores.append(None)
            continue
        best = np.argsort(-answer.probabilities, kind="stable")[: plan.top]
        labels.append([plan.labels[i] for i in best])
        scores.append([float(answer.probabilities[i]) for i in best])
    return {
        TOP_LABELS: pa.array(labels, pa.list_(pa.string())),
        TOP_SCORES: pa.array(scores, pa.list_(pa.float32())),
    }


def _fixed(vectors: Sequence[np.ndarray | None], features: int) -> pa.Array:
    """A list of fixed size; null where there is no vector."""
    missing = np.array([vector is None for vector in vectors], bool)
    nothing = np.zeros(features, np.float32)
    flat = [nothing if vector is None else vector.astype(np.float32) for vector in vectors]
    values = pa.array(np.concatenate(flat) if flat else nothing, pa.float32())
    return pa.FixedSizeListArray.from_arrays(values, features, mask=pa.array(missing))
