"""Collect the provenance of runs: options, data, checkpoint, code and packages."""

import json
from collections.abc import Sequence
from pathlib import Path

from relative_performer.cli import ArgumentParser, run
from relative_performer.errors import UserError
from relative_performer.files import write_atomically
from relative_performer.runs.provenance import provenance


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Write a JSON file with one entry per run: run_dir, hparams (with the SHA-256 of the data),\n"
        "summary, checkpoint and its SHA-256, and every training attempt with its host, its packages and the SHA-256\n"
        "of every source file that computed its numbers.",
        epilog="example:\n  collect_provenance.py --out results/paper/provenance.json results/paper/runs/*/*",
    )
    parser.add_argument("run_dirs", nargs="+", type=Path, metavar="RUN_DIR", help="run folder created by train.py")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT.json", help="the file to write")
    options = parser.parse_args(arguments)
    try:
        text = json.dumps([provenance(run_dir) for run_dir in options.run_dirs], indent=1)
        write_atomically(options.out, text.encode() + b"\n")
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}") from None


if __name__ == "__main__":
    run(main)
