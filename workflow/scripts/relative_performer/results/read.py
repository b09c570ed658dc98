"""Reading of result tables, with one-line errors and in the order of the declared models and datasets."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from relative_performer.data import DATASETS
from relative_performer.errors import UserError
from relative_performer.models import MODELS
from relative_performer.models.options import EMBEDDINGS

EVALUATIONS = {
    "experiment": str, "model": str, "dataset": str, "embedding_type": str, "seed": str, "run_dir": str,
    "patience": str, "val/acc": float, "test/acc": float, "n_parameters": float, "images_seen": float,
}  # fmt: skip
PLACE = ["model", "dataset", "embedding_type"]
COUNTS = {"n_parameters", "train_images", "val_images", "test_images", "epochs", "images_seen", "seconds"}
CHECKSUMS = {"data_sha256", "weights_sha256"}
NOT_OPTIONS = {"experiment", "seed", "run_dir", "state", *PLACE, *COUNTS, *CHECKSUMS}
KNOWN = {"model": tuple(MODELS), "dataset": tuple(DATASETS), "embedding_type": EMBEDDINGS}


def read_evaluations(path: Path) -> pd.DataFrame:
    """Read the evaluations, a row per run: experiment and options as ordered categories of text, metrics as floats.

    test_images is a float, NaN where it is not known. Raises UserError if the file is missing or malformed, or holds a
    run twice, under one name or two.
    """
    runs = read_csv(path, EVALUATIONS, once=("run_dir",))
    for column, kind in EVALUATIONS.items():
        if kind is float and np.isinf(runs[column]).any():
            raise UserError(f"{path}: the column {column} holds a value that is not finite")
    images = runs["test_images"] if "test_images" in runs else pd.Series("", runs.index)
    runs["test_images"] = _numbers(images, float, path)
    _refuse_equal_runs(runs, path)
    runs = runs.replace(r"^(-?\d+)\.0$", r"\1", regex=True)  # pandas writes 4 as 4.0 in a column with an empty cell
    orders = {**KNOWN, "experiment": tuple(runs["experiment"].unique())}
    for column in ["experiment", *PLACE, *option_columns(runs)]:
        order = in_order(runs[column].unique(), orders.get(column, ()))
        runs[column] = pd.Categorical(runs[column], order, ordered=True)
    return runs


def _refuse_equal_runs(runs: pd.DataFrame, path: Path) -> None:
    """Raise UserError if two runs of an experiment have equal options and seeds: they would count as two samples."""
    known = runs[runs["seed"] != ""]
    for _, equal in known.groupby(
        [known[name].map(normal) for name in ["experiment", *PLACE, "seed", *option_columns(runs)]]
    ):
        if len(equal) > 1:
            first, second = equal["run_dir"].iloc[:2]
            raise UserError(f"{path}: {first} and {second} have equal options and the same seed: keep one of them")


def normal(text: str) -> str:
    """Return the canonical spelling of a value: 5e-05 for 5e-5, false for False."""
    try:
        return repr(float(text))
    except ValueError:
        return text.lower()


def read_csv(path: Path, columns: Mapping[str, type], once: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV that has at least `columns` (name to str, int or float); every other column stays text.

    once: columns whose values together identify a row. Raises UserError, naming the file, if it is missing or empty,
    lacks a column, has a column or row twice, or has text where a number is expected.
    """
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise UserError(f"cannot read {path}: {reason}") from error
    if not isinstance(frame.index, pd.RangeIndex):
        raise UserError(f"cannot read {path}: its rows have more cells than its header")
    if twice := [column for column in columns if f"{column}.1" in frame]:  # as pandas renames the second one
        raise UserError(f"{path} has the column {twice[0]} twice")
    missing = [column for column in columns if column not in frame]
    if missing:
        raise UserError(f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}")
    if frame.empty:
        raise UserError(f"{path} has no rows")
    for column, kind in columns.items():
        if kind is not str:
            frame[column] = _numbers(frame[column], kind, path)
    if once and len(again := frame[frame.duplicated([*once])]):
        row = ", ".join(f"{column} {again.iloc[0][column]}" for column in once)
        raise UserError(f"{path}: the row of {row} occurs twice: collect every run once")
    return frame


def read_shift_test(path: Path, metrics: Sequence[str]) -> pd.DataFrame:
    """Read the results of a shift test: run_dir, shift (along columns), row_shift, circular and `metrics`.

    Raises UserError if the file is missing or malformed, or has a run and shift twice.
    """
    given = read_csv(path, {}).columns
    shifts = [name for name in ("shift", "row_shift") if name == "shift" or name in given]
    columns = {"run_dir": str} | dict.fromkeys(shifts, int) | dict.fromkeys(metrics, float)
    table = read_csv(path, columns, once=("run_dir", *shifts))
    return table.assign(row_shift=table.get("row_shift", 0), circular=table.get("circular", "") == "True")


def _numbers(texts: pd.Series, kind: type, path: Path) -> pd.Series:
    if kind is float:
        texts = texts.replace("", "nan")
    try:
        return texts.astype(kind)
    except (ValueError, OverflowError) as error:
        raise UserError(f"{path}: the column {texts.name} holds a value that is not a number: {error}") from error


def in_order(values: Iterable[str], known: Sequence[str] = ()) -> list[str]:
    """Return the values in the order of `known`, then other numbers by value, then other texts alphabetically."""

    def rank(value: str) -> tuple[int, float, str]:
        return (known.index(value) if value in known else len(known), _size(value), value)

    return sorted(set(values), key=rank)


def _size(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return float("inf")


def option_columns(runs: pd.DataFrame) -> list[str]:
    """Return the columns of evaluations that hold options."""
    return [column for column in map(str, runs) if "/" not in column and column not in NOT_OPTIONS]


def dataset_path(text: str) -> tuple[str, Path]:
    """Argparse type: DATASET=CSV."""
    dataset, equals, path = text.partition("=")
    if not (dataset and equals and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not DATASET=CSV")
    return dataset, Path(path)
