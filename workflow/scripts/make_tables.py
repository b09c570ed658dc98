"""Tabulate the accuracy of every configuration over its seeds: tidy CSV, Markdown and LaTeX."""

from collections.abc import Sequence
from pathlib import Path

from relative_performer.cli import ArgumentParser, run
from relative_performer.results.accuracy import write_accuracies


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Write accuracy.csv (fractions), accuracy.md and accuracy.tex (percent; needs booktabs), with\n"
        "one table per experiment: the test accuracy of every model and embedding on every dataset as mean ± standard\n"
        "deviation and bootstrap 95 % interval over seeds. Options that vary within an experiment become columns. The\n"
        "best accuracy of each dataset is bold.",
        epilog="example:\n  make_tables.py results/paper/model_evaluations.csv --out results/paper/tables",
    )
    parser.add_argument("evaluations", type=Path, metavar="EVALUATIONS.csv", help="one row per run")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the three files")
    options = parser.parse_args(arguments)
    write_accuracies(options.evaluations, options.out)


if __name__ == "__main__":
    run(main)
