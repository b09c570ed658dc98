"""Plot accuracy and loss over the shift of the test images, as in the paper's shift figure."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from relative_performer.cli import ArgumentParser, run
from relative_performer.results import plotting
from relative_performer.results.configurations import describe
from relative_performer.results.published import read_shifts
from relative_performer.results.read import read_csv, read_evaluations
from relative_performer.results.shift_figure import shift_figure, shift_results

EXAMPLES = {"shift": int, "row": int, "column": int, "value": float}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Draw shift.pdf and shift.png: accuracy over shift, with one panel per dataset and one line per\n"
        "model. A band is the bootstrap 95 % interval over seeds or, for a single seed, one standard deviation over\n"
        "test images. Below each panel is an example image at several shifts. Each embedding has its own row of\n"
        "panels. Published curves of the same dataset and model are dashed. Their embedding is linear.\n"
        "shift_loss.pdf and shift_loss.png show the mean loss in the same way, without a band for a single seed.",
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
    runs = describe(read_evaluations(options.evaluations))
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


if __name__ == "__main__":
    run(main)
