"""Test trained runs on shifted images: accuracy and loss for every shift."""

from pathlib import Path

from relative_performer.cli import class_label, run, test_parser
from relative_performer.data.axes import AXES
from relative_performer.options import choice

EPILOG = """\
example:
  test_shifted.py --labels 1 --min_shift 8 --output shift.csv lightning_logs/default/version_*
  test_shifted.py --labels 0 1 2 3 --min_shift 4 --axis both --output shift.csv lightning_logs/default/version_0

MIN_SHIFT is the largest shift; the name is from the paper's code. As published, the test uses the test images of the
given classes that have room for MIN_SHIFT columns on both sides. They are shifted by -MIN_SHIFT (left) to +MIN_SHIFT
(right) columns. The vacated columns become black, and nothing is cut off. The CSV has one row per run and shift with
run_dir, shift, accuracy_mean, accuracy_std, loss_mean and loss_std. Means and standard deviations are over images. With
--axis rows or both there is also a column row_shift (negative: upwards). With --axis both there is one row per run and
pair of shifts.
"""


def main() -> None:
    parser = test_parser(__doc__, EPILOG)
    parser.add_argument("--labels", type=class_label, nargs="+", default=[1], metavar="L", help="classes (default 1)")
    parser.add_min_shift(default=10)
    axes = "{" + ",".join(AXES) + "}"
    axis = choice("axis", tuple(AXES))
    parser.add_argument("--axis", type=axis, default="columns", metavar=axes, help="default columns")
    circular_help = "shift circularly: pixels that leave on one side enter on the other, and no image needs room"
    parser.add_argument("--circular", action="store_true", help=circular_help)
    parser.add_argument("run_dirs", type=Path, nargs="+", metavar="RUN_DIR", help="folders of trained runs")
    arguments = parser.parse_args()

    import pandas as pd

    from relative_performer.evaluation.shift_test import shift_test
    from relative_performer.evaluation.trained_run import TrainedRun
    from relative_performer.files import write_csv
    from relative_performer.training.devices import ready

    shifted = (arguments.labels, arguments.min_shift, arguments.limit_test, arguments.axis, arguments.circular)
    with ready(arguments.accelerator, arguments.threads) as device:
        runs = (TrainedRun(run_dir, arguments.data_path, device) for run_dir in arguments.run_dirs)
        write_csv(arguments.output, pd.concat(shift_test(run, *shifted) for run in runs))


if __name__ == "__main__":
    run(main)
