"""Collect the learning curves of runs in one CSV."""

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
        description="Collect RUN_DIR/metrics.csv of every run in one CSV, with run_dir as the first column.\n"
        "A row is an epoch: " + ", ".join(CURVE) + ".",
        epilog="example:\n  collect_curves.py --out results/paper/learning_curves.csv lightning_logs/default/version_*",
    )
    parser.add_argument("run_dirs", nargs="+", type=Path, metavar="RUN_DIR", help="folder that train.py made")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT.csv", help="the file to write")
    options = parser.parse_args(arguments)
    write_csv(options.out, concatenate([learning_curve(run_dir) for run_dir in options.run_dirs]))


def learning_curve(run_dir: Path) -> pd.DataFrame:
    """Return run_dir, epoch, step, train/loss, train/acc, val/loss, val/acc of a run: text, one row per epoch.

    Raises UserError if the run has no metrics.csv or one that lacks a column.
    """
    curve = read_csv(run_dir / "metrics.csv", CURVE)[list(CURVE)]
    curve.insert(0, "run_dir", str(run_dir))
    return curve


if __name__ == "__main__":
    run(main)
