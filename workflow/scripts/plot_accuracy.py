"""Plot the test accuracy of every configuration, one panel per dataset."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from relative_performer.cli import ArgumentParser, run
from relative_performer.data import DATASETS
from relative_performer.results import plotting
from relative_performer.results.configurations import describe
from relative_performer.results.intervals import interval
from relative_performer.results.read import in_order, read_evaluations

LINE = 0.23  # inches


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Draw accuracy.pdf and accuracy.png: test accuracy (mean, standard deviation and bootstrap 95 %\n"
        "interval over seeds) of every model, embedding and varied option, with one column of panels per dataset and\n"
        "one row per experiment.",
        epilog="example:\n  plot_accuracy.py results/paper/model_evaluations.csv --out figures/paper",
    )
    parser.add_argument("evaluations", type=Path, metavar="EVALUATIONS.csv", help="one row per run")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the figure")
    options = parser.parse_args(arguments)
    plotting.save(accuracy_figure(read_evaluations(options.evaluations)), options.out, "accuracy")


def accuracy_figure(evaluations: pd.DataFrame) -> Figure:
    """Return the figure of the evaluations: one bar with its value per configuration and dataset."""
    runs = describe(evaluations).merge(evaluations[["run_dir", "test/acc"]], on="run_dir")
    runs = runs.assign(place=_places(runs))
    rows = plotting.rows_of_panels(runs, ["experiment"])
    heights = [LINE * part["place"].nunique() + 0.5 for _, part in rows]
    datasets = in_order(runs["dataset"], list(DATASETS))
    figure, axes = plotting.grid(heights, datasets, width=2.9, sharex=True, sharey="row")
    figure.set_figwidth(figure.get_figwidth() + 0.055 * runs["place"].str.len().max())
    for (title, part), line in zip(rows, axes, strict=True):
        for panel, dataset in zip(line, datasets, strict=True):
            _draw_panel(panel, part, dataset)
        line[0].annotate(title, (0, 1), (-5, 6), xycoords="axes fraction", textcoords="offset points", ha="right")
    for panel in axes[-1]:
        panel.set_xlabel("Test accuracy")
    if runs.duplicated(["experiment", "dataset", "place"]).any():
        plotting.footnote(
            figure, "Mean ± one standard deviation over the seeds; lines: bootstrap 95 % interval of the mean."
        )
    return figure


def _places(runs: pd.DataFrame) -> pd.Series:
    several = runs["embedding_type"].nunique() > 1
    embeddings = [f", {name}" if several and name else "" for name in runs["embedding_type"]]
    labels = [
        plotting.look(model, settings)["label"] for model, settings in zip(runs["model"], runs["settings"], strict=True)
    ]
    return pd.Series([label + embedding for label, embedding in zip(labels, embeddings, strict=True)], runs.index)


def _draw_panel(panel: Axes, part: pd.DataFrame, dataset: str) -> None:
    places = list(part.sort_values(["model", "variant", "embedding_type"])["place"].unique())
    for style, runs in plotting.lines_of_panel(part[part["dataset"] == dataset]):
        for place, accuracies in runs.groupby("place")["test/acc"]:
            _draw_bar(panel, places.index(place), accuracies, style["color"])
    panel.grid(visible=False, axis="y")
    panel.set(xlim=(0, 1), ylim=(len(places) - 0.4, -0.6))
    panel.set_yticks(range(len(places)), places)


def _draw_bar(panel: Axes, y: int, accuracies: pd.Series, color: str) -> None:
    mean = accuracies.mean()
    panel.barh(y, mean, height=0.66, color=color, linewidth=0)
    text = f"{mean:.3f}"
    if len(accuracies) > 1:
        low, high = interval(accuracies)
        panel.errorbar(
            mean, y, xerr=[[mean - low], [high - mean]], color="black", capsize=2, elinewidth=0.9, clip_on=False
        )
        text += f" ± {accuracies.std():.3f}"
    panel.annotate(text, (1, y), (5, 0), textcoords="offset points", va="center", fontsize=8)


if __name__ == "__main__":
    run(main)
