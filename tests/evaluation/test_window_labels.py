"""Labelled windows of training recordings: times, labels as text, windows that stand twice."""

from pathlib import Path

import pytest

from soundpost.contest.grammar import Grammar
from soundpost.errors import SubmissionError
from soundpost.evaluation.window_labels import read_window_labels

TEXT = """filename,start,end,primary_label
x.ogg,00:01:00,00:01:05,22961;0012
x.ogg,00:01:00,00:01:05,22961;NA
y.ogg,0,5,1e5
"""


def test_window_labels_stay_text_and_windows_count_once(tmp_path: Path) -> None:
    """Hours, minutes and seconds become the end of a row id; labels of both lines are joined."""
    path = tmp_path / "labels.csv"
    path.write_text(TEXT)
    assert read_window_labels(path) == {"x_65": ("22961", "0012", "NA"), "y_5": ("1e5",)}
    assert list(read_window_labels(path, Grammar("-"))) == ["x-65", "y-5"]


def test_window_labels_of_another_table_are_refused(tmp_path: Path) -> None:
    """A missing column and a time that is none are named."""
    path = tmp_path / "labels.csv"
    path.write_text("filename,end\nx.ogg,5\n")
    with pytest.raises(SubmissionError, match="no column primary_label"):
        read_window_labels(path)
    path.write_text("filename,end,primary_label\nx.ogg,soon,a\n")
    with pytest.raises(SubmissionError, match="'soon' is no time"):
        read_window_labels(path)
