"""Convert a run folder of the authors' code into one that the test commands read."""

from pathlib import Path

from relative_performer.cli import ArgumentParser, run

EPILOG = """\
example:
  import_checkpoint.py their_logs/default/version_3 --out imported/version_3
  test.py --output results.csv imported/version_3

AUTHORS_RUN_DIR contains hparams.yaml and one checkpoint, checkpoints/*.ckpt. Only weights and plain data are read from
the checkpoint. content_rel_attn had no effect in the authors' code, so a run with this option is imported without it.
"""


def main() -> None:
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    parser.add_argument("authors_run_dir", type=Path, metavar="AUTHORS_RUN_DIR", help="run folder of the authors' code")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN_DIR", help="the run folder to create")
    arguments = parser.parse_args()

    from relative_performer.runs.authors import import_run

    for line in import_run(arguments.authors_run_dir, arguments.out):
        print(line)


if __name__ == "__main__":
    run(main)
