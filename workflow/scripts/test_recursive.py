"""Test every run in or below the given folders, as test.py does for one run."""

import sys
from pathlib import Path

from relative_performer.cli import run, test_parser
from relative_performer.errors import UserError

EPILOG = """\
example:
  test_recursive.py --output results.csv lightning_logs

The CSV has a row for each run. A run that cannot be tested, for example because it is still in its first epoch, is
reported on stderr with the reason. The other runs are tested, and the exit code is 2.
"""


def main() -> None:
    parser = test_parser(__doc__, EPILOG)
    parser.add_argument("folders", type=Path, nargs="+", metavar="RUN_DIRS", help="folders to search for runs")
    arguments = parser.parse_args()

    import pandas as pd

    from relative_performer.evaluation.test import evaluate
    from relative_performer.evaluation.trained_run import TrainedRun
    from relative_performer.files import write_csv
    from relative_performer.runs.folders import find_runs
    from relative_performer.training.devices import ready

    found = [run_dir for folder in arguments.folders for run_dir in find_runs(folder)]
    if not found:
        raise UserError(f"no run at or below {', '.join(map(str, arguments.folders))}")
    rows = []
    with ready(arguments.accelerator, arguments.threads) as device:
        for number, run_dir in enumerate(found, 1):
            print(f"{number} of {len(found)}: {run_dir}", file=sys.stderr)
            try:
                trained = TrainedRun(run_dir, arguments.data_path, device)
                rows.append(evaluate(trained, arguments.limit_test)[0])
            except UserError as error:
                print(f"test_recursive.py: not tested: {error}", file=sys.stderr)
    if rows:
        write_csv(arguments.output, pd.DataFrame(rows))
    if len(rows) < len(found):
        raise UserError(f"{len(found) - len(rows)} of {len(found)} runs were not tested, see above")


if __name__ == "__main__":
    run(main)
