"""How row ids are read: stem, separator and end learnt from the sample's own rows."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundpost.contest.grammar import Grammar, count_windows, learn


@pytest.mark.parametrize(
    ("row_ids", "expected"),
    [
        (["soundscape_1_5", "soundscape_1_10"], Grammar("_", 5.0)),
        (["a-2.5", "a-5", "a-7.5"], Grammar("-", 2.5)),
        (["a_10", "a_20", "b_10"], Grammar("_", 10.0)),
        (["site_12_2025_5", "site_12_2025_10"], Grammar("_", 5.0)),
        (["x#20"], Grammar("#", 20.0)),
        (["a_1", "a_2", "a_3"], Grammar("_", 1.0)),
        (["clip_001", "clip_002"], None),
        (["0a1b.wav", "2c3d.wav"], None),
        (["a_5", "b-5"], None),
        (["a_5", "whole"], None),
        (["a_4", "a_6", "a_9"], None),
        ([], None),
    ],
)
def test_grammar_of_row_ids_is_learnt(row_ids: list[str], expected: Grammar | None) -> None:
    """Window and separator come from the ids; ids that are no windows have no grammar."""
    assert learn(row_ids) == expected


@settings(max_examples=60, deadline=None)
@given(
    stem=st.from_regex(r"[A-Za-z0-9_.]{1,20}", fullmatch=True),
    separator=st.sampled_from("_-#:"),
    window=st.sampled_from([1.0, 2.5, 5.0, 10.0, 30.0]),
    number=st.integers(1, 500),
)
def test_grammar_splits_what_it_writes(stem: str, separator: str, window: float, number: int) -> None:
    """A row id comes apart into the recording and the end that it was made of, whatever the stem holds."""
    grammar = Grammar(separator, window)
    assert grammar.split(grammar.row_id(stem, number * window)) == (stem, number * window)


def test_grammar_that_is_told_overrides_what_is_learnt() -> None:
    """[contest] may say window and separator."""
    assert learn(["a_b_20", "a_b_40"], window=5.0) == Grammar("_", 5.0)
    assert learn(["a-1_20", "b-2_20"], separator="-") is None


@pytest.mark.parametrize(("rate", "window"), [(32000, 5.0), (44100, 5.0), (22050, 2.5)])
def test_windows_of_a_recording_follow_whole_ones_with_a_tolerance(rate: int, window: float) -> None:
    """A rest below half a second adds none, half a second one; no recording has none."""
    whole = round(window * rate)
    assert count_windows(0, rate, window) == 1
    assert count_windows(12 * whole + 32, rate, window) == 12
    assert count_windows(12 * whole + rate // 2 - 1, rate, window) == 12
    assert count_windows(12 * whole + -(-rate // 2), rate, window) == 13
    assert count_windows(12 * whole - 1, rate, window) == 12
