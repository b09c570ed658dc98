"""Plot the learning curves: accuracy over epochs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from relative_performer.cli import ArgumentParser, run
from relative_performer.results import plotting
from relative_performer.results.configurations import describe, join
from relative_performer.results.intervals import high, low
from relative_performer.results.read import read_csv, read_evaluations

CROSS: dict[str, Any] = {"marker": "x", "markersize": 6, "markeredgewidth": 1.2, "markeredgecolor": "black"}
CURVES = {"run_dir": str, "epoch": int, "train/acc": float, "val/acc": float}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Draw learning_curves.pdf and learning_curves.png: accuracy on the validation split (solid) and\n"
        "the training split (dashed) over epochs, with one panel per dataset and embedding and one line per model.\n"
        "With several seeds the lines are means, and a band is the bootstrap 95 % interval of validation accuracy.\n"
        "An outlined marker is the best validation epoch of a run. A cross is the end of a run by early stopping.",
        epilog="example:\n"
        "  plot_curves.py --evaluations results/paper/model_evaluations.csv \\\n"
        "    --curves results/paper/learning_curves.csv --out figures/paper",
    )
    parser.add_argument("--evaluations", type=Path, required=True, metavar="CSV", help="one row per run")
    parser.add_argument("--curves", type=Path, required=True, metavar="CSV", help="one row per run and epoch")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the figure")
    options = parser.parse_args(arguments)
    evaluations = read_evaluations(options.evaluations)
    runs = describe(evaluations)
    runs = runs.merge(evaluations[["run_dir", "patience"]], on="run_dir")
    curves = join(runs, read_csv(options.curves, CURVES, once=("run_dir", "epoch")), options.curves)
    plotting.save(curves_figure(curves), options.out, "learning_curves")


def curves_figure(curves: pd.DataFrame) -> Figure:
    """Return the figure of learning curves, joined with their runs: one row per run and epoch."""
    figure = plotting.panels(curves, 2.4, _draw_panel)
    plotting.legend(figure, curves, linestyle="-")
    several = curves.duplicated([*plotting.PANEL_ROWS, "dataset", "model", "settings", "epoch"]).any()
    mean = ", mean over the seeds that reached the epoch" if several else ""
    bands = " Bands: bootstrap 95 % interval of the validation over these seeds." if several else ""
    plotting.footnote(
        figure,
        f"Solid: validation; dashed: training{mean}.\n"
        f"Outlined: best validation epoch of a run; ×: end of a run by early stopping.{bands}",
    )
    return figure


def _draw_panel(panel: Axes, curves: pd.DataFrame) -> None:
    step = max(1, curves["epoch"].nunique() // 6)
    for number, (style, rows) in enumerate(plotting.lines_of_panel(curves)):
        mean = rows.groupby("epoch")[["train/acc", "val/acc"]].mean()
        band = rows.groupby("epoch")["val/acc"].agg([low, high])
        best, stopped = best_epochs(rows), early_stops(rows)
        apart = (number * step // 4, step)  # staggered, so that the markers of coinciding lines differ
        panel.plot(mean.index + 1, mean["train/acc"], color=style["color"], linestyle="--", linewidth=0.7)
        panel.plot(mean.index + 1, mean["val/acc"], **style | {"linestyle": "-"}, linewidth=1.2, markevery=apart)
        panel.fill_between(band.index + 1, band["low"], band["high"], color=style["color"], alpha=0.15, linewidth=0)
        outlined = {"marker": style["marker"], "markersize": 6.5, "markeredgecolor": "black", "markeredgewidth": 0.8}
        for rows_of, marks in ((best, outlined), (stopped, CROSS)):
            if len(rows_of):  # the layout fails on an empty line that is not clipped
                place = rows_of["epoch"] + 1, rows_of["val/acc"]
                panel.plot(*place, color=style["color"], linestyle="none", clip_on=False, **marks)
    panel.set(xlim=(0.5, curves["epoch"].max() + 1.5), ylim=(0, 1.03), xlabel="Epoch")
    panel.xaxis.set_major_locator(MaxNLocator(7, integer=True, steps=[1, 2, 5, 10]))


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
