"""Convert a run folder of the paper's authors' code for the test commands."""

from pathlib import Path

from relative_performer.cli import ArgumentParser, run

EPILOG = """\
example:
  import_checkpoint.py their_logs/default/version_3 --out imported/version_3
  test.py --output results.csv imported/version_3

AUTHORS_RUN_DIR holds hparams.yaml and one checkpoint, checkpoints/*.ckpt, which is read as weights and plain data only.
Their content_rel_attn had no effect: a run with it is imported as the model that ran, without it.
"""


def main() -> None:
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    parser.add_argument("authors_run_dir", type=Path, metavar="AUTHORS_RUN_DIR", help="their run folder")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN_DIR", help="the run folder to make")
    arguments = parser.parse_args()

    from relative_performer.runs.authors import import_run

    for line in import_run(arguments.authors_run_dir, arguments.out):
        print(line)


if __name__ == "__main__":
    run(main)
