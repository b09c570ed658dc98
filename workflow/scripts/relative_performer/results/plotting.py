"""The visual style of all figures: the look of a model, the grid of panels, the legend, saving."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from relative_performer.data import DATASETS
from relative_performer.files import write_atomically
from relative_performer.models import MODELS
from relative_performer.models.declaration import Model
from relative_performer.results.read import in_order

VARIANTS = (((0, (5, 1)), "D"), ((0, (3, 1, 1, 1)), "v"), ((0, (1, 1)), "P"), ((0, (8, 2)), "<"), ((0, (2, 2)), "*"))
PANEL_ROWS = ["experiment", "embedding_type"]
THEME = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 9,
    "axes.linewidth": 0.8,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.5,
    "lines.markersize": 5,
    "lines.markeredgecolor": "white",
    "lines.markeredgewidth": 0.5,
    "pdf.fonttype": 42,
}


def look(model: str, settings: str = "", variant: int = 0) -> dict[str, Any]:
    """Return label, color, linestyle and marker of a model. Variants 1, 2, … are darker and have other markers."""
    declared = MODELS.get(model) or Model(package="", name=model, network="")  # the model may no longer exist
    chosen: dict[str, Any] = {"label": declared.title + settings}
    chosen |= {name: getattr(declared, name) for name in ("color", "linestyle", "marker")}
    if variant:
        red, green, blue = (part * 0.75**variant for part in to_rgb(chosen["color"]))
        chosen["color"] = to_hex((red, green, blue))
        chosen["linestyle"], chosen["marker"] = VARIANTS[(variant - 1) % len(VARIANTS)]
    return chosen


def rows_of_panels(runs: pd.DataFrame, by: Sequence[str]) -> list[tuple[str, pd.DataFrame]]:
    """Return title and runs of every row of panels; the title names what differs between the rows, if anything."""
    named = [column for column in by if runs[column].nunique() > 1]
    rows = []
    for _, part in runs.groupby(list(by), observed=True):
        first = part.iloc[0]
        rows.append(("\n".join(filter(None, (_title(column, first[column]) for column in named))), part))
    return rows


def _title(column: str, value: str) -> str:
    return f"{value} embedding" if column == "embedding_type" and value else value  # baselines have no embedding


def lines_of_panel(part: pd.DataFrame) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """Return look and rows of every configuration, in order of models and settings."""
    lines = []
    for _, rows in part.groupby(["model", "variant"], observed=True):
        first = rows.iloc[0]
        lines.append((look(first["model"], first["settings"], first["variant"]), rows))
    return lines


def grid(heights: Sequence[float], titles: Sequence[str], width: float, **options: Any) -> tuple[Figure, np.ndarray]:
    """Return a figure and its axes (rows, titles), a column of panels under each title; sizes of panels in inches."""
    sns.set_theme(style="whitegrid", rc=THEME)
    size = (width * len(titles) + 0.8, sum(heights) + 0.6)
    ratios = {"height_ratios": heights}
    shape = (len(heights), len(titles))
    figure, axes = plt.subplots(
        *shape, figsize=size, squeeze=False, layout=ConstrainedLayoutEngine(h_pad=0.05), gridspec_kw=ratios, **options
    )
    for line in axes:
        for panel, title in zip(line, titles, strict=True):
            panel.set_title(title)
    return figure, axes


def panels(
    results: pd.DataFrame, height: float, draw: Callable[[Axes, pd.DataFrame], None], label: str = "Accuracy"
) -> Figure:
    """Return a figure: rows by experiment and embedding, columns by dataset, `draw` drawing each panel.

    results: rows joined with the table of `describe`; `draw` gets the rows of its panel, at least one.
    label: label of the vertical axes.
    """
    datasets = in_order(results["dataset"], list(DATASETS))
    rows = rows_of_panels(results, PANEL_ROWS)
    figure, axes = grid([height] * len(rows), datasets, width=3.6, sharey=True)
    for (title, part), line in zip(rows, axes, strict=True):
        line[0].set_ylabel(f"{title}\n{label}".strip())
        for panel, dataset in zip(line, datasets, strict=True):
            chosen = part[part["dataset"] == dataset]
            if len(chosen):
                draw(panel, chosen)
            else:
                panel.annotate("no runs", (0.5, 0.5), xycoords="axes fraction", ha="center", color="0.4")
                panel.xaxis.set_visible(False)
    return figure


def legend(figure: Figure, runs: pd.DataFrame, *more: dict[str, Any], **override: Any) -> None:
    """Put one legend of all configurations above the panels; `override` changes looks.

    more: looks of additional lines, including the label.
    """
    legend_of(figure, [*(style | override for style, _ in lines_of_panel(runs)), *more])


def legend_of(figure: Figure, styles: Sequence[dict[str, Any]]) -> None:
    """Put a legend of these looks, which include the label, above the panels, which keep their size."""
    inches = 0.65 + 0.065 * max(len(style["label"]) for style in styles)
    columns = max(1, min(4, int(figure.get_figwidth() / inches)))
    handles = [Line2D([], [], **style) for style in styles]
    figure.set_figheight(figure.get_figheight() + 0.2 * -(-len(handles) // columns))
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, frameon=False, handlelength=2.8)


def footnote(figure: Figure, text: str) -> None:
    """Put a small line of text below the panels."""
    figure.supxlabel(text, fontsize=8, color="0.3")


def save(figure: Figure, out_dir: Path, name: str) -> None:
    """Write DIR/NAME.pdf and DIR/NAME.png (200 dpi) and close the figure; equal figures give equal bytes."""
    stamps = {"pdf": {"CreationDate": None, "Creator": None, "Producer": None}, "png": {"Software": None}}
    for suffix, metadata in stamps.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format=suffix, dpi=200, metadata=metadata)
        write_atomically(out_dir / f"{name}.{suffix}", buffer.getvalue())
    plt.close(figure)
