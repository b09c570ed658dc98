"""Paired differences of test accuracy between the configurations of an experiment."""

from collections.abc import Hashable, Iterator
from itertools import combinations
from typing import Any

import pandas as pd

from relative_performer.results.configurations import settings_of, varied_options
from relative_performer.results.intervals import STATISTICS, statistics_of

GROUP = ["experiment", "dataset", "embedding_type"]
DIFFERENCE = [f"difference_{name}" for name in STATISTICS]
COLUMNS = [*GROUP, "best", "first", "second", "n_seeds", "seeds", *DIFFERENCE]


def differences(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per pair of configurations of a group that share seeds, with the columns COLUMNS (fractions).

    A group is an experiment, a dataset and an embedding. best: the configuration of the group with the highest mean
    accuracy over its seeds. The differences are first minus second, paired by seed.
    """
    rows = []
    for experiment, part in runs.groupby("experiment", observed=True):
        options = varied_options(part)
        part = part.sort_values(["model", *options])
        part = part.assign(configuration=part["model"].astype(str) + settings_of(part, options))
        for place, group in part.groupby(GROUP[1:], observed=True):
            rows += [dict(zip(GROUP, (experiment, *place), strict=True)) | pair for pair in _pairs(group)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _pairs(group: pd.DataFrame) -> Iterator[dict[Hashable, Any]]:
    accuracies = group.pivot_table("test/acc", "seed", "configuration", observed=True, sort=False)
    best = accuracies.mean().idxmax()
    for first, second in combinations(accuracies, 2):
        paired = (accuracies[first] - accuracies[second]).dropna().to_frame("difference")
        if len(paired):
            (row,) = paired.groupby(lambda _: 0).agg(**statistics_of("difference")).to_dict("records")
            names: dict[Hashable, Any] = {"best": best, "first": first, "second": second}
            yield {**names, "n_seeds": len(paired), "seeds": "; ".join(paired.index), **row}


def against_best(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs that contain the best configuration of their group as `first`, in the columns of `pairs`."""
    turned = pairs["second"] == pairs["best"]
    # the negative of an interval: its ends change places
    mean, std, low, high = (pairs[name] for name in DIFFERENCE)
    negative = dict(zip(DIFFERENCE, (-mean, std, -high, -low), strict=True))
    swapped = pairs.assign(first=pairs["second"], second=pairs["first"], **negative)
    oriented = pairs.where(~turned, swapped)
    return oriented[oriented["first"] == oriented["best"]]
