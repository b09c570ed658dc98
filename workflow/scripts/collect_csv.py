"""Concatenate the CSV files of single runs."""

from collections.abc import Sequence
from pathlib import Path

from relative_performer.cli import ArgumentParser, run
from relative_performer.files import write_csv
from relative_performer.results.collect import concatenate
from relative_performer.results.read import read_csv


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Concatenate CSV files of one kind (evaluations, shift tests or confusion matrices).\n"
        "The output has the columns of all files, in order of first appearance. Cells are empty where a file lacks\n"
        "the column. Two rows with the same run_dir, shift, epoch, label and prediction are an error.",
        epilog="example:\n  collect_csv.py --out results/paper/model_evaluations.csv results/paper/*/evaluation.csv",
    )
    parser.add_argument("csvs", nargs="+", type=Path, metavar="IN.csv", help="file with a column run_dir")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT.csv", help="the file to write")
    options = parser.parse_args(arguments)
    write_csv(options.out, concatenate([read_csv(path, {"run_dir": str}) for path in options.csvs]))


if __name__ == "__main__":
    run(main)
