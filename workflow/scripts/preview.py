"""Tabulate the accuracies of a configuration so far, and mark runs that are missing, running or stale."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from relative_performer.cli import ArgumentParser, run
from relative_performer.config.grid import expand
from relative_performer.config.validate import read_configs
from relative_performer.errors import UserError
from relative_performer.files import checksum_if_there, write_csv
from relative_performer.results.accuracy import write_accuracies
from relative_performer.results.read import read_csv
from relative_performer.runs.folders import find_results
from relative_performer.runs.progress import describe
from relative_performer.runs.provenance import changes

EPILOG = """\
example:
  preview.py config.yaml

Writes results/NAME/preview/model_evaluations.csv, with a row for every run of the configuration and its `state`, and
accuracy.{csv,md,tex} over the runs that are finished and tested. A run is stale if its options, its data or the code
that computes its numbers have changed since its training; its state names the change. Nothing is run: everything is
read from the files in results/NAME.
"""


def main() -> None:
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    parser.add_argument("configs", nargs="+", type=Path, metavar="CONFIG", help="configuration; later files override")
    configs = parser.parse_args().configs
    config = read_configs(configs)
    results = find_results(config["name"], configs[0])
    data = results.parents[1] / config["data"]["path"]
    rows = [row_of(results, *name, options, data) for name, options in expand(config).items()]
    if not any(row.get("test/acc") for row in rows):
        raise UserError(f"{results}: none of {len(rows)} runs has been tested yet")
    out = results / "preview"
    write_csv(out / "model_evaluations.csv", pd.DataFrame(rows))
    write_accuracies(out / "model_evaluations.csv", out)
    print((out / "accuracy.md").read_text(encoding="utf-8"))


def row_of(results: Path, experiment: str, name: str, options: Mapping[str, Any], data: Path) -> Mapping[Any, Any]:
    """Return a run's evaluation and state, or its options and state if it has not been evaluated."""
    run_dir, evaluation = results / "runs" / experiment / name, results / "evaluations" / experiment / f"{name}.csv"
    described = describe(run_dir, time.time())
    state = described["state"]
    if state == "finished" and evaluation.exists():
        (row,) = read_csv(evaluation, {"run_dir": str}).to_dict("records")
        found = changes(run_dir, options, checksum_if_there(data / f"{options['dataset']}.npz"))
        return {**row, "state": f"stale ({', '.join(found)})" if found else "finished"}
    state = {"finished": "untested", "failed": f"failed ({described.get('failure')})"}.get(state, state)
    return {"experiment": experiment, **options, "run_dir": str(run_dir), "state": state}


if __name__ == "__main__":
    run(main)
