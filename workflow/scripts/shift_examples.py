"""Write a test image at several shifts as CSV, for the shift figure."""

from pathlib import Path

from relative_performer.cli import ArgumentParser, class_label, run
from relative_performer.data import DATASETS
from relative_performer.data.axes import AXES
from relative_performer.errors import UserError

SHIFTS = (-6, -3, 0, 3, 6)
EPILOG = """\
example:
  shift_examples.py MNIST --min_shift 8 --output examples.csv

The image is the first image of its class in the shift test. CSV columns: shift, row, column, value (0 to 255).
"""


def main() -> None:
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    parser.add_dataset()
    parser.add_argument("--data_path", type=Path, default=Path("data"), help="folder with DATASET.npz (default data)")
    parser.add_argument("--label", type=class_label, default=1, metavar="L", help="class of the image (default 1)")
    parser.add_min_shift(default=8)
    parser.add_axis(("columns", "rows"))
    parser.add_argument("--output", type=Path, required=True, metavar="CSV", help="the file to write")
    arguments = parser.parse_args()

    import pandas as pd
    import torch

    from relative_performer.data.prepared import load
    from relative_performer.data.shifts import shift_images, shiftable
    from relative_performer.files import write_csv

    arrays = load(DATASETS[arguments.dataset], arguments.data_path)
    images, labels = torch.from_numpy(arrays["test_images"]), torch.from_numpy(arrays["test_labels"])
    axis, circular = arguments.axis, arguments.circular
    kept = images[shiftable(images, labels, [arguments.label], arguments.min_shift, () if circular else AXES[axis])]
    if not len(kept):
        what = f"no test image of class {arguments.label} with {arguments.min_shift} free {axis} on both sides"
        raise UserError(f"{arguments.dataset} has {what}; choose another --label or a smaller --min_shift")
    tables = []
    for shift in SHIFTS:
        if abs(shift) <= arguments.min_shift:
            rows, columns = (shift, 0) if axis == "rows" else (0, shift)
            moved = shift_images(kept[:1], rows, columns, circular)[0].float().mean(-1)
            table = pd.DataFrame(moved.numpy()).rename_axis("row").reset_index()
            tables.append(table.melt("row", var_name="column").assign(shift=shift))
    write_csv(arguments.output, pd.concat(tables)[["shift", "row", "column", "value"]])


if __name__ == "__main__":
    run(main)
