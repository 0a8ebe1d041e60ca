"""What a session of training left, at a glance: the second cell of a notebook, run where the first one has run."""

import json
from pathlib import Path

import pandas as pd


def preview(folder: Path = Path()) -> pd.DataFrame:
    """Print how the session ended, and give the last epoch of every member that was trained.

    Args:
        folder: where session.json and weights/ lie.

    Returns:
        One row a member: stage, epoch, seconds, rate, loss, score and scale of its last epoch.
    """
    if not (folder / "session.json").is_file():
        print("no session.json here: where SETTINGS name another folder for what is left, look there")
        return pd.DataFrame()
    told = json.loads((folder / "session.json").read_text("utf-8"))
    print(f"session {told['session']}: {told['ended']}")
    rows = {}
    for path in sorted((folder / "weights").glob("*/history_*.csv")):
        history = pd.read_csv(path)
        if len(history):
            rows[f"{path.parent.name}/{path.stem.removeprefix('history_')}"] = history.iloc[-1]
    return pd.DataFrame.from_dict(rows, orient="index")
