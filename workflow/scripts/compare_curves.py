"""Compare the shift tests of two folders of results run by run: are all numbers equal?"""

import sys
from pathlib import Path

import pandas as pd

from relative_performer.cli import ArgumentParser, run
from relative_performer.errors import UserError
from relative_performer.results.read import read_shift_test

METRICS = ["accuracy_mean", "loss_mean"]
TOLERANCE = 1e-6  # of a mean loss
ROUNDING = 5e-5  # of a mean loss: computing in float64 changed those of two trainings of rivals by up to 4.5e-5
KEY = ["run_dir", "shift", "row_shift", "circular"]
EPILOG = f"""\
example:
  compare_curves.py results/rivals/weights --reference resources/reference/rivals

Both folders contain one DATASET_shift.csv per dataset. A run's curve is equal if its accuracies are equal and its mean
losses differ by at most {TOLERANCE:g}, at every shift. It is equal up to rounding if they differ by at most
{ROUNDING:g}, as between two kinds of processors in float32. If a curve differs by more, the exit code is 1.
"""


def main() -> None:
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    parser.add_argument("results", type=Path, metavar="RESULTS", help="folder of your results")
    parser.add_argument("--reference", type=Path, required=True, metavar="DIR", help="folder of the reference results")
    arguments = parser.parse_args()
    names = sorted(path.name for path in arguments.reference.glob("*_shift.csv"))
    if not names:
        raise UserError(f"{arguments.reference}: no DATASET_shift.csv, which the reference results have")
    pairs = [read_pair(arguments.results / name, arguments.reference / name) for name in names]
    ours, theirs = (pd.concat(tables) for tables in zip(*pairs, strict=True))
    difference: pd.DataFrame = (ours - theirs).abs()
    largest = difference.groupby("run_dir", sort=False).max()
    same = largest["accuracy_mean"] == 0
    equal = same & (largest["loss_mean"] <= TOLERANCE)
    rounded = same & (largest["loss_mean"] <= ROUNDING) & ~equal
    for run_dir, (accuracy, loss) in largest[~equal & ~rounded].iterrows():
        print(f"{run_dir}: differs by at most {accuracy:.3g} in accuracy and {loss:.3g} in loss")
    others = f", {rounded.sum()} up to rounding, as between kinds of processors" if rounded.any() else ""
    at_most = f"largest difference of losses {largest['loss_mean'].max():.1g}"
    print(f"{equal.sum()} of {len(equal)} curves equal those of {arguments.reference}{others} ({at_most})")
    sys.exit(not (equal | rounded).all())


def read_pair(path: Path, reference: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return METRICS by KEY in both files, for what `reference` has; raises UserError if `path` lacks a part of it."""
    ours, theirs = (read_shift_test(file, METRICS).set_index(KEY)[METRICS] for file in (path, reference))
    if len(lacking := theirs.index.difference(ours.index, sort=False)):
        run_dir, shift, *_ = lacking[0]
        raise UserError(f"{path}: {run_dir} lacks shift {shift}")
    return ours.reindex(theirs.index), theirs


if __name__ == "__main__":
    run(main)
