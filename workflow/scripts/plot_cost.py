"""Plot the test accuracy against the number of parameters and the training time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from relative_performer.cli import ArgumentParser, run
from relative_performer.data import DATASETS
from relative_performer.models.options import EMBEDDINGS
from relative_performer.results import plotting
from relative_performer.results.configurations import describe, join
from relative_performer.results.intervals import interval
from relative_performer.results.read import in_order, read_csv, read_evaluations

TIMES = {"run_dir": str, "seconds": float}
COSTS = {"n_parameters": "Parameters", "minutes": "Training time (minutes)"}
FILLS = dict(zip(("", *EMBEDDINGS), ("full", "full", "left", "none"), strict=True))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Draw cost.pdf and cost.png: test accuracy of every configuration (mean and bootstrap 95 %\n"
        "interval over seeds) against its number of parameters and its mean training time, one row per dataset.\n"
        "Times are comparable only if every run had a machine of the same kind to itself.",
        epilog="example:\n"
        "  plot_cost.py --evaluations results/paper/model_evaluations.csv \\\n"
        "    --times results/paper/training_times.csv --out figures/paper",
    )
    parser.add_argument("--evaluations", type=Path, required=True, metavar="CSV", help="one row per run")
    parser.add_argument("--times", type=Path, required=True, metavar="CSV", help="one row per run")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the figure")
    options = parser.parse_args(arguments)
    evaluations = read_evaluations(options.evaluations)
    runs = describe(evaluations).merge(evaluations[["run_dir", "test/acc", "n_parameters"]], on="run_dir")
    times = join(runs, read_csv(options.times, TIMES, once=("run_dir",)), options.times)
    plotting.save(cost_figure(times.assign(minutes=times["seconds"] / 60)), options.out, "cost")


def cost_figure(runs: pd.DataFrame) -> Figure:
    """Return the figure of runs with their test/acc, n_parameters and minutes."""
    datasets = in_order(runs["dataset"], list(DATASETS))
    figure, axes = plotting.grid([2.6] * len(datasets), list(COSTS.values()), width=3.6, sharey=True, sharex="col")
    for dataset, line in zip(datasets, axes, strict=True):
        line[0].set_ylabel(f"{dataset}\nTest accuracy")
        for panel, cost in zip(line, COSTS, strict=True):
            _draw_panel(panel, runs[runs["dataset"] == dataset], cost)
            panel.set(xscale="log", ylim=(0, 1.03))
    embeddings = [name for name in EMBEDDINGS if name in set(runs["embedding_type"])]
    fills = [_mark("0.3", name) | {"label": f"{name} embedding"} for name in embeddings]
    plotting.legend(figure, runs, *fills * (len(embeddings) > 1), linestyle="none")
    several = runs.duplicated([*plotting.PANEL_ROWS, "dataset", "model", "settings"]).any()
    plotting.footnote(figure, "Lines: bootstrap 95 % interval over the seeds." if several else "One run per mark.")
    return figure


def _draw_panel(panel: Axes, runs: pd.DataFrame, cost: str) -> None:
    for style, configurations in plotting.lines_of_panel(runs):
        for _, rows in configurations.groupby(plotting.PANEL_ROWS, observed=True):
            embedding = rows["embedding_type"].iloc[0]
            x, y, ends = rows[cost].mean(), rows["test/acc"].mean(), interval(rows["test/acc"])
            panel.plot([x, x], ends, color=style["color"], linewidth=1)
            panel.plot([x], [y], **_mark(style["color"], embedding) | {"marker": style["marker"]})


def _mark(color: str, embedding: str) -> dict[str, Any]:
    look = {
        "color": color,
        "markeredgecolor": color,
        "markerfacecoloralt": "white",
        "fillstyle": FILLS.get(embedding, "full"),
    }
    return look | {"marker": "o", "linestyle": "none", "markersize": 7, "markeredgewidth": 1}


if __name__ == "__main__":
    run(main)
