"""Plot accuracy and loss over the shift of the test images: the paper's shift figure, and its counterpart."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.ticker import LogLocator, NullFormatter

from relative_performer import plotting
from relative_performer.cli import ArgumentParser, UserError, run
from relative_performer.frames import read_csv, read_evaluations
from relative_performer.intervals import high, low
from relative_performer.published import read_shifts

SHIFT = {"run_dir": str, "shift": int, "accuracy_mean": float, "accuracy_std": float, "loss_mean": float}
EXAMPLES = {"shift": int, "row": int, "column": int, "value": float}
PUBLISHED = {"linestyle": (0, (4, 2)), "linewidth": 0.8, "marker": "", "zorder": 1.9}  # behind our own lines
IMAGE_SIZE = 36  # points: neighbours, 3 pixels of shift apart, just do not touch


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Draw shift.pdf and shift.png: accuracy over shift, a panel per dataset, a line per model with a\n"
        "band (bootstrap 95 % interval over seeds; one standard deviation over test images where there is one seed),\n"
        "and below each panel an example image, shifted. Several embeddings make several rows of panels. Published\n"
        "curves of the same dataset and model are dashed; they are of the linear embedding. shift_loss.pdf and\n"
        "shift_loss.png show the mean loss in the same way, with bands over seeds alone.",
        epilog="example:\n"
        "  plot_shift.py --evaluations results/paper/model_evaluations.csv \\\n"
        "    --shift MNIST=results/paper/MNIST_shift.csv \\\n"
        "    --examples MNIST=results/paper/MNIST_examples.csv \\\n"
        "    --published resources/published_shift.csv --out figures/paper",
    )
    parser.add_argument("--evaluations", type=Path, required=True, metavar="CSV", help="one row per run")
    parser.add_argument(
        "--shift", nargs="+", type=dataset_path, required=True, metavar="DATASET=CSV", help="results of test_shifted.py"
    )
    parser.add_argument(
        "--examples", nargs="+", type=dataset_path, metavar="DATASET=CSV", help="shifted example images"
    )
    parser.add_argument("--published", type=Path, metavar="CSV", help="published shift results, to compare with")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the figure")
    options = parser.parse_args(arguments)
    runs = plotting.describe(read_evaluations(options.evaluations))
    results = pd.concat([shift_results(runs, dataset, path) for dataset, path in options.shift])
    pixel = ("shift", "row", "column")
    examples = options.examples and {dataset: read_csv(path, EXAMPLES, pixel) for dataset, path in options.examples}
    published = read_shifts(options.published) if options.published else None
    plotting.save(shift_figure(results, "accuracy", examples, published), options.out, "shift")
    plotting.save(shift_figure(results, "loss", examples, published), options.out, "shift_loss")


def dataset_path(text: str) -> tuple[str, Path]:
    """Argparse type: DATASET=CSV."""
    dataset, equals, path = text.partition("=")
    if not (dataset and equals and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not DATASET=CSV")
    return dataset, Path(path)


def shift_results(runs: pd.DataFrame, dataset: str, path: Path) -> pd.DataFrame:
    """Return the shift results in `path`, joined with their runs.

    Raises UserError if the file is malformed, or has a run that is unknown or of another dataset.
    """
    results = plotting.join(runs, read_csv(path, SHIFT, once=("run_dir", "shift")), path)
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
    """Return the figure of shift results, joined with their runs: of their accuracy, or of their loss.

    examples: by dataset, a row per pixel. published: other results to compare with, as `read_shifts` returns them.
    Raises UserError if examples are given, but none for one of the datasets.
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

    They are the bootstrap interval over the runs. For a single run, accuracy has one standard deviation over the test
    images, and loss, which is far from symmetric over images, has no band.
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
    single = f"; {of_images} where there is one" if seeds.min() == 1 else ""
    return f"Lines: mean over {number} seeds. Bands: bootstrap 95 % interval over the seeds{single}."


if __name__ == "__main__":
    run(main)
