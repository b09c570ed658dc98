"""The one visual style of all figures: how a model looks and is called, the grid of panels, legend and saving."""

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

from relative_performer.cli import UserError
from relative_performer.files import write_atomically
from relative_performer.frames import in_order, settings_of, varied_options
from relative_performer.names import DATASETS

# The colours of Okabe and Ito stay apart for the colour-blind; line and marker say the same in black and white.
LOOKS: dict[str, dict[str, Any]] = {
    "Performer": {"label": "Performer (Abs.)", "color": "#0072B2", "linestyle": "-", "marker": "o"},
    "NoposPerformer": {"label": "Performer (No pos.)", "color": "#555555", "linestyle": ":", "marker": "X"},
    "RelativePerformer": {"label": "Performer (Rel. S1)", "color": "#D55E00", "linestyle": "--", "marker": "s"},
    "ClippedRelativePerformer": {"label": "Performer (Rel. S2)", "color": "#009E73", "linestyle": "-.", "marker": "^"},
    "AlexNet": {"label": "AlexNet", "color": "#E69F00", "linestyle": (0, (4, 1, 1, 1, 1, 1)), "marker": ">"},
    "VGG16": {"label": "VGG16", "color": "#000000", "linestyle": (0, (10, 2)), "marker": "p"},
    "ResNet18": {"label": "ResNet18", "color": "#56B4E9", "linestyle": (0, (1, 3)), "marker": "d"},
    "LinformerViT": {"label": "ViT (Linformer)", "color": "#882255", "linestyle": (0, (6, 1, 2, 1)), "marker": "*"},
}
OTHER: dict[str, Any] = {"color": "#CC79A7", "linestyle": (0, (5, 1)), "marker": "v"}
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
    """Return label, color, linestyle and marker of a model; its further variants are darker, other in line and mark."""
    chosen = {"label": model, **OTHER, **LOOKS.get(model, {})}
    chosen["label"] += settings
    if variant:
        red, green, blue = (part * 0.75**variant for part in to_rgb(chosen["color"]))
        chosen["color"] = to_hex((red, green, blue))
        chosen["linestyle"], chosen["marker"] = VARIANTS[(variant - 1) % len(VARIANTS)]
    return chosen


def describe(evaluations: pd.DataFrame) -> pd.DataFrame:
    """Return run_dir, experiment, model, dataset, embedding_type, settings and variant of every run, in order.

    settings: the options that vary within the experiment as ", option value" (empty where none does);
    variant: 0, 1, ... among the settings of one model. Runs that differ in their seed alone share all but run_dir.
    """
    parts = [_settings(part) for _, part in evaluations.groupby("experiment", observed=True)]
    runs = pd.concat(parts).sort_values(["experiment", "embedding_type", "model", "dataset"], kind="stable")
    return runs.assign(variant=runs.groupby("model", observed=True)["settings"].transform(_numbers).astype(int))


def _numbers(settings: pd.Series) -> pd.Series:
    order = sorted(dict.fromkeys(settings), key=bool)  # runs without settings first: they have the plain look
    return settings.map(order.index)


def _settings(experiment: pd.DataFrame) -> pd.DataFrame:
    options = varied_options(experiment)
    runs = experiment.sort_values(options) if options else experiment
    columns = ["run_dir", "experiment", "model", "dataset", "embedding_type"]
    return runs[columns].assign(settings=settings_of(runs, options))


def join(runs: pd.DataFrame, results: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return the rows of `results`, read from `path`, with what `describe` says of their runs.

    Raises UserError if a run is unknown.
    """
    unknown = sorted(set(results["run_dir"]) - set(runs["run_dir"]))
    if unknown:
        raise UserError(f"{path}: run {unknown[0]} is not among the evaluations: evaluate it too")
    return runs.merge(results, on="run_dir")


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

    results: rows joined with what `describe` says of their runs; `draw` gets those of its panel, at least one.
    label: what the vertical axes show.
    """
    datasets = in_order(results["dataset"], DATASETS)
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

    more: looks of further lines, label included.
    """
    legend_of(figure, [*(style | override for style, _ in lines_of_panel(runs)), *more])


def legend_of(figure: Figure, styles: Sequence[dict[str, Any]]) -> None:
    """Put a legend of these looks, label included, above the panels, which keep their size."""
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
