"""Compare the test accuracy of configurations pairwise, seed by seed."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from relative_performer.cli import ArgumentParser, run
from relative_performer.models import MODELS
from relative_performer.results.differences import GROUP, against_best, differences
from relative_performer.results.read import in_order, read_evaluations
from relative_performer.results.tables import OVER_SEEDS, by_dataset, percent, write_tables

NOTE = (
    "Percentage points of test accuracy by which the best model of each dataset and embedding is ahead, paired by "
    f"seed: {OVER_SEEDS}. differences.csv has every pair of models."
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Write differences.csv (fractions), differences.md and differences.tex (percentage points; needs\n"
        "booktabs). The CSV compares every pair of models, or of settings of a model, in an experiment. The tables\n"
        "compare each model with the best one. Differences of test accuracy are taken on the same dataset, embedding\n"
        "and seed, and have their mean, standard deviation and bootstrap 95 % interval over seeds.",
        epilog="example:\n  compare_models.py results/paper/model_evaluations.csv --out results/paper/tables",
    )
    parser.add_argument("evaluations", type=Path, metavar="EVALUATIONS.csv", help="one row per run")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the three files")
    options = parser.parse_args(arguments)
    pairs = differences(read_evaluations(options.evaluations))
    sections = {str(name): _cells(part) for name, part in pairs.groupby("experiment", sort=False)}
    note = "No two models have a dataset, an embedding and a seed in common." if pairs.empty else NOTE
    write_tables(options.out / "differences", pairs, sections, "Differences between models", note)


def _cells(pairs: pd.DataFrame) -> list[list[str]]:
    pairs = pairs.drop(columns="seeds").rename(columns={"n_seeds": "seeds"})
    others = against_best(pairs).rename(columns={"second": "model"})
    others = others.assign(text=[percent(row, "difference_") for row in others.to_dict("records")])
    groups = pairs.groupby(GROUP, sort=False, as_index=False)
    best = groups.agg(model=("best", "first"), seeds=("seeds", "max")).assign(text="**best**")
    known = list(dict.fromkeys([*pairs["first"], *pairs["second"]]))
    models = in_order(map(_model, known), list(MODELS))
    known.sort(key=lambda name: models.index(_model(name)))
    orders = {"embedding": list(pairs["embedding_type"]), "model": known}
    table = pd.concat([best, others]).rename(columns={"embedding_type": "embedding"})
    table = table.sort_values([*orders], key=lambda names: names.map(orders[str(names.name)].index))
    return by_dataset(table, ["model", "embedding"], ["text"], ["seeds"])


def _model(configuration: str) -> str:
    return configuration.partition(",")[0]


if __name__ == "__main__":
    run(main)
