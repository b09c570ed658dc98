"""The results of a shift test: reading them, and what they say of a run in few numbers."""

from pathlib import Path

import pandas as pd

from relative_performer.data import whole
from relative_performer.errors import UserError
from relative_performer.results.configurations import CONFIGURATION, join
from relative_performer.results.intervals import STATISTICS
from relative_performer.results.read import read_csv, read_shift_test

METRICS = ("accuracy_mean", "accuracy_std", "loss_mean")
FAR = 6  # columns of whole images; the published shift test goes up to 8
FAR_SHIFTS = f"shifts of at least {FAR} columns, {FAR // 2} for images at half their side"
SHOWN = ("center", "left", "right", "moved", "lost")  # of QUANTITIES, in the table
LEAST_LOSS = 1e-6  # in figures: a logarithmic scale has no zero
QUANTITIES = ("center", "moved", "lost", "left", "right", "skew")


def shift_results(runs: pd.DataFrame, dataset: str, path: Path) -> pd.DataFrame:
    """Return the shift results in `path`, joined with their runs.

    Raises UserError if the file is malformed, or has a run that is unknown or of another dataset.
    """
    results = join(runs, read_shift_test(path, METRICS), path)
    for other in results["dataset"].unique():
        if other != dataset:
            raise UserError(f"{path}: given for {dataset}, but has runs of {other}")
    return results


def read_shift_table(path: Path) -> pd.DataFrame:
    """Read shift.csv, the table of `tabulate_shifts.py`. Raises UserError if it is missing or malformed."""
    texts = dict.fromkeys([*CONFIGURATION, "axis", "circular"], str)
    counts = dict.fromkeys(["edge", "far", "n_seeds"], int)
    statistics = dict.fromkeys([f"{name}_{end}" for name in SHOWN for end in STATISTICS], float)
    table = read_csv(path, {**texts, **counts, **statistics})
    return table.assign(circular=table["circular"] == "True")


def axis_of(results: pd.DataFrame) -> str:
    """Return along which axis (columns, rows or both) the images were shifted; raises UserError if datasets differ."""
    moved = results.groupby("dataset")[["row_shift", "shift"]].any()
    if len(moved.drop_duplicates()) > 1:
        raise UserError("--shift: the files have shifts along different axes: draw them one by one")
    rows, columns = moved.iloc[0]
    return ("both" if columns else "rows") if rows else "columns"


def images_of(results: pd.DataFrame) -> float:
    """Return the number of test images behind shift results, all of one dataset; NaN if every accuracy is 0 or 1.

    It follows from the sample variance of n right or wrong answers, p (1 − p) n / (n − 1).
    """
    p = results["accuracy_mean"]
    counts = 1 / (1 - p * (1 - p) / results["accuracy_std"] ** 2)
    return float(counts[counts >= 1].median())


def shift_quantities(runs: pd.DataFrame, shifts: pd.DataFrame, path: Path, edge: int = 0) -> pd.DataFrame:
    """Return `runs`, all of one dataset, with edge, far and QUANTITIES of their shift test along one axis.

    shifts: the shift test in `path`, with run_dir, shift and accuracy_mean. edge: the largest shift that is used; 0
    takes the largest one that was tested.

    center: accuracy at shift 0. moved: mean accuracy over the shifts by `far` to `edge`: FAR_SHIFTS, or those by `edge`
    if it is smaller. lost: center − moved. left, right: accuracy at shifts −edge and +edge. skew: right − left.

    Raises UserError, naming `path`, if a run lacks a shift.
    """
    edge = edge or int(shifts["shift"].abs().max())
    far = min(edge, FAR // 2 if whole(str(runs["dataset"].iloc[0])) else FAR)
    columns = range(-edge, edge + 1)
    accuracies = shifts.pivot(index="run_dir", columns="shift", values="accuracy_mean")
    accuracies = accuracies.reindex(index=runs["run_dir"], columns=columns)
    for shift, column in accuracies.items():
        if len(lacking := column.index[column.isna()]):
            raise UserError(f"{path}: run {lacking[0]} lacks shift {shift}: test it with --min_shift {edge}")
    center, left, right = (accuracies[shift] for shift in (0, -edge, edge))
    moved = accuracies[[shift for shift in columns if abs(shift) >= far]].mean(axis=1)
    values = center, moved, center - moved, left, right, right - left
    quantities = pd.DataFrame(dict(zip(QUANTITIES, values, strict=True)))
    return runs.merge(quantities.assign(edge=edge, far=far), on="run_dir")
