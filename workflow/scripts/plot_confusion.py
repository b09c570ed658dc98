"""Plot the confusion matrices of the test images of one dataset."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from relative_performer.cli import ArgumentParser, run
from relative_performer.data import DATASETS
from relative_performer.errors import UserError
from relative_performer.results import plotting
from relative_performer.results.configurations import describe, join, of_experiment
from relative_performer.results.read import read_csv, read_evaluations

NAMED = ["experiment", "embedding_type"]
CONFUSION = {"run_dir": str, "label": int, "prediction": int, "images": int}
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
    parser.add_experiment()
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the figure")
    options = parser.parse_args(arguments)
    runs = describe(read_evaluations(options.evaluations))
    once = ("run_dir", "label", "prediction")
    counts = join(runs, read_csv(options.confusion, CONFUSION, once), options.confusion)
    classes = DATASETS[options.dataset].classes
    if not set(counts["label"]) | set(counts["prediction"]) <= set(range(len(classes))):
        raise UserError(f"{options.confusion}: {options.dataset} has the classes 0 to {len(classes) - 1} only")
    counts = of_experiment(counts, options.experiment)
    plotting.save(confusion_figure(counts, classes), options.out, f"confusion_{options.dataset}")


def confusion_figure(counts: pd.DataFrame, classes: Sequence[str]) -> Figure:
    """Return the figure of `counts`, confusion matrices joined with their runs, a row per run, label and prediction."""
    matrices = percentages(counts, len(classes))
    columns, written = plotting.columns_of(matrices), len(matrices) <= 9
    row = min(SIDE, plotting.WIDTH / (columns + 0.8)) + 0.13 * (1 + max(title.count("\n") for title in matrices))
    labels = 0.4 + 0.06 * len(max(classes, key=len))
    figure = plotting.page(row * -(-len(matrices) // columns) + labels, min(plotting.WIDTH, columns * SIDE + 1))
    panels = plotting.panels(figure, len(matrices), columns, sharey=True)
    for panel, (title, matrix) in zip(panels, matrices.items(), strict=True):
        image = _draw_matrix(panel, matrix, classes, written)
        panel.set_title(title, fontsize=7)
    for panel in panels[:-columns]:
        panel.tick_params(labelbottom=False)
    figure.colorbar(image, ax=panels, label="Images of a class (%)", shrink=0.8, aspect=40, pad=0.03)
    figure.supylabel("Class of the image", fontsize=plotting.THEME["axes.labelsize"])
    plotting.footnote(figure, "Columns: predicted class." + " Values below 1 % are omitted." * written)
    return figure


def percentages(counts: pd.DataFrame, classes: int) -> dict[str, np.ndarray]:
    """Return the confusion matrix (label, prediction) of every configuration by its title, in percent.

    The row of a label without images is NaN.
    """
    several = [column for column in NAMED if counts[column].nunique() > 1]
    matrices = {}
    for _, rows in counts.groupby([*NAMED, "model", "settings"], observed=True, sort=False):
        first = rows.iloc[0]
        images = np.zeros((classes, classes))
        np.add.at(images, (rows["label"], rows["prediction"]), rows["images"])
        with np.errstate(invalid="ignore"):
            matrix = 100 * images / images.sum(1, keepdims=True)
        where = ", ".join(first[column] for column in several if first[column])
        label = plotting.look(first["model"], first["settings"])["label"].replace(", ", "\n")
        matrices["\n".join(filter(None, (where, label)))] = matrix
    return matrices


def _draw_matrix(panel: Axes, matrix: np.ndarray, classes: Sequence[str], written: bool) -> AxesImage:
    image = panel.imshow(matrix, vmin=0, vmax=100, cmap="Greys")
    places = range(len(classes))
    panel.set_xticks(places, classes, rotation=90 if len(max(classes, key=len)) > 2 else 0)
    panel.set_yticks(places, classes)
    panel.grid(visible=False)
    for row, column in product(places, places) if written else ():
        if (value := matrix[row, column]) >= 1:
            color = "white" if value > 50 else "black"
            panel.text(column, row, f"{value:.0f}", ha="center", va="center", color=color, fontsize=7)
    return image


if __name__ == "__main__":
    run(main)
