"""Plot the learning curves: accuracy over epochs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from relative_performer.cli import ArgumentParser, run
from relative_performer.results import plotting
from relative_performer.results.configurations import describe, join, of_experiment
from relative_performer.results.intervals import high, interval, low
from relative_performer.results.read import read_csv, read_evaluations

CROSS: dict[str, Any] = {"marker": "x", "markersize": 4.5, "markeredgewidth": 1, "markeredgecolor": "black"}
CURVES = {"run_dir": str, "epoch": int, "train/acc": float, "val/acc": float}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Draw learning_curves.pdf and learning_curves.png: accuracy on the validation split (solid) and\n"
        "the training split (dashed) over epochs, with one panel per experiment, dataset and embedding, and one line\n"
        "per model. With several seeds the lines are means, and a band is the bootstrap 95 % interval of validation\n"
        "accuracy. An outlined marker is the best validation epoch of a run. A cross is the end of a run by early\n"
        "stopping. Where no run has more than one epoch, marks with their values stand side by side.",
        epilog="example:\n"
        "  plot_curves.py --evaluations results/paper/model_evaluations.csv \\\n"
        "    --curves results/paper/learning_curves.csv --out figures/paper",
    )
    parser.add_argument("--evaluations", type=Path, required=True, metavar="CSV", help="one row per run")
    parser.add_argument("--curves", type=Path, required=True, metavar="CSV", help="one row per run and epoch")
    parser.add_experiment()
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the figure")
    options = parser.parse_args(arguments)
    evaluations = read_evaluations(options.evaluations)
    runs = describe(evaluations)
    runs = runs.merge(evaluations[["run_dir", "patience"]], on="run_dir")
    curves = join(runs, read_csv(options.curves, CURVES, once=("run_dir", "epoch")), options.curves)
    plotting.save(curves_figure(of_experiment(curves, options.experiment)), options.out, "learning_curves")


def curves_figure(curves: pd.DataFrame) -> Figure:
    """Return the figure of learning curves, joined with their runs: one row per run and epoch."""
    figure = plotting.comparison(curves, _draw_panel, "Epoch", "Accuracy")
    plotting.accuracy_scale(figure.axes[0], "y")
    styles = [style | {"linestyle": "-"} for style, _ in plotting.lines_of_panel(curves)]
    plotting.legend(figure, [*styles, plotting.CHANCE])
    epochs = curves.groupby(plotting.PANEL, observed=True)["epoch"].nunique()
    lines = "Lines: validation; dashed lines: training. " * bool((epochs > 1).any())
    points = "Marks with values: validation; bars: training." * bool((epochs == 1).any())
    marks = "Outlined: best epoch of a run; ×: early stopping."
    plotting.footnote(figure, f"{plotting.seeds_note(curves, 'Intervals', 'none')} {marks}\n{lines}{points}")
    return figure


def _draw_panel(panel: Axes, curves: pd.DataFrame) -> None:
    (_draw_lines if curves["epoch"].nunique() > 1 else _draw_points)(panel, curves)
    panel.axhline(plotting.chance(curves["dataset"].iloc[0]), **plotting.CHANCE)


def _draw_lines(panel: Axes, curves: pd.DataFrame) -> None:
    step = max(1, curves["epoch"].nunique() // 6)
    for number, (style, rows) in enumerate(plotting.lines_of_panel(curves)):
        mean = rows.groupby("epoch")[["train/acc", "val/acc"]].mean()
        band = rows.groupby("epoch")["val/acc"].agg([low, high])
        apart = (number * step // 4 % step, step)  # staggered, so that the markers of coinciding lines differ
        panel.plot(mean.index + 1, mean["train/acc"], color=style["color"], linestyle="--", linewidth=0.7)
        panel.plot(mean.index + 1, mean["val/acc"], **style | {"linestyle": "-"}, markevery=apart)
        panel.fill_between(band.index + 1, band["low"], band["high"], color=style["color"], alpha=0.15, linewidth=0)
        if len(mean) == 1:
            _write(panel, 1, mean["val/acc"].iloc[0], band.iloc[0])
        for rows_of, marks in ((best_epochs(rows), _outlined(style)), (early_stops(rows), CROSS)):
            if len(rows_of):  # the layout fails on an empty line that is not clipped
                place = rows_of["epoch"] + 1, rows_of["val/acc"]
                panel.plot(*place, color=style["color"], linestyle="none", clip_on=False, **marks)
    panel.set_xlim(0.5, curves["epoch"].max() + 1.5)
    panel.xaxis.set_major_locator(MaxNLocator(7, integer=True, steps=[1, 2, 5, 10]))


def _draw_points(panel: Axes, curves: pd.DataFrame) -> None:
    """Draw the accuracies of runs of one epoch side by side, each mean with its value."""
    lines = plotting.lines_of_panel(curves)
    for x, (style, rows) in enumerate(lines):
        training, mean = rows["train/acc"].mean(), rows["val/acc"].mean()
        panel.plot([x, x], ends := interval(rows["val/acc"]), color=style["color"], linewidth=1)
        panel.plot([x - 0.25, x + 0.25], [training, training], color=style["color"], linewidth=1)
        panel.plot([x], [mean], color=style["color"], **_outlined(style))
        _write(panel, x, mean, ends, above=not training > mean)
    panel.set_xlim(-0.6, len(lines) - 0.4)
    panel.set_xticks([(len(lines) - 1) / 2], [f"{curves['epoch'].max() + 1}"])
    panel.grid(visible=False, axis="x")


def _outlined(style: Mapping[str, Any]) -> dict[str, Any]:
    return {"marker": style["marker"], "markersize": 4.8, "markeredgecolor": "black", "markeredgewidth": 0.6}


def _write(panel: Axes, x: float, accuracy: float, ends: Sequence[float] | pd.Series, above: bool = True) -> None:
    """Write the accuracy above or below its mark and its interval, which may be NaN."""
    place = np.nanmax([accuracy, *ends]) if above else np.nanmin([accuracy, *ends])
    offset, align = (4, "bottom") if above else (-4, "top")
    text = f"{accuracy:.2f}"
    panel.annotate(text, (x, place), (0, offset), textcoords="offset points", ha="center", va=align, fontsize=7)


def best_epochs(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the row of the first epoch with the highest val/acc of every run."""
    known = curves.dropna(subset="val/acc")
    return known.loc[known.groupby("run_dir")["val/acc"].idxmax()]


def early_stops(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the last row of every run that early stopping ended. A patience of 0 means no early stopping."""
    last = curves.loc[curves.groupby("run_dir")["epoch"].idxmax()].set_index("run_dir")
    waited = last["epoch"] - best_epochs(curves).set_index("run_dir")["epoch"]
    patience = last["patience"].astype(float)
    return last[(patience > 0) & (waited >= patience)].reset_index()


if __name__ == "__main__":
    run(main)
