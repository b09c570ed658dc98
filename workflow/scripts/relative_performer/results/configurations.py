"""Configurations, groups of runs that differ only in their seed, and the options that distinguish them."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from relative_performer.errors import UserError
from relative_performer.results.read import PLACE, option_columns

# the columns of `describe` that name a configuration on a dataset
CONFIGURATION = ["experiment", "dataset", "model", "embedding_type", "settings"]


def varied_options(runs: pd.DataFrame) -> list[str]:
    """Return the options that differ between runs of the same experiment, model, dataset and embedding."""
    counts = runs.groupby(["experiment", *PLACE], observed=True)[option_columns(runs)].nunique()
    return [str(option) for option in counts if counts[option].max() > 1]


def settings_of(runs: pd.DataFrame, options: Sequence[str]) -> list[str]:
    """Return for every run the text ", option value" for each of the options that it has."""
    rows = runs[list(options)].astype(str).to_dict("records")
    return ["".join(f", {name} {value}" for name, value in row.items() if value) for row in rows]


def named(summary: pd.DataFrame) -> pd.DataFrame:
    """Return a summary with a row per configuration as rows of a table: in order, with model, embedding and runs."""
    rows = summary.sort_values(["model", "embedding_type", "settings"])
    models = rows["model"].astype(str) + rows["settings"]
    return rows.assign(model=models).rename(columns={"embedding_type": "embedding", "n_seeds": "runs"})


def describe(evaluations: pd.DataFrame) -> pd.DataFrame:
    """Return run_dir, experiment, model, dataset, embedding_type, settings and variant of every run, in order.

    settings: ", option value" for each option that varies within the experiment; empty if none does.
    variant: the number 0, 1, … of the settings among those of the model.
    """
    parts = [_settings(part) for _, part in evaluations.groupby("experiment", observed=True)]
    runs = pd.concat(parts).sort_values(["experiment", "embedding_type", "model", "dataset"], kind="stable")
    return runs.assign(variant=runs.groupby("model", observed=True)["settings"].transform(_numbers).astype(int))


def of_experiment(runs: pd.DataFrame, experiment: str | None) -> pd.DataFrame:
    """Return the rows of `runs` of one experiment, or all of them for None; raises UserError if there are none."""
    chosen = runs[runs["experiment"] == experiment] if experiment else runs
    if chosen.empty:
        experiments = ", ".join(runs["experiment"].unique())
        raise UserError(f"--experiment {experiment}: no results; there are results of {experiments or 'none'}")
    return chosen


def _numbers(settings: pd.Series) -> pd.Series:
    order = sorted(dict.fromkeys(settings), key=bool)  # runs without settings first: variant 0 has the plain look
    return settings.map(order.index)


def _settings(experiment: pd.DataFrame) -> pd.DataFrame:
    options = varied_options(experiment)
    runs = experiment.sort_values(options) if options else experiment
    columns = ["run_dir", "experiment", "model", "dataset", "embedding_type"]
    return runs[columns].assign(settings=settings_of(runs, options))


def join(runs: pd.DataFrame, results: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return the rows of `results`, read from `path`, joined with `runs` as returned by `describe`.

    Raises UserError if a run is unknown.
    """
    unknown = sorted(set(results["run_dir"]) - set(runs["run_dir"]))
    if unknown:
        raise UserError(f"{path}: run {unknown[0]} is not among the evaluations: evaluate it too")
    return runs.merge(results, on="run_dir")
