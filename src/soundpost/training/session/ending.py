"""How a session ends: a mark for the next one, a submission of what is there, and a last line that says what to do."""

import json
from collections.abc import Mapping
from pathlib import Path

from soundpost.ensemble.recipe_folder import fold_file
from soundpost.ensemble.toml_text import toml_text
from soundpost.ensemble.weights_folder import RECIPE, SUBMISSION
from soundpost.training.session.earlier import KIND, MARK
from soundpost.training.session.session import WEIGHTS, Found, Job, Session

AGAIN = "push this kernel again (soundpost push): it goes on from its own output"
BUILD = (
    "fetch the output (soundpost push --attach), then "
    "python build_kernel.py --submission dist/output/weights/submission.toml --weights-by USER/SLUG of this kernel"
)


def mark(out: Path, number: int, ended: Mapping[str, object] | None = None) -> None:
    """Write the file by which the next session knows this one's output."""
    table = {"format": 1, "kind": KIND, "session": number, **(ended or {"ended": "not yet"})}
    aside = out / f"{MARK}.part"
    aside.write_text(json.dumps(table, indent=1) + "\n", "utf-8")
    aside.replace(out / MARK)


def leave(session: Session, number: int, found: Found | None, reasons: Mapping[Job, str], trouble: str) -> list[str]:
    """Write what ends a session; the lines to say, the last one of them what is done, what is missing, what next.

    Args:
        session: which.
        number: which session it was, counted from 1.
        found: what there was to do; None where that could not be found out.
        reasons: why jobs are not done.
        trouble: why the session came to nothing; empty where it did not.
    """
    weights = Path(session.out) / WEIGHTS
    for path in weights.rglob("*.part"):
        path.unlink()
    jobs = [Job(plan, fold) for plan, folds in (found.folds if found else {}).items() for fold in folds]
    done = [job.name for job in jobs if fold_file(session.folder(job.plan), job.fold).is_file()]
    missing = [job.name for job in jobs if job.name not in done]
    unscored = [job.name for job in reasons if not job.fold]
    refused = dict(found.refused) if found else {}
    recipes = [plan for plan in (found.folds if found else {}) if (session.folder(plan) / RECIPE).is_file()]
    if recipes:
        text = toml_text({"format": 1, "blend": "mean", "recipes": recipes})
        (weights / SUBMISSION).write_text(text, "utf-8")
    said = {job.name: reason for job, reason in reasons.items()} | refused
    lacking = [*missing, *unscored, *refused, *([] if found else ["the first look"])]
    last = _last(done, lacking, trouble or _refusals(said))
    table = {"done": done, "missing": [*missing, *unscored], "reasons": said, "ended": last}
    mark(Path(session.out), number, table)
    return [*(f"{name}: {reason}" for name, reason in said.items()), last]


def _refusals(said: Mapping[str, str]) -> str:
    """The first reason that another session would meet again."""
    again = ("paused in ", "not begun", "ended with ")
    return next((f"{name}: {reason}" for name, reason in said.items() if not reason.startswith(again)), "")


def _last(done: list[str], missing: list[str], trouble: str) -> str:
    total = len(done) + len(missing)
    what = f"done: {len(done)} of {total} ({', '.join(done) or 'none'}); missing: {', '.join(missing) or 'nothing'}"
    if trouble:
        return f"{what}; next: correct this and push again: {trouble}"
    return f"{what}; next: {AGAIN if missing else BUILD}"
