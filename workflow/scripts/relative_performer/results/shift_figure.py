"""The figure of accuracy or loss over the shift of the test images."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.ticker import LogLocator, NullFormatter

from relative_performer.errors import UserError
from relative_performer.results import plotting
from relative_performer.results.configurations import join
from relative_performer.results.intervals import high, low
from relative_performer.results.read import read_csv

SHIFT = {"run_dir": str, "shift": int, "accuracy_mean": float, "accuracy_std": float, "loss_mean": float}
PUBLISHED = {"linestyle": (0, (4, 2)), "linewidth": 0.8, "marker": "", "zorder": 1.9}  # behind our own lines
IMAGE_SIZE = 36  # points; images that are 3 pixels of shift apart just do not touch


def shift_results(runs: pd.DataFrame, dataset: str, path: Path) -> pd.DataFrame:
    """Return the shift results in `path`, joined with their runs.

    Raises UserError if the file is malformed, or has a run that is unknown or of another dataset.
    """
    results = join(runs, read_csv(path, SHIFT, once=("run_dir", "shift")), path)
    for other in results["dataset"].unique():
        if other != dataset:
            raise UserError(f"{path}: given for {dataset}, but has runs of {other}")
    return results


def shift_figure(
    results: pd.DataFrame,
    metric: str,
    examples: Mapping[str, pd.DataFrame] | None = None,
    published: pd.DataFrame | None = None,
) -> Figure:
    """Return the figure of the accuracy or loss (`metric`) of shift results, which are joined with their runs.

    examples: example images by dataset, a row per pixel. published: results to compare with, as `read_shifts` returns
    them. Raises UserError if examples are given, but not for every dataset.
    """
    lacking = [dataset for dataset in results["dataset"].unique() if examples is not None and dataset not in examples]
    if lacking:
        raise UserError(f"--examples lacks {lacking[0]}, which --shift names")

    def draw(panel: Axes, rows: pd.DataFrame) -> None:
        _draw_lines(panel, rows, metric)
        for style, line in plotting.lines_of_panel(counterparts(rows, published)):
            panel.plot(line["shift"], line[f"{metric}_mean"], **style | PUBLISHED)
        if examples is not None:
            _draw_examples(panel, examples[rows["dataset"].iloc[0]])

    figure = plotting.panels(results, 3.1, draw, metric.capitalize())
    compared = len(counterparts(results, published)) > 0
    plotting.legend(figure, results, *[PUBLISHED | {"label": "published", "color": "0.3"}] * compared)
    plotting.footnote(figure, _footnote(results, metric))
    return figure


def counterparts(results: pd.DataFrame, published: pd.DataFrame | None) -> pd.DataFrame:
    """Return the published results of the datasets and models that `results` has with the linear embedding."""
    if published is None:
        return pd.DataFrame(columns=[*results.columns])
    linear = results[results["embedding_type"] == "linear"]
    ours = set(zip(linear["dataset"], linear["model"], strict=True))
    plain = published[published["variant"] == 0]  # one line per model
    return plain[[pair in ours for pair in zip(plain["dataset"], plain["model"], strict=True)]]


def _draw_lines(panel: Axes, results: pd.DataFrame, metric: str) -> None:
    for style, rows in plotting.lines_of_panel(results):
        mean = rows.groupby("shift")[f"{metric}_mean"].mean()
        panel.plot(mean.index, mean, **style)
        band = band_of(rows, metric)
        panel.fill_between(band.index, band["low"], band["high"], color=style["color"], alpha=0.15, linewidth=0)
    edge = results["shift"].abs().max()
    panel.set(xlim=(-edge - 0.5, edge + 0.5), xlabel="Shift (pixels; negative: to the left)")
    if metric == "accuracy":
        panel.set_ylim(-0.03, 1.03)
    else:
        panel.set_yscale("log")
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_formatter(NullFormatter())


def band_of(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return low and high of the metric by shift for the runs of one configuration.

    They are the ends of the bootstrap interval over the runs. For a single run, the band of accuracy is one standard
    deviation over the test images. The loss, which is far from symmetric over images, then has no band.
    """
    by_shift = rows.groupby("shift")
    mean = by_shift[f"{metric}_mean"].mean()
    if rows["run_dir"].nunique() > 1:
        ends = by_shift[f"{metric}_mean"].agg(low), by_shift[f"{metric}_mean"].agg(high)
    elif metric == "accuracy":
        std = by_shift["accuracy_std"].first()
        ends = (mean - std).clip(0, 1), (mean + std).clip(0, 1)
    else:
        ends = mean, mean
    return pd.DataFrame({"low": ends[0], "high": ends[1]})


def _draw_examples(panel: Axes, examples: pd.DataFrame) -> None:
    edge = max(panel.get_xlim()[1], examples["shift"].abs().max() + 1.6)
    panel.set_xlim(-edge, edge)
    panel.set_xticks(sorted(examples["shift"].unique()))
    panel.xaxis.labelpad = IMAGE_SIZE + 6
    for shift in examples["shift"].unique():
        pixels = examples[examples["shift"] == shift].pivot(index="row", columns="column", values="value").to_numpy()
        zoom = IMAGE_SIZE / len(pixels)
        image = OffsetImage(pixels, zoom=zoom, cmap="gray", norm=Normalize(0, 255), interpolation="nearest")
        box = AnnotationBbox(
            image,
            (float(shift), 0),
            (0, -18 - IMAGE_SIZE / 2),  # below the tick label
            xycoords=panel.get_xaxis_transform(),
            boxcoords="offset points",
            annotation_clip=False,
            frameon=False,
        )
        panel.add_artist(box)


def _footnote(results: pd.DataFrame, metric: str) -> str:
    line = [*plotting.PANEL_ROWS, "dataset", "model", "settings"]
    seeds = results.groupby(line, observed=True)["run_dir"].nunique()
    if seeds.max() == 1:
        bands = "Bands: ± one standard deviation over the test images" if metric == "accuracy" else "No bands"
        return f"{bands} (one run per line)."
    number = f"{seeds.min()}" if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"
    of_images = "± one standard deviation over the test images" if metric == "accuracy" else "none"
    single = f"; {of_images} for a single seed" if seeds.min() == 1 else ""
    return f"Lines: mean over {number} seeds. Bands: bootstrap 95 % interval over the seeds{single}."
