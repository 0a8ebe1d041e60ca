"""Answers that few members gave, on the scale of those that all gave."""

from typing import Any

import numpy as np
import pytest

from soundpost.engine.comparable import comparable, quantile_mapped
from soundpost.evaluation.contest_metrics import macro_roc_auc

ROWS, COLUMNS, MEMBERS = 600, 12, 5


class Made:
    """Predictions of members whose scales differ, of which the first has answered all rows, the others some."""

    def __init__(self, reached: float, seed: int = 0, first: float = 1.0) -> None:
        random = np.random.default_rng(seed)
        self.truth = random.uniform(size=(ROWS, COLUMNS)) < 0.15
        signal = 1.2 * self.truth[None] + random.normal(0, 1.0, (MEMBERS, ROWS, COLUMNS))
        shift, scale = random.normal(0, 1.5, (MEMBERS, 1, COLUMNS)), random.uniform(0.5, 2.5, (MEMBERS, 1, COLUMNS))
        self.members = 1 / (1 + np.exp(-(scale * signal + shift - 1)))
        self._done = np.zeros((MEMBERS, ROWS), bool)
        order = random.permutation(ROWS)
        self._done[0, order[: round(first * ROWS)]] = True
        self._done[1:, order[: round(reached * ROWS)]] = True

    def done(self) -> np.ndarray:
        return self._done

    def blended(
        self, blend: Any, maps: Any, priors: Any, clips: np.ndarray | None = None, of_members: np.ndarray | None = None
    ) -> np.ndarray:
        rows = np.arange(ROWS) if clips is None else clips
        there = self._done[:, rows] & (np.ones(MEMBERS, bool) if of_members is None else of_members)[:, None]
        sums = (self.members[:, rows] * there[:, :, None]).sum(axis=0)
        return np.where(there.any(axis=0)[:, None], sums / np.maximum(there.sum(axis=0), 1)[:, None], 0.1)

    def table(self) -> np.ndarray:
        return self.blended(None, None, None)


@pytest.mark.parametrize("reached", [0.3, 0.5, 0.8])
def test_partial_answers_on_one_scale_are_worth_more(reached: float) -> None:
    """Time ended when the other members had answered a share of the rows: mapped quantiles raise the macro ROC-AUC."""
    gains = []
    for seed in range(5):
        made = Made(reached, seed)
        plain = made.table()
        mapped = comparable(plain, made, None, {}, [])  # type: ignore[arg-type]
        gains.append(macro_roc_auc(made.truth, mapped) - macro_roc_auc(made.truth, plain))
    assert min(gains) > 0
    assert np.mean(gains) > 0.01


def test_rows_that_all_have_answered_stay_as_they_are() -> None:
    """And so does a table in which nobody is behind."""
    made = Made(0.5)
    plain = made.table()
    mapped = comparable(plain, made, None, {}, [])  # type: ignore[arg-type]
    full = made.done().all(axis=0)
    np.testing.assert_array_equal(plain[full], mapped[full])
    assert not np.allclose(plain[~full], mapped[~full])
    whole = Made(1.0)
    np.testing.assert_array_equal(whole.table(), comparable(whole.table(), whole, None, {}, []))  # type: ignore[arg-type]


def test_rows_that_nobody_reached_get_the_mean_of_their_column() -> None:
    """Neither first nor last, and never 0."""
    made = Made(0.4, first=0.9)
    mapped = comparable(made.table(), made, None, {}, [])  # type: ignore[arg-type]
    reached = made.done().any(axis=0)
    np.testing.assert_allclose(mapped[~reached], np.tile(mapped[reached].mean(axis=0), ((~reached).sum(), 1)))


def test_quantile_map_keeps_the_order_of_rows_beyond_its_ends() -> None:
    """Every column is mapped by an increasing function."""
    random = np.random.default_rng(1)
    before, after = random.uniform(0.3, 0.6, (50, 1)), random.uniform(0.1, 0.9, (50, 1))
    values = np.linspace(0, 1, 40)[:, None]
    mapped = quantile_mapped(values, before, after)[:, 0]
    assert (np.diff(mapped) > 0).all()
