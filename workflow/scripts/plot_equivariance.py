"""Plot how far models are from translational equivariance, by cause and by number of random features."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import LogFormatterMathtext

from relative_performer.cli import ArgumentParser, run
from relative_performer.models import MODELS
from relative_performer.results import plotting
from relative_performer.results.read import read_csv

CHANGES = {"variant": str, "multiple": int, "shift": int, "consistency": float, "change_mean": float}
LOOKS: dict[str, dict[str, Any]] = {
    "as trained": {"color": "#0072B2", "linestyle": "-", "marker": "o"},
    "stabiliser per image": {"color": "#E69F00", "linestyle": "--", "marker": "s"},
    "class token nowhere": {"color": "#009E73", "linestyle": "-.", "marker": "^"},
    "circular shifts": {"color": "#332288", "linestyle": ":", "marker": "v"},
    "exact softmax": {"color": "#D55E00", "linestyle": (0, (3, 1, 1, 1)), "marker": "D"},
}

REDRAWN: dict[str, Any] = {"color": "#882255", "linestyle": "none", "marker": "*", "markersize": 5.5}
COLUMNS = 4
ROW = 1.45  # inches


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Draw NAME.pdf and NAME.png: for every model the mean change of the logits under shifts, for each\n"
        "variant of the model (above) and against the number of newly drawn random features (below).",
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
    """Return the figure of the changes by model: a panel over shifts, and one over random features if it has them."""
    columns = min(COLUMNS, len(changes))
    redrawn = {model: rows for model, rows in changes.items() if "redrawn" in set(rows["variant"])}
    heights = [ROW * -(-len(part) // columns) + 0.25 for part in (changes, redrawn) if part]
    figure = plotting.page(sum(heights) + 0.3)
    above, *below = plotting.stack(figure, heights)
    _draw_part(above, changes, columns, _draw_shifts, "Shift (pixels; negative: to the left)")
    for part in below:
        xlabel = "Newly drawn random features (times the published number)"
        _draw_part(part, redrawn, columns, _draw_features, xlabel)
    shown = [name for name in LOOKS if any(name in set(rows["variant"]) for rows in changes.values())]
    plotting.legend(figure, [LOOKS[name] | {"label": name} for name in shown])
    draws = "; three draws of the random features, at the largest shifts" if redrawn else ""
    plotting.footnote(figure, f"Mean over images, in units of the spread of the logits{draws}.")
    return figure


def _draw_part(
    part: SubFigure,
    changes: Mapping[str, pd.DataFrame],
    columns: int,
    draw: Callable[[Axes, pd.DataFrame], None],
    xlabel: str,
) -> None:
    """Draw a panel for every model."""
    panels = plotting.panels(part, len(changes), columns, sharey=True)
    for panel, (model, rows) in zip(panels, changes.items(), strict=True):
        draw(panel, rows)
        panel.set_title(plotting.look(model)["label"], fontsize=7.5)
    changed = pd.concat(changes.values())["change_mean"]
    plotting.log_scale(panels[0], "y", changed[changed > 0], LogFormatterMathtext())
    size = plotting.THEME["axes.labelsize"]
    part.supxlabel(xlabel, fontsize=size)
    part.supylabel("Change of the logits", fontsize=size)


def _draw_shifts(panel: Axes, rows: pd.DataFrame) -> None:
    for name, look in LOOKS.items():
        line = rows[(rows["variant"] == name) & (rows["shift"] != 0)]
        panel.plot(line["shift"], line["change_mean"], **look)


def _draw_features(panel: Axes, rows: pd.DataFrame) -> None:
    redrawn = rows[rows["variant"] == "redrawn"]
    draws = redrawn.groupby(["multiple", "draw"])["change_mean"].mean().reset_index()
    panel.plot(draws["multiple"], draws["change_mean"], **REDRAWN)
    panel.set_xscale("log", base=2)
    panel.set_xticks(sorted(draws["multiple"].unique()), sorted(draws["multiple"].unique()))
    exact = rows[rows["variant"] == "exact softmax"]
    if len(exact):
        largest = exact[exact["shift"].abs() == exact["shift"].max()]
        panel.axhline(largest["change_mean"].mean(), **LOOKS["exact softmax"] | {"marker": ""})


if __name__ == "__main__":
    run(main)
