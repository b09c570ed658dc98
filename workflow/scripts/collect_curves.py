"""Concatenate the learning curves of runs."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from relative_performer.cli import ArgumentParser, run
from relative_performer.files import write_csv
from relative_performer.results.collect import concatenate
from relative_performer.results.read import read_csv

CURVE = dict.fromkeys(("epoch", "step", "train/loss", "train/acc", "val/loss", "val/acc"), str)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Concatenate RUN_DIR/metrics.csv of every run, with run_dir as an additional first column.\n"
        "Each row is an epoch with the columns " + ", ".join(CURVE) + ".",
        epilog="example:\n  collect_curves.py --out results/paper/learning_curves.csv lightning_logs/default/version_*",
    )
    parser.add_argument("run_dirs", nargs="+", type=Path, metavar="RUN_DIR", help="run folder created by train.py")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT.csv", help="the file to write")
    options = parser.parse_args(arguments)
    write_csv(options.out, concatenate([learning_curve(run_dir) for run_dir in options.run_dirs]))


def learning_curve(run_dir: Path) -> pd.DataFrame:
    """Return the learning curve of a run, one row per epoch, as text.

    Columns: run_dir, epoch, step, train/loss, train/acc, val/loss, val/acc. Raises UserError if the run has no
    metrics.csv or if a column is missing.
    """
    curve = read_csv(run_dir / "metrics.csv", CURVE)[list(CURVE)]
    curve.insert(0, "run_dir", str(run_dir))
    return curve


if __name__ == "__main__":
    run(main)
