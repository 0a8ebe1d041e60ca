"""How a run's answers do against a truth."""

from collections.abc import Sequence

import numpy as np

from soundpost.evaluation.metrics import accuracy, lwlrap, lwlrap_of_classes
from soundpost.report_page.page import Score
from soundpost.report_page.run_file import RunFile


def score(run: RunFile, files: Sequence[str], truth: np.ndarray) -> Score:
    """Scores of the submission against a truth (clips, labels) of these files.

    Args:
        run: with probabilities.
        files: what the truth is about.
        truth: 0 or 1, in the order of the run's labels.
    """
    row = {name: i for i, name in enumerate(run.names)}
    there = [i for i, name in enumerate(files) if name in row]
    given = run.probabilities[[row[files[i]] for i in there]]
    precision, _ = lwlrap_of_classes(truth[there], given)
    heard = truth[there].sum(axis=0) > 0
    of_labels = {label: float(precision[i]) for i, label in enumerate(run.labels) if heard[i]}
    return Score(
        lwlrap(truth[there], given), accuracy(truth[there], given), len(there), len(files) - len(there), of_labels
    )
