"""Put the CSV files of single runs together into one long CSV."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from relative_performer.cli import ArgumentParser, UserError, run
from relative_performer.files import write_csv
from relative_performer.frames import read_csv

KEYS = ("run_dir", "epoch", "shift", "row_shift", "label", "prediction")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Put CSV files of one kind (evaluations, shift tests, confusions) together, row under row.\n"
        "Columns: all that occur, in order of first appearance; a cell whose file lacks the column is empty.\n"
        "A row that occurs twice (same run_dir, shift, epoch, label and prediction, as far as there are) is refused.",
        epilog="example:\n  collect_csv.py --out results/paper/model_evaluations.csv results/paper/*/evaluation.csv",
    )
    parser.add_argument("csvs", nargs="+", type=Path, metavar="IN.csv", help="file with a column run_dir")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT.csv", help="the file to write")
    options = parser.parse_args(arguments)
    write_csv(options.out, concatenate([read_csv(path, {"run_dir": str}) for path in options.csvs]))


def concatenate(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of all frames (of text) in their order, with the union of their columns.

    Raises UserError if the frames are of different kinds, or if a row occurs twice.
    """
    keys = [key for key in KEYS if any(key in frame for frame in frames)]
    for key in keys:
        for frame in frames:
            if key not in frame:
                raise UserError(f"the files are of different kinds: that of {_first_run(frame)} lacks the column {key}")
    whole = pd.concat(frames, ignore_index=True).fillna("")
    twice = whole[whole.duplicated(keys)]
    if len(twice):
        row = ", ".join(f"{key} {twice.iloc[0][key]}" for key in keys)
        raise UserError(f"this row occurs twice: {row}: name every run once")
    return whole


def _first_run(frame: pd.DataFrame) -> str:
    return f"run {frame['run_dir'].iloc[0]}" if len(frame) else "no run"


if __name__ == "__main__":
    run(main)
