"""Plot how far trained models are from translational equivariance, by cause and by number of random features."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from relative_performer.cli import ArgumentParser, run
from relative_performer.models import MODELS
from relative_performer.results import plotting
from relative_performer.results.read import read_csv

CHANGES = {"variant": str, "multiple": int, "shift": int, "consistency": float, "change_mean": float}
LOOKS: dict[str, dict[str, Any]] = {
    "as trained": {"color": "#0072B2", "linestyle": "-", "marker": "o"},
    "stabiliser per image": {"color": "#E69F00", "linestyle": "--", "marker": "s"},
    "class token nowhere": {"color": "#009E73", "linestyle": "-.", "marker": "^"},
    "exact softmax": {"color": "#D55E00", "linestyle": (0, (3, 1, 1, 1)), "marker": "D"},
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Draw NAME.pdf and NAME.png: for every model the mean change of the logits under shifts, for each\n"
        "variant of the model (left) and against the number of newly drawn random features (right).",
        epilog="example:\n"
        "  plot_equivariance.py RelativePerformer=results/paper/equivariance/RelativePerformer_MNIST.csv \\\n"
        "    --name equivariance_MNIST --out figures/paper",
    )
    parser.add_argument("csvs", nargs="+", type=model_path, metavar="MODEL=CSV", help="output of equivariance.py")
    parser.add_argument("--name", required=True, help="name of the figure")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the figure")
    options = parser.parse_args(arguments)
    changes = {model: read_csv(path, CHANGES) for model, path in options.csvs}
    plotting.save(equivariance_figure(changes), options.out, options.name)


def model_path(text: str) -> tuple[str, Path]:
    """Argparse type: MODEL=CSV."""
    model, _, path = text.partition("=")
    if model not in MODELS or not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not MODEL=CSV; models: {', '.join(MODELS)}")
    return model, Path(path)


def equivariance_figure(changes: Mapping[str, pd.DataFrame]) -> Figure:
    """Return the figure of the changes by model."""
    titles = ["Shift (pixels)", "Random features (times the published number)"]
    figure, axes = plotting.grid([2.6] * len(changes), titles, width=4, sharey=True, sharex="col")
    for (model, rows), (left, right) in zip(changes.items(), axes, strict=True):
        left.set_ylabel(f"{plotting.look(model)['label']}\nChange of the logits")
        left.set_yscale("log")
        _draw_shifts(left, rows)
        _draw_features(right, rows)
    shown = [name for name in LOOKS if any(name in set(rows["variant"]) for rows in changes.values())]
    redrawn = {"label": "redrawn features, three draws", "color": "#882255", "linestyle": "none", "marker": "*"}
    plotting.legend_of(figure, [*(LOOKS[name] | {"label": name} for name in shown), redrawn])
    plotting.footnote(figure, "Mean over images, in units of the spread of the logits. Right: the largest shifts.")
    return figure


def _draw_shifts(panel: Axes, rows: pd.DataFrame) -> None:
    for name, look in LOOKS.items():
        line = rows[(rows["variant"] == name) & (rows["shift"] != 0)]
        panel.plot(line["shift"], line["change_mean"], **look)


def _draw_features(panel: Axes, rows: pd.DataFrame) -> None:
    redrawn = rows[rows["variant"] == "redrawn"]
    draws = redrawn.groupby(["multiple", "draw"])["change_mean"].mean().reset_index()
    panel.plot(draws["multiple"], draws["change_mean"], color="#882255", linestyle="none", marker="*", markersize=8)
    panel.set_xscale("log", base=2)
    panel.set_xticks(sorted(draws["multiple"].unique()), sorted(draws["multiple"].unique()))
    exact = rows[(rows["variant"] == "exact softmax") & (rows["shift"].abs() == rows["shift"].max())]
    if len(exact):
        panel.axhline(exact["change_mean"].mean(), **LOOKS["exact softmax"] | {"marker": ""})


if __name__ == "__main__":
    run(main)
