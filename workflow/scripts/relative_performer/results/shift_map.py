"""The figure of accuracy or loss over shifts along rows and columns at once: a map per configuration."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from relative_performer.results import plotting
from relative_performer.results.shift_results import LEAST_LOSS

SIDE = 1.35  # inches


def shift_map_figure(results: pd.DataFrame, metric: str, circular: bool = False) -> Figure:
    """Return the maps of the accuracy or loss (`metric`) of shift results along both axes, joined with their runs.

    A map is the mean over the runs of a configuration on a dataset. All maps have one scale of colours, which is
    logarithmic for the loss.
    """
    maps = mean_maps(results, metric)
    columns = plotting.columns_of(maps)
    row = SIDE + 0.13 * (2 + max(title.count("\n") for title in maps))
    figure = plotting.page(row * -(-len(maps) // columns) + 0.6, columns * SIDE + 0.9)
    panels = plotting.panels(figure, len(maps), columns, sharey=True)
    values = np.concatenate([values.ravel() for values in maps.values()])
    lowest = max(values.min(), LEAST_LOSS)
    norm = Normalize(0, 1) if metric == "accuracy" else LogNorm(lowest, max(values.max(), 1.01 * lowest))
    for panel, (title, values) in zip(panels, maps.items(), strict=True):
        image = draw_map(panel, values, norm)
        panel.set_title(title, fontsize=7)
    figure.colorbar(image, ax=panels, label=metric.capitalize(), shrink=0.8, aspect=30, pad=0.03)
    kind = "circular shift" if circular else "shift"
    size = plotting.THEME["axes.labelsize"]
    figure.supylabel(f"Row {kind}", fontsize=size)
    figure.supxlabel(f"Column {kind} (pixels; negative: upwards or to the left)", fontsize=size)
    return figure


def mean_maps(results: pd.DataFrame, metric: str) -> dict[str, np.ndarray]:
    """Return the mean over runs for every configuration and dataset, by title: an array (row shifts, column shifts)."""
    # baselines have no embedding
    named = ["dataset", *(name for name in ("experiment", "embedding_type") if len({*results[name]} - {""}) > 1)]
    maps = {}
    for _, rows in results.groupby([*plotting.PANEL, "model", "variant"], observed=True):
        first = rows.iloc[0]
        label = plotting.look(first["model"], first["settings"])["label"].replace(", ", "\n")
        where = ", ".join(first[name] for name in named if first[name])
        values = rows.pivot_table(index="row_shift", columns="shift", values=f"{metric}_mean")
        maps["\n".join(filter(None, (where, label)))] = values.to_numpy()
    return maps


def draw_map(panel: Axes, values: np.ndarray, norm: Normalize) -> AxesImage:
    """Draw the map of one configuration (row, column shifts), and return its image."""
    edges = [length / 2 for length in values.shape]
    image = panel.imshow(values, cmap="cividis", norm=norm, extent=(-edges[1], edges[1], edges[0], -edges[0]))
    largest = int(edges[1])
    panel.set(xticks=[-largest, 0, largest], yticks=[-largest, 0, largest])
    panel.grid(False)
    return image
