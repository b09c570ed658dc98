"""Plot the attention over relative positions that a run has learnt, one map per layer and head."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from relative_performer.cli import ArgumentParser, run
from relative_performer.errors import UserError
from relative_performer.results import plotting
from relative_performer.results.read import read_csv

MAPS = {"run_dir": str, "layer": int, "head": int, "row": int, "column": int, "weight": float}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Draw NAME.pdf and NAME.png: for every layer (rows) and head (columns) the attention to a pixel\n"
        "by its position relative to the query's pixel (centre), divided by an equal share.",
        epilog="example:\n  plot_attention.py attention.csv --name attention_MNIST --out figures/paper",
    )
    parser.add_argument("maps", type=Path, metavar="MAPS.csv", help="output of relative_attention.py")
    parser.add_argument("--name", required=True, metavar="NAME", help="name of the figure's files")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the figure")
    options = parser.parse_args(arguments)
    maps = read_csv(options.maps, MAPS, once=("layer", "head", "row", "column"))
    if not np.isfinite(maps["weight"]).all():
        raise UserError(f"{options.maps}: the column weight holds a value that is not a finite number")
    plotting.save(attention_figure(maps), options.out, options.name)


def attention_figure(maps: pd.DataFrame) -> Figure:
    """Return the figure of the maps of one run, on one grey scale: logarithmic if all weights are above 0."""
    layers, heads = sorted(maps["layer"].unique()), sorted(maps["head"].unique())
    side = min(1.1, (plotting.WIDTH - 1.2) / len(heads))
    figure = plotting.page(side * len(layers) + 0.7, side * len(heads) + 1.2)
    axes = figure.subplots(len(layers), len(heads), squeeze=False)
    low, high = _limits(maps["weight"])
    scale = LogNorm(low, high) if low > 0 else Normalize(low, high)
    edge = maps["row"].max() + 0.5
    for layer, line in zip(layers, axes, strict=True):
        for head, panel in zip(heads, line, strict=True):
            chosen = maps[(maps["layer"] == layer) & (maps["head"] == head)]
            grid = chosen.pivot(index="row", columns="column", values="weight").to_numpy()
            image = panel.imshow(grid, cmap="gray_r", norm=scale, extent=(-edge, edge, edge, -edge))
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set_visible(False)
            if layer == layers[0]:
                panel.set_title(f"head {head + 1}")
            if head == heads[0]:
                panel.set_ylabel(f"layer {layer + 1}")
    bar = figure.colorbar(image, ax=axes, label="attention / equal share", shrink=0.8)
    ticks = sorted({low, 1, high})
    bar.set_ticks(ticks, labels=[f"{tick:.3g}".replace("-", "−") for tick in ticks])
    bar.minorticks_off()
    plotting.footnote(figure, f"{edge - 0.5:.0f} pixels on every side")
    return figure


def _limits(weights: pd.Series) -> tuple[float, float]:
    if weights.min() > 0:
        reach = max(weights.max(), 1 / weights.min(), 1.01)
        return 1 / reach, reach
    reach = max(weights.abs().max(), 1.01)
    return -reach, reach


if __name__ == "__main__":
    run(main)
