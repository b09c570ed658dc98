"""Tabulate what a configuration has so far, and mark what is missing, still running or stale; runs nothing."""

import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

import make_tables
from relative_performer import progress, runs
from relative_performer.cli import ArgumentParser, UserError, run
from relative_performer.files import write_csv
from relative_performer.frames import read_csv
from relative_performer.grid import expand, read_configs
from relative_performer.provenance import changes

EPILOG = """\
example:
  preview.py config.yaml

Writes results/NAME/preview/model_evaluations.csv, with a row for every run of the configuration and its `state`, and
accuracy.{csv,md,tex} over the runs that are finished and tested. A run is stale when its options, its data or a file of
the code that trained it have changed since; the state says which. Everything is read from the files in results/NAME.
"""


def main() -> None:
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    parser.add_argument("configs", nargs="+", type=Path, metavar="CONFIG", help="configuration; later ones override")
    config = read_configs(parser.parse_args().configs)
    results, data = Path("results", config["name"]), Path(config["data"]["path"])
    checksum = cache(lambda dataset: _checksum(data / f"{dataset}.npz"))
    rows = [row_of(results, *name, options, checksum) for name, options in expand(config).items()]
    if not any(row.get("test/acc") for row in rows):
        raise UserError(f"{results}: none of {len(rows)} runs has been tested yet")
    out = results / "preview"
    write_csv(out / "model_evaluations.csv", pd.DataFrame(rows))
    make_tables.main([str(out / "model_evaluations.csv"), "--out", str(out)])
    print((out / "accuracy.md").read_text())


def row_of(results: Path, experiment: str, name: str, options: Mapping[str, Any], checksum: Any) -> Mapping[Any, Any]:
    """Return a run's evaluation with its state, or its options alone if it has none."""
    run_dir, evaluation = results / "runs" / experiment / name, results / "evaluations" / experiment / f"{name}.csv"
    described = progress.describe(run_dir, time.time())
    state = described["state"]
    if state == "finished" and evaluation.exists():
        (row,) = read_csv(evaluation, {"run_dir": str}).to_dict("records")
        found = changes(run_dir, options, checksum(options["dataset"]))
        return {**row, "state": f"stale ({', '.join(found)})" if found else "finished"}
    state = {"finished": "untested", "failed": f"failed ({described.get('failure')})"}.get(state, state)
    return {"experiment": experiment, **options, "run_dir": str(run_dir), "state": state}


def _checksum(file: Path) -> str | None:
    return runs.checksum(file) if file.exists() else None


if __name__ == "__main__":
    run(main)
