"""Test trained runs with newly drawn random features: accuracy and loss before and after a redraw."""

from pathlib import Path

from relative_performer.cli import run, test_parser

EPILOG = """\
example:
  test_redrawn.py --output redrawn.csv lightning_logs/default/version_*

The CSV has one row per run and draw with run_dir, draw, accuracy_mean and loss_mean. Draw 0 has the random features
with which the run was trained last, and draws 1 to 3 have new ones. They change nothing in a model without random
features.
"""


def main() -> None:
    parser = test_parser(__doc__, EPILOG)
    parser.add_argument("run_dirs", type=Path, nargs="+", metavar="RUN_DIR", help="folders of trained runs")
    arguments = parser.parse_args()

    import pandas as pd

    from relative_performer.evaluation.redraw_test import redraw_test
    from relative_performer.evaluation.trained_run import TrainedRun
    from relative_performer.files import write_csv
    from relative_performer.training.devices import ready

    with ready(arguments.accelerator, arguments.threads) as device:
        runs = (TrainedRun(run_dir, arguments.data_path, device) for run_dir in arguments.run_dirs)
        write_csv(arguments.output, pd.concat(redraw_test(run, arguments.limit_test) for run in runs))


if __name__ == "__main__":
    run(main)
