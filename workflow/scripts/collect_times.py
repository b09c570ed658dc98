"""Collect the times and other costs of the training of runs in one CSV."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from relative_performer.cli import ArgumentParser, run
from relative_performer.errors import UserError
from relative_performer.files import write_csv
from relative_performer.runs.folders import read_hparams, read_summary

HPARAMS = ("accelerator", "devices", "threads")
SUMMARY = ("epochs", "images_seen", "seconds", "core_seconds", "machine", "peak_bytes", "flop")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Write what the training of every run cost: run_dir, accelerator, devices, threads, epochs,\n"
        "images_seen, seconds, core_seconds, machine, peak_bytes, flop. `seconds` is the time of all epochs,\n"
        "validation included, over all attempts. `core_seconds` is the CPU time of the process meanwhile. `machine`\n"
        "is the GPU or the processor, and `peak_bytes` the largest memory of the GPU or of the process, both in the\n"
        "last attempt. `flop` is the counted work of all training and validation images. A run that an earlier\n"
        "version trained lacks the last three. Unlike the numbers in other CSV files, all but flop depend on the\n"
        "machine.",
        epilog="example:\n  collect_times.py --out results/paper/training_times.csv results/paper/runs/*/*",
    )
    parser.add_argument("run_dirs", nargs="+", type=Path, metavar="RUN_DIR", help="run folder created by train.py")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT.csv", help="the file to write")
    options = parser.parse_args(arguments)
    write_csv(options.out, pd.DataFrame([training_time(run_dir) for run_dir in options.run_dirs]))


def training_time(run_dir: Path) -> dict[str, object]:
    """Return the row of a run. Raises UserError if the run has not finished."""
    summary = read_summary(run_dir)
    if not summary:
        raise UserError(f"{run_dir}: this run has not finished, it has no summary.json")
    hparams = read_hparams(run_dir)
    return {
        "run_dir": str(run_dir),
        **{name: hparams.get(name) for name in HPARAMS},
        **{name: summary.get(name) for name in SUMMARY},
    }


if __name__ == "__main__":
    run(main)
