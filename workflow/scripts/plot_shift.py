"""Plot accuracy over the shift of the test images: the paper's shift figure."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from relative_performer import plotting
from relative_performer.cli import ArgumentParser, UserError, run
from relative_performer.frames import read_csv, read_evaluations

SHIFT = {"run_dir": str, "shift": int, "accuracy_mean": float, "accuracy_std": float}
EXAMPLES = {"shift": int, "row": int, "column": int, "value": float}
IMAGE_SIZE = 36  # points: neighbours, 3 pixels of shift apart, just do not touch


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Draw shift.pdf and shift.png: accuracy over shift, a panel per dataset, a line per model with a\n"
        "band of one standard deviation (over seeds; over test images where there is one seed), and below each panel\n"
        "an example image, shifted. Several embeddings make several rows of panels.",
        epilog="example:\n"
        "  plot_shift.py --evaluations results/paper/model_evaluations.csv \\\n"
        "    --shift MNIST=results/paper/MNIST_shift.csv \\\n"
        "    --examples MNIST=results/paper/MNIST_examples.csv --out figures/paper",
    )
    parser.add_argument("--evaluations", type=Path, required=True, metavar="CSV", help="one row per run")
    parser.add_argument(
        "--shift", nargs="+", type=dataset_path, required=True, metavar="DATASET=CSV", help="results of test_shifted.py"
    )
    parser.add_argument(
        "--examples", nargs="+", type=dataset_path, required=True, metavar="DATASET=CSV", help="shifted example images"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the figure")
    options = parser.parse_args(arguments)
    runs = plotting.describe(read_evaluations(options.evaluations))
    results = pd.concat([shift_results(runs, dataset, path) for dataset, path in options.shift])
    examples = {dataset: read_csv(path, EXAMPLES) for dataset, path in options.examples}
    plotting.save(shift_figure(results, examples), options.out, "shift")


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
    results = plotting.join(runs, read_csv(path, SHIFT), path)
    for other in results["dataset"].unique():
        if other != dataset:
            raise UserError(f"{path}: given for {dataset}, but has runs of {other}")
    return results


def shift_figure(results: pd.DataFrame, examples: Mapping[str, pd.DataFrame]) -> Figure:
    """Return the figure of shift results (joined with their runs) and example images by dataset (a row per pixel).

    Raises UserError if a dataset has no examples.
    """
    lacking = [dataset for dataset in results["dataset"].unique() if dataset not in examples]
    if lacking:
        raise UserError(f"--examples lacks {lacking[0]}, which --shift names")
    figure = plotting.panels(
        results, 3.1, lambda panel, rows: _draw_panel(panel, rows, examples[rows["dataset"].iloc[0]])
    )
    plotting.legend(figure, results)
    plotting.footnote(figure, _footnote(results))
    return figure


def _draw_panel(panel: Axes, results: pd.DataFrame, examples: pd.DataFrame) -> None:
    for style, rows in plotting.lines_of_panel(results):
        band = accuracy_band(rows)
        panel.plot(band.index, band["mean"], **style)
        low, high = ((band["mean"] + sign * band["std"]).clip(0, 1) for sign in (-1, 1))
        panel.fill_between(band.index, low, high, color=style["color"], alpha=0.15, linewidth=0)
    edge = max(results["shift"].abs().max() + 0.5, examples["shift"].abs().max() + 1.6)
    panel.set(xlim=(-edge, edge), ylim=(-0.03, 1.03))
    panel.set_xticks(sorted(examples["shift"].unique()))
    panel.set_xlabel("Shift (pixels; negative: to the left)", labelpad=IMAGE_SIZE + 6)
    _draw_examples(panel, examples)


def accuracy_band(rows: pd.DataFrame) -> pd.DataFrame:
    """Return mean and std of the accuracy by shift for the runs of one configuration.

    std: the sample standard deviation over the runs; that over the test images for a single run.
    """
    by_shift = rows.groupby("shift")
    several = rows["run_dir"].nunique() > 1
    std = by_shift["accuracy_mean"].std() if several else by_shift["accuracy_std"].first()
    return pd.DataFrame({"mean": by_shift["accuracy_mean"].mean(), "std": std})


def _draw_examples(panel: Axes, examples: pd.DataFrame) -> None:
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


def _footnote(results: pd.DataFrame) -> str:
    line = [*plotting.PANEL_ROWS, "dataset", "model", "settings"]
    seeds = results.groupby(line, observed=True)["run_dir"].nunique()
    if seeds.max() == 1:
        return "Bands: ± one standard deviation over the test images (one run per line)."
    number = f"{seeds.min()}" if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"
    single = "; over the test images where there is one" if seeds.min() == 1 else ""
    return f"Lines: mean over {number} seeds. Bands: ± one standard deviation over the seeds{single}."


if __name__ == "__main__":
    run(main)
