"""Tabulate what shifts of the test images do to the accuracy of every configuration."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from relative_performer.cli import ArgumentParser, run
from relative_performer.errors import UserError
from relative_performer.results.configurations import CONFIGURATION, describe, named
from relative_performer.results.intervals import statistics_of
from relative_performer.results.read import dataset_path, read_evaluations
from relative_performer.results.shift_results import FAR_SHIFTS, SHOWN, axis_of, shift_quantities, shift_results
from relative_performer.results.tables import by_dataset, interval_text, number, write_tables

NOTE = (
    "Accuracy on shifted test images in percent: mean over seeds [bootstrap 95 % interval]; a single seed has no "
    f"interval. Lost: the accuracy at shift 0 minus the mean over all {FAR_SHIFTS}. Negative shifts are to the left, "
    "or upwards."
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Write NAME.csv (fractions), NAME.md and NAME.tex (percent): for every configuration the accuracy\n"
        "on test images that are not shifted, at the largest shifts in both directions, and what far shifts lose.",
        epilog="example:\n"
        "  tabulate_shifts.py --evaluations results/paper/model_evaluations.csv \\\n"
        "    --shift MNIST=results/paper/MNIST_shift.csv --out results/paper/tables",
    )
    parser.add_argument("--evaluations", type=Path, required=True, metavar="CSV", help="one row per run")
    parser.add_argument(
        "--shift", nargs="+", type=dataset_path, required=True, metavar="DATASET=CSV", help="results of test_shifted.py"
    )
    parser.add_argument("--name", default="shift", help="name of the files (default shift)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the three files")
    options = parser.parse_args(arguments)
    runs = describe(read_evaluations(options.evaluations))
    summary = pd.concat([
        summarize(runs[runs["dataset"] == dataset], shift_results(runs, dataset, path), path)
        for dataset, path in options.shift
    ])  # fmt: skip
    kind = ["experiment", "axis", "circular", "edge"]
    sections = {
        f"{experiment}, {'circular ' if circular else ''}shifts along {axis}, up to {edge}": _cells(part)
        for (experiment, axis, circular, edge), part in summary.groupby(kind, sort=False, observed=True)
    }
    write_tables(options.out / options.name, summary, sections, "Accuracy under shifts", NOTE)


def summarize(runs: pd.DataFrame, shifts: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return a row per configuration of `runs`: axis, circular, edge, far, n_seeds and the statistics of SHOWN.

    edge and far are those of `shift_quantities`. shifts: the shift test in `path`, joined with its runs. Raises
    UserError if it has shifts along both axes at once, or a run lacks a shift.
    """
    axis = axis_of(shifts)
    if axis == "both":
        raise UserError(f"{path}: shifts along both axes have no table: test along one axis")
    if axis == "rows":
        shifts = shifts.assign(shift=shifts["row_shift"])
    measured = shift_quantities(runs, shifts, path).assign(axis=axis, circular=bool(shifts["circular"].any()))
    groups = measured.groupby([*CONFIGURATION, "axis", "circular", "edge", "far"], observed=True)
    return groups.agg(n_seeds=("run_dir", "nunique"), **statistics_of(*SHOWN)).reset_index()


def _cells(part: pd.DataFrame) -> list[list[str]]:
    edge = part["edge"].iloc[0]
    table = named(part)
    rows = table.to_dict("records")
    texts = {
        "shift 0": [interval_text(row, "center_", 100) for row in rows],
        f"−{edge} / +{edge}": [f"{number(100 * row['left_mean'])} / {number(100 * row['right_mean'])}" for row in rows],
        "lost": [interval_text(row, "lost_", 100) for row in rows],
    }
    return by_dataset(table.assign(**texts), ["model", "embedding"], [*texts])


if __name__ == "__main__":
    run(main)
