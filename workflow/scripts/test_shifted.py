"""Test trained runs on shifted images: accuracy and loss for every shift."""

from pathlib import Path

from relative_performer.cli import choice, class_label, integer, run, test_parser
from relative_performer.names import AXES

EPILOG = """\
example:
  test_shifted.py --labels 1 --min_shift 8 --output shift.csv lightning_logs/default/version_*
  test_shifted.py --labels 0 1 2 3 --min_shift 4 --axis both --output shift.csv lightning_logs/default/version_0

As published, of the test images of the given classes those are kept that have room for MIN_SHIFT columns on both sides.
They are moved by -MIN_SHIFT (to the left) to +MIN_SHIFT columns, black filling in and nothing cut off. The CSV has a
row per run and shift: run_dir, shift, accuracy_mean, accuracy_std, loss_mean, loss_std, over images. With rows it has
row_shift, too, negative upwards; both axes make every pair of shifts.
"""


def main() -> None:
    parser = test_parser(__doc__, EPILOG)
    parser.add_argument("--labels", type=class_label, nargs="+", default=[1], metavar="L", help="classes (default 1)")
    parser.add_argument("--min_shift", type=integer(1, 15), default=10, metavar="M", help="largest shift (default 10)")
    axes = "{" + ",".join(AXES) + "}"
    axis = choice("axis", tuple(AXES))
    parser.add_argument("--axis", type=axis, default="columns", metavar=axes, help="default columns")
    circular_help = "what leaves on one side comes back on the other; no room is needed, every image is kept"
    parser.add_argument("--circular", action="store_true", help=circular_help)
    parser.add_argument("run_dirs", type=Path, nargs="+", metavar="RUN_DIR", help="folders of trained runs")
    arguments = parser.parse_args()

    import pandas as pd

    from relative_performer.devices import ready
    from relative_performer.evaluation import TrainedRun, shift_test
    from relative_performer.files import write_csv

    shifted = (arguments.labels, arguments.min_shift, arguments.limit_test, arguments.axis, arguments.circular)
    with ready(arguments.accelerator, arguments.threads) as device:
        runs = (TrainedRun(run_dir, arguments.data_path, device) for run_dir in arguments.run_dirs)
        write_csv(arguments.output, pd.concat(shift_test(run, *shifted) for run in runs))


if __name__ == "__main__":
    run(main)
