"""Statistics over seeds: the percentile bootstrap interval of a mean."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

LEVEL = 0.95
RESAMPLES = 10_000
SEED = 0


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
