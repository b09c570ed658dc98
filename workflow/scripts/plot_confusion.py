"""Plot the confusion matrices of the test images of one dataset."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from relative_performer.cli import ArgumentParser, run
from relative_performer.data import DATASETS
from relative_performer.errors import UserError
from relative_performer.results import plotting
from relative_performer.results.configurations import describe, join
from relative_performer.results.read import read_csv, read_evaluations

CONFUSION = {"run_dir": str, "label": int, "prediction": int, "images": int}
COLUMNS = 4
SIDE = 2.6  # inches


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Draw confusion_DATASET.pdf and confusion_DATASET.png: for every configuration the percentage of\n"
        "test images of a class (row) that are predicted as a class (column), over the images of all seeds.",
        epilog="example:\n"
        "  plot_confusion.py MNIST --evaluations results/paper/model_evaluations.csv \\\n"
        "    --confusion results/paper/MNIST_confusion.csv --out figures/paper",
    )
    parser.add_dataset()
    parser.add_argument("--evaluations", type=Path, required=True, metavar="CSV", help="one row per run")
    parser.add_argument(
        "--confusion", type=Path, required=True, metavar="CSV", help="one row per run, label and prediction"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the figure")
    options = parser.parse_args(arguments)
    runs = describe(read_evaluations(options.evaluations))
    once = ("run_dir", "label", "prediction")
    counts = join(runs, read_csv(options.confusion, CONFUSION, once), options.confusion)
    classes = DATASETS[options.dataset].classes
    if not set(counts["label"]) | set(counts["prediction"]) <= set(range(len(classes))):
        raise UserError(f"{options.confusion}: {options.dataset} has the classes 0 to {len(classes) - 1} only")
    plotting.save(confusion_figure(counts, classes), options.out, f"confusion_{options.dataset}")


def confusion_figure(counts: pd.DataFrame, classes: Sequence[str]) -> Figure:
    """Return the figure of `counts`, confusion matrices joined with their runs, a row per run, label and prediction."""
    matrices = percentages(counts, len(classes))
    columns = min(COLUMNS, len(matrices))
    rows = -(-len(matrices) // columns)
    figure, axes = plotting.grid([SIDE] * rows, [""] * columns, width=SIDE, sharex=True, sharey=True)
    for panel in axes.flat[len(matrices) :]:
        panel.set_visible(False)
    for panel, (title, matrix) in zip(axes.flat, matrices.items(), strict=False):
        _draw_matrix(panel, matrix, classes)
        panel.set_title(title, fontsize=8)
    figure.supylabel("Class of the image", fontsize=9)
    plotting.footnote(figure, "Predicted class. In percent of the images of a class; values below 1 % are omitted.")
    return figure


def percentages(counts: pd.DataFrame, classes: int) -> dict[str, np.ndarray]:
    """Return the confusion matrix (label, prediction) of every configuration by its title, in percent.

    The row of a label without images is NaN.
    """
    several = [column for column in plotting.PANEL_ROWS if counts[column].nunique() > 1]
    matrices = {}
    for _, rows in counts.groupby([*plotting.PANEL_ROWS, "model", "settings"], observed=True, sort=False):
        first = rows.iloc[0]
        images = np.zeros((classes, classes))
        np.add.at(images, (rows["label"], rows["prediction"]), rows["images"])
        with np.errstate(invalid="ignore"):
            matrix = 100 * images / images.sum(1, keepdims=True)
        where = ", ".join(first[column] for column in several if first[column])
        label = plotting.look(first["model"], first["settings"])["label"].replace(", ", "\n", 1)
        matrices["\n".join(filter(None, (where, label)))] = matrix
    return matrices


def _draw_matrix(panel: Axes, matrix: np.ndarray, classes: Sequence[str]) -> None:
    texts = np.vectorize(lambda value: f"{value:.0f}" if value >= 1 else "")(np.nan_to_num(matrix))
    sns.heatmap(
        matrix, vmin=0, vmax=100, cmap="Greys", cbar=False, square=True, linewidths=0.3, linecolor="0.85",
        annot=texts, fmt="", annot_kws={"fontsize": 5}, xticklabels=classes, yticklabels=classes, ax=panel,
    )  # fmt: skip
    panel.tick_params(labelsize=6)


if __name__ == "__main__":
    run(main)
