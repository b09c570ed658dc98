"""Test a trained run: loss and accuracy on the validation and the test split."""

from pathlib import Path

from relative_performer.cli import run, test_parser

EPILOG = """\
example:
  test.py --output results.csv --confusion confusion.csv lightning_logs/default/version_0

The CSV has one row: the run's options, val/loss, val/acc, test/loss and test/acc over every image, n_parameters and
run_dir. The weights are those of the epoch with the highest val/acc, or of the last epoch if the run has the option
`test_checkpoint last`. The confusion matrix counts the test images of each label (row) and prediction.
"""


def main() -> None:
    parser = test_parser(__doc__, EPILOG)
    parser.add_argument("--confusion", type=Path, metavar="CSV", help="file for the confusion matrix")
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="run folder created by train.py")
    arguments = parser.parse_args()

    import pandas as pd

    from relative_performer.evaluation.test import evaluate
    from relative_performer.evaluation.trained_run import TrainedRun
    from relative_performer.files import write_csv
    from relative_performer.training.devices import ready

    with ready(arguments.accelerator, arguments.threads) as device:
        trained = TrainedRun(arguments.run_dir, arguments.data_path, device)
        row, confusion = evaluate(trained, arguments.limit_test)
    if arguments.confusion:
        write_csv(arguments.confusion, confusion)
    write_csv(arguments.output, pd.DataFrame([row]))


if __name__ == "__main__":
    run(main)
