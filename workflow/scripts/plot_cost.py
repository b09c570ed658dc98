"""Plot the test accuracy against the number of parameters and the training time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from relative_performer.cli import ArgumentParser, run
from relative_performer.data import DATASETS
from relative_performer.models.options import EMBEDDINGS
from relative_performer.results import plotting
from relative_performer.results.configurations import describe, join, of_experiment
from relative_performer.results.intervals import accuracy_interval
from relative_performer.results.read import in_order, read_csv, read_evaluations

TIMES = {"run_dir": str, "seconds": float}
MEASURED = ["test/acc", "test_images", "n_parameters"]
COSTS = {
    "n_parameters": ("Parameters", EngFormatter(sep="")),
    "minutes": ("Training time (minutes)", "{x:g}"),
}
FILLS = dict(zip(("", *EMBEDDINGS), ("full", "full", "left", "none"), strict=True))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Draw cost.pdf and cost.png: test accuracy of every configuration against its number of\n"
        "parameters and its mean training time, one row per dataset. A line is the bootstrap 95 % interval over seeds\n"
        "or, for a single seed, the Wilson 95 % interval over test images.\n"
        "Times are comparable only if every run had a machine of the same kind to itself.",
        epilog="example:\n"
        "  plot_cost.py --evaluations results/paper/model_evaluations.csv \\\n"
        "    --times results/paper/training_times.csv --out figures/paper",
    )
    parser.add_argument("--evaluations", type=Path, required=True, metavar="CSV", help="one row per run")
    parser.add_argument("--times", type=Path, required=True, metavar="CSV", help="one row per run")
    parser.add_experiment()
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the figure")
    options = parser.parse_args(arguments)
    evaluations = read_evaluations(options.evaluations)
    runs = describe(evaluations).merge(evaluations[["run_dir", *MEASURED]], on="run_dir")
    times = join(runs, read_csv(options.times, TIMES, once=("run_dir",)), options.times)
    times = of_experiment(times.assign(minutes=times["seconds"] / 60), options.experiment)
    plotting.save(cost_figure(times), options.out, "cost")


def cost_figure(runs: pd.DataFrame) -> Figure:
    """Return the figure of runs with their MEASURED columns and minutes."""
    datasets = in_order(runs["dataset"], list(DATASETS))
    figure = plotting.page(1.9 * len(datasets) + 0.5)
    axes = iter(plotting.panels(figure, 2 * len(datasets), 2, sharey=True, sharex="col"))
    for dataset in datasets:
        for cost, (label, form) in COSTS.items():
            _draw_panel(panel := next(axes), runs[runs["dataset"] == dataset], cost)
            plotting.log_scale(panel, "x", runs[cost], form)
            panel.axhline(plotting.chance(dataset), **plotting.CHANCE)
            panel.set_title(dataset)
            if dataset == datasets[-1]:
                panel.set_xlabel(label)
    plotting.accuracy_scale(panel, "y")
    figure.supylabel("Test accuracy", fontsize=plotting.THEME["axes.labelsize"])
    embeddings = [name for name in EMBEDDINGS if name in set(runs["embedding_type"])]
    fills = [_mark("0.3", name) | {"label": f"{name} embedding"} for name in embeddings]
    styles = [_mark(style["color"]) | style | {"linestyle": "none"} for style, _ in plotting.lines_of_panel(runs)]
    plotting.legend(figure, [*styles, *fills * (len(embeddings) > 1), plotting.CHANCE])
    plotting.footnote(figure, plotting.seeds_note(runs, "Lines"))
    return figure


def _draw_panel(panel: Axes, runs: pd.DataFrame, cost: str) -> None:
    for style, configurations in plotting.lines_of_panel(runs):
        for _, rows in configurations.groupby(plotting.PANEL, observed=True):
            embedding = rows["embedding_type"].iloc[0]
            x, y = rows[cost].mean(), rows["test/acc"].mean()
            ends = accuracy_interval(rows["test/acc"], rows["test_images"].iloc[0])
            panel.plot([x, x], ends, color=style["color"], linewidth=1)
            panel.plot([x], [y], **_mark(style["color"], embedding) | {"marker": style["marker"]})


def _mark(color: str, embedding: str = "") -> dict[str, Any]:
    look = {
        "color": color,
        "markeredgecolor": color,
        "markerfacecoloralt": "white",
        "fillstyle": FILLS.get(embedding, "full"),
    }
    return look | {"marker": "o", "linestyle": "none", "markersize": 5, "markeredgewidth": 0.8}


if __name__ == "__main__":
    run(main)
