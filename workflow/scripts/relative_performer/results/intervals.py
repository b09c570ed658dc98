"""Intervals: the percentile bootstrap over seeds, and the Wilson interval of a single seed over test images."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import pandas as pd

LEVEL = 0.95
RESAMPLES = 10_000
SEED = 0
QUANTILE = NormalDist().inv_cdf((1 + LEVEL) / 2)


def interval(values: Sequence[float] | np.ndarray | pd.Series) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean of `values`; (NaN, NaN) for fewer than two."""
    # sorted, because the resamples are fixed: the interval must not depend on the order of the seeds
    known = np.sort(np.asarray(values, float))
    known = known[~np.isnan(known)]
    if len(known) < 2:
        return float("nan"), float("nan")
    means = known[_resamples(len(known))].mean(axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


@lru_cache
def _resamples(count: int) -> np.ndarray:
    return np.random.default_rng(SEED).integers(count, size=(RESAMPLES, count))


def wilson(share: float, count: float) -> tuple[float, float]:
    """Return the interval of Wilson (1927) of a probability that was estimated as `share` of `count` independent cases.

    (NaN, NaN) if the count is NaN.
    """
    spread = QUANTILE**2 / count
    center = (share + spread / 2) / (1 + spread)
    half = (spread * share * (1 - share) + spread**2 / 4) ** 0.5 / (1 + spread)
    return center - half, center + half


def accuracy_interval(accuracies: pd.Series, images: float) -> tuple[float, float]:
    """Return the interval of an accuracy: over seeds if there are several, otherwise over the test images.

    accuracies: of every seed. images: the number of test images; NaN if it is unknown.
    """
    return interval(accuracies) if len(accuracies) > 1 else wilson(float(accuracies.iloc[0]), images)


def low(values: pd.Series) -> float:
    """Return the lower end of the interval."""
    return interval(values)[0]


def high(values: pd.Series) -> float:
    """Return the upper end of the interval."""
    return interval(values)[1]


# for DataFrame.agg: name in tables → function; std is the sample standard deviation, NaN for one seed
STATISTICS: dict[str, str | Callable[[pd.Series], float]] = {"mean": "mean", "std": "std", "low": low, "high": high}


def statistics_of(*columns: str) -> dict[str, tuple[str, str | Callable[[pd.Series], float]]]:
    """Return the named aggregations COLUMN_mean, COLUMN_std, COLUMN_low and COLUMN_high for groupby(...).agg."""
    return {f"{column}_{name}": (column, how) for column in columns for name, how in STATISTICS.items()}
