"""What a run left, at a glance: the second cell of a notebook, run where the first one has written its files."""

import json
from pathlib import Path

import pandas as pd


def preview(folder: Path = Path()) -> pd.DataFrame:
    """Print how the run ended, and give the first rows of its submission with their likeliest labels.

    Args:
        folder: where submission.csv and run.json lie.

    Returns:
        One row a clip: label and probability of the likeliest columns; a submission that names labels as it is.
    """
    if not all((folder / name).is_file() for name in ("run.json", "submission.csv")):
        print("no submission.csv and run.json here: where SETTINGS name another file to write, look there")
        return pd.DataFrame()
    run = json.loads((folder / "run.json").read_text("utf-8"))
    answers = pd.read_csv(folder / "submission.csv", index_col=0)
    told, limit = run["ended"], run["settings"]["time_limit_seconds"]
    answered = f"{told.get('answered', 0):,} of {len(answers):,} {told.get('unit', 'clips')} answered"
    print(f"status {run['status']} after {run['seconds']:,.0f} of {limit:,.0f} s, {answered}")
    for kind in ("missing", "unreadable", "silent", "mended", "members_skipped", "fallbacks"):
        if told.get(kind):
            print(f"{kind.replace('_', ' ')}: {len(told[kind]):,}")
    if not all(pd.api.types.is_numeric_dtype(kind) for kind in answers.dtypes):
        return answers.head(10)
    likeliest = {name: row.nlargest(3) for name, row in answers.head(10).iterrows()}
    texts = {name: [f"{label} {p:.2f}" for label, p in best.items()] for name, best in likeliest.items()}
    return pd.DataFrame.from_dict(texts, orient="index").fillna("")
