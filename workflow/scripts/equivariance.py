"""Measure how far a model is from translational equivariance, separately for each cause."""

from pathlib import Path

from relative_performer.cli import run, test_parser

EPILOG = """\
example:
  equivariance.py --output equivariance.csv lightning_logs/default/version_0

Test images of all classes with room for MIN_SHIFT columns on both sides (the first 64, or --limit_test) are shifted by
-MIN_SHIFT to +MIN_SHIFT columns. The CSV has one row per variant of the model and shift. consistency is the fraction of
images whose predicted class stays the same. change_mean and change_max are the mean and maximum change of the logits
over images, in units of the spread of the unshifted logits. The variants, of which a model has those that apply to it:
  as trained             as test_shifted.py tests it
  stabiliser per image   --key_stabilizer head: an image's logits depend on no other image
  class token nowhere    also --class_position none
  circular shifts        also --circular, for models with this option, which removes the image border; pixels that leave
                         the image enter on the other side, and the shifts go once around the image
  exact softmax          as the first three, and --no_projection: only positions and the image border remain
  redrawn                as the first three, with new random features, 1 to 16 times as many, three draws each; only
                         the two largest shifts
A circular shift by at most MIN_SHIFT columns moves these images like any other shift. Further ones part the content.
"""


def main() -> None:
    parser = test_parser(__doc__, EPILOG)
    parser.add_min_shift(default=8)
    parser.add_argument("--random_weights", action="store_true", help="measure newly initialised weights instead")
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="run folder created by train.py")
    arguments = parser.parse_args()

    from relative_performer.evaluation.equivariance import equivariance
    from relative_performer.evaluation.trained_run import TrainedRun
    from relative_performer.files import write_csv
    from relative_performer.training.devices import ready

    with ready(arguments.accelerator, arguments.threads) as device:
        trained = TrainedRun(arguments.run_dir, arguments.data_path, device)
        count = arguments.limit_test or 64
        write_csv(arguments.output, equivariance(trained, arguments.min_shift, count, arguments.random_weights))


if __name__ == "__main__":
    run(main)
