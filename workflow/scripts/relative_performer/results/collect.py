"""Concatenation of the CSV files of single runs."""

from collections.abc import Sequence

import pandas as pd

from relative_performer.errors import UserError

KEYS = ("run_dir", "epoch", "draw", "shift", "row_shift", "label", "prediction")


def concatenate(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of all frames (of text) in their order, with the union of their columns.

    Raises UserError if the frames are of different kinds, or if a row occurs twice.
    """
    keys = [key for key in KEYS if any(key in frame for frame in frames)]
    for key in keys:
        for frame in frames:
            if key not in frame:
                raise UserError(f"the files differ in kind: the file with {_first_run(frame)} lacks the column {key}")
    whole = pd.concat(frames, ignore_index=True).fillna("")
    twice = whole[whole.duplicated(keys)]
    if len(twice):
        row = ", ".join(f"{key} {twice.iloc[0][key]}" for key in keys)
        raise UserError(f"this row occurs twice: {row}: name every run once")
    return whole


def _first_run(frame: pd.DataFrame) -> str:
    return f"run {frame['run_dir'].iloc[0]}" if len(frame) else "no run"
