"""Write the attention over relative positions that a trained run has learnt, computed from its weights."""

from pathlib import Path

from relative_performer.cli import ArgumentParser, run
from relative_performer.options import integer

EPILOG = """\
example:
  relative_attention.py --output attention.csv lightning_logs/default/version_0

CSV columns: run_dir, layer, head, row, column, weight. Each row of the CSV is a pixel in the square around the query's
pixel. Its weight is the attention to it divided by an equal share (1: as much as without positions).
models/MODEL/attention_map.py computes the attention from the weights of the model.
"""


def main() -> None:
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="folder of a trained run")
    parser.add_argument("--radius", type=integer(1, 31), default=12, metavar="R", help="pixels each way (default 12)")
    parser.add_argument("--output", type=Path, required=True, metavar="CSV", help="the file to write")
    arguments = parser.parse_args()

    from relative_performer.evaluation.attention_maps import attention_maps
    from relative_performer.files import write_csv
    from relative_performer.runs.load import load_run

    _, model = load_run(arguments.run_dir)
    table = attention_maps(model, arguments.radius)
    table.insert(0, "run_dir", str(arguments.run_dir))
    write_csv(arguments.output, table)


if __name__ == "__main__":
    run(main)
