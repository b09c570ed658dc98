"""What the results say about the paper's claim, in sentences that are computed from them.

The claim is that a model with absolute positions loses accuracy when the image moves, and that other models keep it.
"""

from collections.abc import Hashable, Mapping
from functools import partial
from itertools import product
from typing import Any

import pandas as pd

from relative_performer.models import MODELS
from relative_performer.results.configurations import CONFIGURATION, describe
from relative_performer.results.differences import GROUP, against_best, differences
from relative_performer.results.intervals import statistics_of
from relative_performer.results.tables import interval_text, number

(ABSOLUTE,) = (name for name, model in MODELS.items() if model.positions == "absolute")
FLAT = 3  # percentage points; a model that loses fewer is called flat
ONE_SEED = "A single seed does not show that they differ."
Row = Mapping[Hashable, Any]


def shift_sentences(shift: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """Return a sentence for each dataset on which ABSOLUTE and other models were tested on shifted images.

    shift: the table shift.csv. runs: the evaluations. The sentence compares ABSOLUTE with the most accurate of the
    models that lose less and are more accurate on moved images, without an overlap of the intervals over seeds. It says
    so if there is none, if ABSOLUTE itself loses nothing, or if a seed is the only one. With several experiments or
    embeddings, it is about the first that has ABSOLUTE and other models.
    """
    table = _comparable(shift.astype(dict.fromkeys(CONFIGURATION, str)).merge(_accuracies(runs), on=CONFIGURATION))
    for name, end in product(("lost", "moved"), ("low", "high")):  # a single seed has no interval
        table[f"{end}_{name}"] = table[f"{name}_{end}"].fillna(table[f"{name}_mean"])
    sentences = []
    for _, group in table.groupby([*GROUP, "axis", "circular", "edge"], sort=False):
        absolute = group["model"] == ABSOLUTE
        sentences.append(_comparison(_ranked(group[absolute])[0], group[~absolute]))
    return sentences


def accuracy_sentences(runs: pd.DataFrame) -> list[str]:
    """Return a sentence for each dataset of the same experiment and embedding: which model is the most accurate.

    runs: the evaluations. The most accurate model is compared with the next one, paired by seed.
    """
    pairs = against_best(differences(runs)).to_dict("records")
    by_place = {tuple(pair[name] for name in [*GROUP, "second"]): pair for pair in pairs}
    sentences = []
    for place, group in _comparable(_accuracies(runs)).groupby(GROUP, sort=False):
        first, second, *_ = _ranked(group)
        sentences.append(_ranking(first, second, by_place.get((*place, _name(second)))))
    return sentences


def summary_table(shift: pd.DataFrame, costs: pd.DataFrame) -> str:
    """Return an aligned table for a terminal: accuracies on unshifted and on moved images, and what training took.

    shift: the table shift.csv. costs: the table costs.csv, with n_parameters and core_seconds_mean.
    """
    table = shift.merge(costs[[*CONFIGURATION, "n_parameters", "core_seconds_mean"]], "left", CONFIGURATION)
    keys = [name for name in ("experiment", "dataset", "embedding_type") if table[name].nunique() > 1]
    tenths, lost = partial(number, decimals=1), 100 * table["lost_mean"]
    columns = {
        "model": table["model"] + table["settings"],
        "accuracy": (100 * table["center_mean"]).map(tenths),
        "moved": (100 * table["moved_mean"]).map(tenths),
        "points lost": lost.map(tenths),
        "": lost.abs().lt(FLAT).map({True: "flat", False: ""}),
        "parameters": table["n_parameters"].map("{:,}".format),
        "core seconds": table["core_seconds_mean"].map(partial(number, decimals=0)),
        "runs": table["n_seeds"],
    }
    text = table[keys].assign(**columns).to_string(index=False)
    moves = sorted({_distance(row) for row in shift.to_dict("records")})
    return (
        f"{text}\n\nAccuracies in percent. Moved: {', '.join(moves)}, both ways. Flat: loses less than {FLAT} points.\n"
    )


def _comparable(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the first experiment and embedding that have, on a dataset, ABSOLUTE and other models.

    The column `on` names the dataset and, if there are several in the table, the embedding and the experiment.
    """
    on = "On " + table["dataset"]
    if table["embedding_type"].nunique() > 1:
        on += " with the " + table["embedding_type"] + " embedding"
    if table["experiment"].nunique() > 1:
        on += " in the experiment " + table["experiment"]
    table = table.assign(on=on)
    for _, part in table.groupby(["experiment", "embedding_type"], sort=False):
        groups = [group for _, group in part.groupby("dataset", sort=False) if group["model"].nunique() > 1]
        if compared := [group for group in groups if ABSOLUTE in set(group["model"])]:
            return pd.concat(compared)
    return table.iloc[:0]


def _ranked(rows: pd.DataFrame) -> list[Row]:
    """Return the rows as mappings, the highest test accuracy first."""
    return list(rows.sort_values("test/acc_mean", ascending=False, kind="stable").to_dict("records"))


def _accuracies(runs: pd.DataFrame) -> pd.DataFrame:
    configured = describe(runs).merge(runs[["run_dir", "test/acc"]], on="run_dir")
    groups = configured.groupby(CONFIGURATION, observed=True)
    return groups.agg(**statistics_of("test/acc")).reset_index().astype(dict.fromkeys(CONFIGURATION, str))


def _comparison(absolute: Row, others: pd.DataFrame) -> str:
    moves, lost = f"when the image moves {_distance(absolute)}", interval_text(absolute, "lost_", 100, 1)
    if absolute["low_lost"] <= 0:
        return f"{absolute['on']}, the runs show no loss of {_name(absolute)} {moves}: {lost} points."
    name = f"{_name(absolute)} ({_accuracy(absolute)} on all test images)"
    text = f"{absolute['on']}, {name} loses {lost} points of accuracy {moves}"
    kept = others[(others["high_lost"] < absolute["low_lost"]) & (others["low_moved"] > absolute["high_moved"])]
    if kept.empty:
        return f"{text}; the runs show no model that loses less and is more accurate on the moved images."
    best = _ranked(kept)[0]
    text += f"; {_name(best)} ({_accuracy(best)}) loses {interval_text(best, 'lost_', 100, 1)}."
    return text if min(absolute["n_seeds"], best["n_seeds"]) > 1 else f"{text} {ONE_SEED}"


def _ranking(first: Row, second: Row, pair: Row | None) -> str:
    text = f"{first['on']}, {_name(first)} has the highest test accuracy, {_accuracy(first)}"
    if pair is None or pair["n_seeds"] < 2:
        return f"{text}; {_name(second)} has {_accuracy(second)}. {ONE_SEED}"
    difference = interval_text(pair, "difference_", 100, 1)
    if pair["difference_low"] > 0:
        return f"{text}, which is {difference} points more than that of {_name(second)}."
    return f"{text}; the seeds do not tell it from {_name(second)}, {_accuracy(second)} ({difference} points less)."


def _distance(row: Row) -> str:
    shifts = f"{row['edge']}" if row["far"] == row["edge"] else f"{row['far']} to {row['edge']}"
    unit = row["axis"] if row["edge"] > 1 else row["axis"].removesuffix("s")
    return f"{'circularly ' * row['circular']}by {shifts} {unit}"


def _name(row: Row) -> str:
    return f"{row['model']}{row['settings']}"


def _accuracy(row: Row) -> str:
    return f"{number(100 * row['test/acc_mean'], decimals=1)} %"
