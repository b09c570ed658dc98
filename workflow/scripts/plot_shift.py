"""Plot accuracy and loss over the shift of the test images, as in the paper's shift figure."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from relative_performer.cli import ArgumentParser, run
from relative_performer.results import plotting
from relative_performer.results.configurations import describe, of_experiment
from relative_performer.results.published import read_shifts
from relative_performer.results.read import dataset_path, read_csv, read_evaluations
from relative_performer.results.shift_figure import shift_figure
from relative_performer.results.shift_map import shift_map_figure
from relative_performer.results.shift_results import axis_of, shift_results

EXAMPLES = {"shift": int, "row": int, "column": int, "value": float}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Draw shift.pdf and shift.png: accuracy over shift, with one panel per experiment, dataset and\n"
        "embedding, and one line per model. A band is the bootstrap 95 % interval over seeds or, for a single seed,\n"
        "the Wilson 95 % interval over test images. Below the panels is a test image of each dataset at several\n"
        "shifts. Published curves of the same dataset and model are dashed. Their embedding is linear.\n"
        "shift_loss.pdf and shift_loss.png show the mean loss in the same way, without a band for a single seed.\n"
        "Shifts along both axes are drawn as maps of the mean over seeds, without examples and published curves.",
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
    parser.add_experiment()
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the figure")
    options = parser.parse_args(arguments)
    runs = describe(read_evaluations(options.evaluations))
    results = pd.concat([shift_results(runs, dataset, path) for dataset, path in options.shift])
    results = of_experiment(results, options.experiment)
    pixel = ("shift", "row", "column")
    examples = options.examples and {dataset: read_csv(path, EXAMPLES, pixel) for dataset, path in options.examples}
    published = read_shifts(options.published) if options.published else None
    axis, circular = axis_of(results), bool(results["circular"].any())
    for metric, name in (("accuracy", "shift"), ("loss", "shift_loss")):
        if axis == "both":
            figure = shift_map_figure(results, metric, circular)
        else:
            figure = shift_figure(results, metric, examples, published, axis, circular)
        plotting.save(figure, options.out, name)


if __name__ == "__main__":
    run(main)
