"""The table of accuracies of every configuration over its seeds."""

from pathlib import Path

import pandas as pd

from relative_performer.results.configurations import varied_options
from relative_performer.results.intervals import statistics_of
from relative_performer.results.read import PLACE, read_evaluations
from relative_performer.results.tables import OVER_SEEDS, by_dataset, percent, write_tables


def write_accuracies(evaluations: Path, out: Path) -> None:
    """Write OUT/accuracy.{csv,md,tex} from a CSV file with one row per run."""
    summary = summarize(read_evaluations(evaluations))
    sections = {str(name): cells(part) for name, part in summary.groupby("experiment", observed=True)}
    note = f"In percent: {OVER_SEEDS}. The best accuracy of each dataset is bold."
    write_tables(out / "accuracy", summary, sections, "Test accuracy", note)


def summarize(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per experiment, model, dataset, embedding and varied options, over the seeds.

    The other columns are n_seeds, n_parameters, the statistics of X = test/acc, val/acc and images_seen, marks and
    run_dirs. The statistics are the mean, the sample standard deviation and the ends of the bootstrap interval (X_mean,
    X_std, X_low, X_high); for one seed all but the mean are NaN. `marks` counts the runs whose `state` is not finished,
    if there are states.
    """
    groups = runs.groupby(["experiment", *PLACE, *varied_options(runs)], observed=True)
    summary = groups.agg(
        n_seeds=("test/acc", "count"),
        n_parameters=("n_parameters", "first"),
        **statistics_of("test/acc", "val/acc", "images_seen"),
    )
    marks = groups["state"].agg(_marks).rename("marks") if "state" in runs else ""
    names = groups["run_dir"].agg("; ".join).rename("run_dirs")
    return summary.astype({"n_parameters": "Int64"}).assign(marks=marks).join(names).reset_index()


def _marks(states: pd.Series) -> str:
    counts = states.str.split(" ").str[0].value_counts().drop("finished", errors="ignore")
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))


def cells(part: pd.DataFrame) -> list[list[str]]:
    """Return the header and the rows of the table of one experiment, a part of the summary."""
    options = varied_options(part[_row_columns(part)])
    part = part.assign(text=_texts(part)).sort_values(["model", "embedding_type", *options])
    table = part.rename(columns={"embedding_type": "embedding", "n_seeds": "runs"})
    return by_dataset(table, ["model", "embedding", *options], ["text"])


def _row_columns(summary: pd.DataFrame) -> list[str]:
    return list(summary.columns[: summary.columns.get_loc("n_seeds")])


def _texts(part: pd.DataFrame) -> list[str]:
    rounded = (100 * part["test/acc_mean"]).round(2)
    compared = rounded.groupby(part["dataset"], observed=True)
    best = (rounded == compared.transform("max")) & (compared.transform("size") > 1)
    marks = [f" ({marks})" if marks else "" for marks in part["marks"]]
    texts = [
        (percent(row, "test/acc_") + mark).strip() for row, mark in zip(part.to_dict("records"), marks, strict=True)
    ]
    return [f"**{text}**" if first else text for text, first in zip(texts, best, strict=True)]
