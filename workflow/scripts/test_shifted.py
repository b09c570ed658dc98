"""Test trained runs on shifted images: accuracy and loss for every shift."""

from pathlib import Path

from relative_performer.cli import class_label, run, test_parser
from relative_performer.data.axes import AXES

EPILOG = """\
example:
  test_shifted.py --labels 1 --min_shift 8 --output shift.csv lightning_logs/default/version_*
  test_shifted.py --labels 0 1 2 3 --min_shift 4 --axis both --output shift.csv lightning_logs/default/version_0

MIN_SHIFT is the largest shift; the name is from the paper's code. As published, the test uses the test images of the
given classes that have room for MIN_SHIFT columns on both sides. They are shifted by -MIN_SHIFT (left) to +MIN_SHIFT
(right) columns. The vacated columns become black, and nothing is cut off. The CSV has one row per run and shift with
run_dir, shift, accuracy_mean, accuracy_std, loss_mean and loss_std. Means and standard deviations are over images. With
--axis rows or both there is also a column row_shift (negative: upwards). With --axis both there is one row per run and
pair of shifts. With --circular there is also a column circular.
"""


def main() -> None:
    parser = test_parser(__doc__, EPILOG)
    parser.add_argument("--labels", type=class_label, nargs="+", default=[1], metavar="L", help="classes (default 1)")
    parser.add_min_shift(default=10)
    parser.add_axis(tuple(AXES))
    text = "in run_dir, name the run that an exported model comes from, instead of its own folder"
    parser.add_argument("--original_run_dir", action="store_true", help=text)
    parser.add_argument("run_dirs", type=Path, nargs="+", metavar="RUN_DIR", help="folders of trained runs")
    arguments = parser.parse_args()

    import pandas as pd

    from relative_performer.evaluation.shift_test import shift_test
    from relative_performer.evaluation.trained_run import TrainedRun
    from relative_performer.files import write_csv
    from relative_performer.training.devices import ready

    shifted = (arguments.labels, arguments.min_shift, arguments.limit_test, arguments.axis, arguments.circular)
    with ready(arguments.accelerator, arguments.threads) as device:
        tables = []
        for run_dir in arguments.run_dirs:
            trained = TrainedRun(run_dir, arguments.data_path, device)
            table = shift_test(trained, *shifted)
            original = trained.hparams.get("exported_from", str(run_dir))
            tables.append(table.assign(run_dir=original) if arguments.original_run_dir else table)
        results = pd.concat(tables)
        write_csv(arguments.output, results.assign(circular=True) if arguments.circular else results)


if __name__ == "__main__":
    run(main)
