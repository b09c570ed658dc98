"""The figure of accuracy or loss over the shift of the test images."""

from collections.abc import Mapping
from math import log
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MultipleLocator

from relative_performer.data import whole
from relative_performer.errors import UserError
from relative_performer.results import plotting
from relative_performer.results.intervals import accuracy_interval, high, low
from relative_performer.results.shift_results import LEAST_LOSS, images_of

# behind our lines, with small markers
PUBLISHED = {"linestyle": (0, (4, 2)), "linewidth": 0.8, "markersize": 2.5, "alpha": 0.6, "zorder": 1.9}
EXAMPLES = 0.7  # inches: the height of the example images with their title and ticks


def shift_figure(
    results: pd.DataFrame,
    metric: str,
    examples: Mapping[str, pd.DataFrame] | None = None,
    published: pd.DataFrame | None = None,
    axis: str = "columns",
    circular: bool = False,
) -> Figure:
    """Return the figure of the accuracy or loss (`metric`) of shift results, which are joined with their runs.

    axis: columns or rows, along which the images were shifted. circular: whether the shifts were circular.
    examples: example images by dataset, a row per pixel. published: results to compare with, as `read_shifts` returns
    them; they are of shifts along columns that are not circular, and left out otherwise. Raises UserError if examples
    are given, but not for every dataset.
    """
    if axis == "rows":
        results = results.assign(shift=results["row_shift"])
    if axis == "rows" or circular:
        published = None
    datasets = list(dict.fromkeys(results.sort_values("dataset")["dataset"]))
    if lacking := [dataset for dataset in datasets if examples is not None and dataset not in examples]:
        raise UserError(f"--examples lacks {lacking[0]}, which --shift names")
    images = {dataset: images_of(results[results["dataset"] == dataset]) for dataset in datasets}

    def draw(panel: Axes, rows: pd.DataFrame) -> None:
        dataset = rows["dataset"].iloc[0]
        _draw_lines(panel, rows, metric, images[dataset])
        for style, line in plotting.lines_of_panel(counterparts(rows, published)):
            panel.plot(line["shift"], line[f"{metric}_mean"], **style | PUBLISHED)
        guess = plotting.chance(dataset)
        panel.axhline(guess if metric == "accuracy" else -log(guess), **plotting.CHANCE)

    kind, direction = "Circular shift" if circular else "Shift", "upwards" if axis == "rows" else "to the left"
    xlabel = f"{kind} (pixels; negative: {direction})"
    figure = plotting.comparison(results, draw, xlabel, metric.capitalize(), EXAMPLES if examples else 0)
    if examples:
        _draw_examples(figure.subfigs[1], {dataset: examples[dataset] for dataset in datasets})
    _scale(figure.axes[0], results, metric)
    compared = len(counterparts(results, published)) > 0
    more = [PUBLISHED | {"label": "published", "color": "0.3", "marker": ""}] * compared + [plotting.CHANCE]
    plotting.legend(figure, [*_by_last_value(results, metric), *more])
    of_one = plotting.OVER_IMAGES if metric == "accuracy" else "none"
    plotting.footnote(figure, plotting.seeds_note(results, "Bands", of_one))
    return figure


def counterparts(results: pd.DataFrame, published: pd.DataFrame | None) -> pd.DataFrame:
    """Return the published results of the datasets and models that `results` has with the linear embedding.

    For a dataset at half its side, they are those of the whole images, with shifts in pixels of the half images.
    """
    if published is None:
        return pd.DataFrame(columns=[*results.columns])
    plain = published[published["variant"] == 0]  # one line per model
    linear = results[results["embedding_type"] == "linear"]
    parts = [plain.iloc[:0]]
    for name, ours in linear.groupby("dataset", observed=True):
        full = whole(str(name))
        theirs = plain[(plain["dataset"] == (full.name if full else name)) & plain["model"].isin(ours["model"])]
        parts.append(theirs.assign(dataset=name, shift=theirs["shift"] / (2 if full else 1)))
    return pd.concat(parts)


def _draw_lines(panel: Axes, results: pd.DataFrame, metric: str, images: float) -> None:
    for style, rows in plotting.lines_of_panel(results):
        mean = rows.groupby("shift")[f"{metric}_mean"].mean()
        panel.plot(mean.index, mean, **style)
        band = band_of(rows, metric, images)
        panel.fill_between(band.index, band["low"], band["high"], color=style["color"], alpha=0.15, linewidth=0)
    panel.margins(x=0.03)
    panel.xaxis.set_major_locator(MultipleLocator(max(1, round(results["shift"].max() / 3))))


def _scale(panel: Axes, results: pd.DataFrame, metric: str) -> None:
    if metric == "accuracy":
        plotting.accuracy_scale(panel, "y")
        return
    losses = results["loss_mean"].clip(LEAST_LOSS)
    plotting.log_scale(panel, "y", losses)
    panel.set_ylim(losses.min() / 1.5, losses.max() * 1.5)  # published losses may be much smaller


def band_of(rows: pd.DataFrame, metric: str, images: float) -> pd.DataFrame:
    """Return low and high of the metric by shift for the runs of one configuration, tested on so many images.

    They are the ends of an interval over the runs. For a single run, they are those of an interval of the accuracy over
    the test images, and NaN for the loss, which is far from symmetric over images.
    """
    values = rows.groupby("shift")[f"{metric}_mean"]
    if metric == "loss":
        return values.agg([low, high])
    ends = {shift: accuracy_interval(accuracies, images) for shift, accuracies in values}
    return pd.DataFrame.from_dict(ends, orient="index", columns=["low", "high"])


def _by_last_value(results: pd.DataFrame, metric: str) -> list[dict[str, Any]]:
    """Return the looks of all configurations, from the one that is best at the largest shifts to the worst."""
    far = results[results["shift"].abs() == results["shift"].abs().max()]
    lines = [(rows[f"{metric}_mean"].mean(), style) for style, rows in plotting.lines_of_panel(far)]
    lines.sort(key=lambda line: line[0], reverse=metric == "accuracy")
    return [style for _, style in lines]


def _draw_examples(figure: SubFigure, examples: Mapping[str, pd.DataFrame]) -> None:
    """Draw a strip of example images for each dataset, with their shifts below."""
    panels = plotting.panels(figure, len(examples), len(examples))
    for panel, (dataset, pixels) in zip(panels, examples.items(), strict=True):
        images = [
            part.pivot(index="row", columns="column", values="value").to_numpy(float)
            for _, part in pixels.groupby("shift")
        ]
        width = images[0].shape[1]
        gap = width // 4
        spaced = [np.pad(image, ((0, 0), (0, gap)), constant_values=np.nan) for image in images]
        panel.imshow(np.hstack(spaced), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        places = [number * (width + gap) + (width - 1) / 2 for number in range(len(images))]
        panel.set_xticks(places, [f"{shift}".replace("-", "−") for shift in sorted(pixels["shift"].unique())])
        panel.set_xlim(-0.5, places[-1] + width / 2)
        panel.set_yticks([])
        panel.grid(visible=False)
        panel.spines[:].set_visible(False)
        panel.set_title(f"A test image of {dataset}, shifted")
