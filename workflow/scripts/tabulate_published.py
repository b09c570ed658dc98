"""Tabulate the published accuracies: tidy CSV, Markdown and LaTeX."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from relative_performer.cli import ArgumentParser, run
from relative_performer.data import DATASETS
from relative_performer.models import MODELS
from relative_performer.results.published import BASELINES, METRICS, read_published, unusual
from relative_performer.results.read import in_order
from relative_performer.results.tables import number, write_tables

NOTE = (
    "Validation / test accuracy of one run each, in percent. The best test accuracy of each dataset and table is bold. "
    "Options are given where they differ from dimension 256, depth 6, 8 heads, pos_scales 4, redraw interval 1000, a "
    "constant learning rate of 5e-05 and batches of 22. content_rel_attn had no effect in the authors' code."
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Write published.csv (fractions, every option), published.md and published.tex (percent; needs\n"
        "booktabs) with the published accuracies of every model on every dataset.",
        epilog="example:\n"
        "  tabulate_published.py resources/published_evaluations.csv resources/published_cnn.csv \\\n"
        "    --out results/published/tables",
    )
    parser.add_argument("evaluations", type=Path, metavar="EVALUATIONS.csv", help="published runs of the Performers")
    parser.add_argument("cnn", type=Path, metavar="CNN.csv", help="published runs of the baselines")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the three files")
    options = parser.parse_args(arguments)
    published = read_published(options.evaluations, options.cnn)
    baseline = published["experiment"] == BASELINES
    sections = {"Performers": cells(published[~baseline]), "Baselines": cells(published[baseline])}
    write_tables(options.out / "published", published, sections, "Published accuracy", NOTE)


def cells(runs: pd.DataFrame) -> list[list[str]]:
    """Return the header and the rows of a table: a row per model and options, a column per dataset."""
    datasets = in_order(runs["dataset"], list(DATASETS))
    runs = runs.assign(options=[unusual(row) for row in runs.to_dict("records")], text=_texts(runs))
    # plain runs first
    runs = runs.sort_values("options", key=lambda options: options.str.len() > 0, kind="stable")
    by_place = runs.pivot_table("text", ["model", "options"], "dataset", aggfunc="first", sort=False).fillna("")
    rows = [[model, options, *by_place.loc[(model, options), datasets]] for model, options in by_place.index]
    models = in_order(runs["model"], [*MODELS, *runs["model"].unique()])
    return [["model", "options", *datasets], *sorted(rows, key=lambda row: models.index(row[0]))]


def _texts(runs: pd.DataFrame) -> list[str]:
    best = runs["test/acc"] == runs.groupby("dataset")["test/acc"].transform("max")
    texts = []
    for metrics, first in zip(runs[METRICS].itertuples(index=False), best, strict=True):
        validation, test = (number(100 * value) or "?" for value in metrics)
        texts.append(f"{validation} / **{test}**" if first else f"{validation} / {test}")
    return texts


if __name__ == "__main__":
    run(main)
