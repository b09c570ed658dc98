"""Plot the test accuracy of every configuration, one panel per dataset."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from relative_performer.cli import ArgumentParser, run
from relative_performer.data import DATASETS
from relative_performer.results import plotting
from relative_performer.results.configurations import describe, of_experiment
from relative_performer.results.intervals import accuracy_interval
from relative_performer.results.read import in_order, read_evaluations

LINE = 0.165  # inches


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Draw accuracy.pdf and accuracy.png: test accuracy of every model, embedding and varied option,\n"
        "with one panel per dataset. A line is the bootstrap 95 % interval over seeds or, for a single seed, the\n"
        "Wilson 95 % interval over test images.",
        epilog="example:\n  plot_accuracy.py results/paper/model_evaluations.csv --out figures/paper",
    )
    parser.add_argument("evaluations", type=Path, metavar="EVALUATIONS.csv", help="one row per run")
    parser.add_experiment()
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the figure")
    options = parser.parse_args(arguments)
    evaluations = read_evaluations(options.evaluations)
    runs = describe(evaluations).merge(evaluations[["run_dir", "test/acc", "test_images"]], on="run_dir")
    plotting.save(accuracy_figure(of_experiment(runs, options.experiment)), options.out, "accuracy")


def accuracy_figure(runs: pd.DataFrame) -> Figure:
    """Return the figure of runs with their test/acc and test_images: a bar per configuration and dataset."""
    runs = runs.assign(place=_places(runs)).sort_values(["experiment", "model", "variant", "embedding_type"])
    lines = _lines(runs)
    datasets = in_order(runs["dataset"], list(DATASETS))
    figure = plotting.page(LINE * len(lines) + 0.8)
    panels = plotting.panels(figure, len(datasets), len(datasets), sharey=True)
    for panel, dataset in zip(panels, datasets, strict=True):
        _draw_panel(panel, runs[runs["dataset"] == dataset], lines)
        panel.set_title(dataset)
        panel.axvline(plotting.chance(dataset), **plotting.CHANCE)
    panels[0].set_yticks(range(len(lines)), [place or experiment for experiment, place in lines])
    for label, (_, place) in zip(panels[0].get_yticklabels(), lines, strict=True):
        label.set_fontweight("normal" if place else "bold")
    plotting.footnote(figure, f"{plotting.seeds_note(runs, 'Lines')} Thin vertical line: chance.")
    return figure


def _places(runs: pd.DataFrame) -> pd.Series:
    several = runs["embedding_type"].nunique() > 1
    embeddings = [f", {name}" if several and name else "" for name in runs["embedding_type"]]
    labels = [
        plotting.look(model, settings)["label"] for model, settings in zip(runs["model"], runs["settings"], strict=True)
    ]
    return pd.Series([label + embedding for label, embedding in zip(labels, embeddings, strict=True)], runs.index)


def _lines(runs: pd.DataFrame) -> list[tuple[str, str]]:
    """Return (experiment, place) for every line, from the top. Several experiments have headings, without a place."""
    lines = []
    for experiment, part in runs.groupby("experiment", observed=True):
        lines += [(str(experiment), "")] * (runs["experiment"].nunique() > 1)
        lines += [(str(experiment), place) for place in part["place"].unique()]
    return lines


def _draw_panel(panel: Axes, part: pd.DataFrame, lines: Sequence[tuple[str, str]]) -> None:
    for style, runs in plotting.lines_of_panel(part):
        for place, seeds in runs.groupby(["experiment", "place"], observed=True):
            _draw_bar(panel, lines.index(place), seeds, style["color"])
    panel.grid(visible=False, axis="y")
    plotting.accuracy_scale(panel, "x")
    panel.set(xlim=(0, 1), ylim=(len(lines) - 0.4, -0.6), xlabel="Test accuracy")


def _draw_bar(panel: Axes, y: int, seeds: pd.DataFrame, color: str) -> None:
    mean = seeds["test/acc"].mean()
    low, high = accuracy_interval(seeds["test/acc"], seeds["test_images"].iloc[0])
    panel.barh(y, mean, height=0.66, color=color, linewidth=0)
    for color, width in (("white", 2.6), ("black", 1.1)):  # an outline, to be seen on a black bar too
        panel.plot((low, high), (y, y), color=color, linewidth=width, solid_capstyle="butt", clip_on=False)
    panel.annotate(f"{mean:.3f}", (1, y), (4, 0), textcoords="offset points", va="center", fontsize=7)


if __name__ == "__main__":
    run(main)
