"""Compare the test accuracy of configurations pairwise, seed by seed."""

from collections.abc import Hashable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from relative_performer.cli import ArgumentParser, run
from relative_performer.results.configurations import settings_of, varied_options
from relative_performer.results.intervals import STATISTICS, statistics_of
from relative_performer.results.read import read_evaluations
from relative_performer.results.tables import OVER_SEEDS, percent, write_tables

PLACE = ["experiment", "dataset", "embedding_type"]
COLUMNS = [*PLACE, "first", "second", "n_seeds", "seeds", *(f"difference_{name}" for name in STATISTICS)]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Write differences.csv (fractions), differences.md and differences.tex (percentage points; needs\n"
        "booktabs). They compare every pair of models, or of settings of a model, in an experiment. Differences of\n"
        "test accuracy are taken on the same dataset, embedding and seed. The tables give their mean, standard\n"
        "deviation and bootstrap 95 % interval over seeds.",
        epilog="example:\n  compare_models.py results/paper/model_evaluations.csv --out results/paper/tables",
    )
    parser.add_argument("evaluations", type=Path, metavar="EVALUATIONS.csv", help="one row per run")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the three files")
    options = parser.parse_args(arguments)
    summary = differences(read_evaluations(options.evaluations))
    sections = {str(name): _cells(part) for name, part in summary.groupby("experiment", sort=False)}
    note = f"Percentage points of test accuracy, first minus second, paired by seed: {OVER_SEEDS}."
    if summary.empty:
        note = "No two models have a dataset, an embedding and a seed in common."
    write_tables(options.out / "differences", summary, sections, "Differences between models", note)


def differences(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per pair of configurations that share seeds, with the columns COLUMNS (fractions)."""
    rows = []
    for experiment, part in runs.groupby("experiment", observed=True):
        options = varied_options(part)
        part = part.sort_values(["model", *options])
        part = part.assign(configuration=part["model"].astype(str) + settings_of(part, options))
        for place, group in part.groupby(PLACE[1:], observed=True):
            rows += [dict(zip(PLACE, (experiment, *place), strict=True)) | pair for pair in _pairs(group)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _pairs(group: pd.DataFrame) -> Iterator[dict[Hashable, Any]]:
    accuracies = group.pivot_table("test/acc", "seed", "configuration", observed=True, sort=False)
    for first, second in combinations(accuracies, 2):
        paired = (accuracies[first] - accuracies[second]).dropna().to_frame("difference")
        if len(paired):
            (row,) = paired.groupby(lambda _: 0).agg(**statistics_of("difference")).to_dict("records")
            yield {"first": first, "second": second, "n_seeds": len(paired), "seeds": "; ".join(paired.index), **row}


def _cells(part: pd.DataFrame) -> list[list[str]]:
    header = ["dataset", "embedding", "first", "second", "difference", "seeds"]
    names = ["dataset", "embedding_type", "first", "second"]
    rows = part.to_dict("records")
    return [
        header,
        *([*(row[name] for name in names), percent(row, "difference_", True), str(row["n_seeds"])] for row in rows),
    ]


if __name__ == "__main__":
    run(main)
