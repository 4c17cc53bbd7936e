"""Means with confidence intervals, and paired comparisons of arms over seeds."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from saltation.experiments.case import Row

CONFIDENCE = 0.95


class Difference(NamedTuple):
    """Mean of the differences of pairs, its confidence interval, and p of Student's t test; nan of fewer than two."""

    mean: float
    low: float
    high: float
    p: float
    pairs: int

    def words(self, decimals: int = 2) -> str:
        """Such as +1.20 [+0.40, +2.00], p = 0.01."""
        if self.pairs < 2:
            return f"{self.mean:+.{decimals}f} (one seed)" if self.pairs else ""
        p = "p < 0.001" if self.p < 0.001 else f"p = {self.p:.2g}"
        return f"{self.mean:+.{decimals}f} [{self.low:+.{decimals}f}, {self.high:+.{decimals}f}], {p}"


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Difference:
    """Of ours - theirs, pair by pair (the same seed), with a 95 % interval of Student's t distribution."""
    differences = np.asarray(ours, float) - np.asarray(theirs, float)
    n = len(differences)
    if n < 2:
        mean = float(differences.mean()) if n else float("nan")
        return Difference(mean, float("nan"), float("nan"), float("nan"), n)
    mean = float(differences.mean())
    if np.ptp(differences) == 0.0:  # the test divides by the spread
        return Difference(mean, mean, mean, 1.0 if mean == 0.0 else 0.0, n)
    found = stats.ttest_1samp(differences, 0.0)
    interval = found.confidence_interval(CONFIDENCE)
    return Difference(mean, float(interval.low), float(interval.high), float(found.pvalue), n)


def paired_rows(ours: Sequence[Row], theirs: Sequence[Row], key: str, factor: float = 1.0) -> Difference:
    """Of a figure of the results, for the seeds that both have."""
    a, b = ({row.seed: factor * row.result[key] for row in rows} for rows in (ours, theirs))
    seeds = sorted(a.keys() & b.keys())
    return paired([a[seed] for seed in seeds], [b[seed] for seed in seeds])


def mean_std(values: Sequence[float], decimals: int = 2) -> str:
    """Such as 97.88 ± 0.58; the standard deviation is that of single values."""
    if not len(values):
        return "not run"
    mean = f"{np.mean(values):.{decimals}f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.{decimals}f}"


def column(rows: Sequence[Row], key: str, factor: float = 1.0) -> list[float]:
    """A figure of all results that have it."""
    values: list[Any] = [row.result[key] for row in rows]
    return [factor * value for value in values if value is not None]
