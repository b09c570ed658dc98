"""Test trained runs on shifted images: accuracy and loss for every shift by whole columns."""

from pathlib import Path

from relative_performer.cli import class_label, positive_int, run, test_parser

EPILOG = """\
example:
  test_shifted.py --labels 1 --min_shift 8 --output shift.csv lightning_logs/default/version_*

Of the test images of the given classes those are kept that have room for MIN_SHIFT columns on both sides. They are
moved by -MIN_SHIFT (to the left) to +MIN_SHIFT columns, black filling in and nothing cut off. The CSV has a row per run
and shift: run_dir, shift, accuracy_mean, accuracy_std, loss_mean, loss_std, over images.
"""


def main() -> None:
    parser = test_parser(__doc__, EPILOG)
    parser.add_argument("--labels", type=class_label, nargs="+", default=[1], metavar="L", help="classes (default 1)")
    parser.add_argument("--min_shift", type=positive_int, default=10, metavar="M", help="largest shift (default 10)")
    parser.add_argument("run_dirs", type=Path, nargs="+", metavar="RUN_DIR", help="folders of trained runs")
    arguments = parser.parse_args()

    import pandas as pd

    from relative_performer.devices import hold_gpus, pick_device, set_threads
    from relative_performer.evaluation import TrainedRun, shift_test
    from relative_performer.files import write_csv

    set_threads(arguments.threads)
    device = pick_device(arguments.accelerator)
    shifted = (arguments.labels, arguments.min_shift, arguments.limit_test)
    with hold_gpus(device):
        runs = (TrainedRun(run_dir, arguments.data_path, device) for run_dir in arguments.run_dirs)
        write_csv(arguments.output, pd.concat(shift_test(run, *shifted) for run in runs))


if __name__ == "__main__":
    run(main)
