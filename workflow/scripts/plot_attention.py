"""Plot the attention over relative positions that a run has learnt, one map per layer and head."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.colors import LogNorm
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
    if not maps["weight"].between(0, float("inf"), inclusive="neither").all():
        raise UserError(f"{options.maps}: the column weight holds a value that is not a number above 0")
    plotting.save(attention_figure(maps), options.out, options.name)


def attention_figure(maps: pd.DataFrame) -> Figure:
    """Return the figure of the maps of one run, on one logarithmic grey scale."""
    layers, heads = sorted(maps["layer"].unique()), sorted(maps["head"].unique())
    sns.set_theme(style="white", rc=plotting.THEME)
    size = (1.1 * len(heads) + 1.4, 1.1 * len(layers) + 0.9)
    figure, axes = plt.subplots(len(layers), len(heads), figsize=size, squeeze=False, layout="constrained")
    reach = max(maps["weight"].max(), 1 / maps["weight"].min(), 1.01)
    edge = maps["row"].max() + 0.5
    for layer, line in zip(layers, axes, strict=True):
        for head, panel in zip(heads, line, strict=True):
            chosen = maps[(maps["layer"] == layer) & (maps["head"] == head)]
            grid = chosen.pivot(index="row", columns="column", values="weight").to_numpy()
            image = panel.imshow(grid, cmap="gray_r", norm=LogNorm(1 / reach, reach), extent=(-edge, edge, edge, -edge))
            panel.set(xticks=[], yticks=[])
            if layer == layers[0]:
                panel.set_title(f"head {head + 1}")
            if head == heads[0]:
                panel.set_ylabel(f"layer {layer + 1}")
    bar = figure.colorbar(image, ax=axes, label="attention / equal share", shrink=0.8)
    bar.set_ticks([1 / reach, 1, reach], labels=[f"{tick:.3g}" for tick in (1 / reach, 1, reach)])
    bar.minorticks_off()
    plotting.footnote(figure, f"{edge - 0.5:.0f} pixels on every side")
    return figure


if __name__ == "__main__":
    run(main)
