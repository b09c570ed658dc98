"""The shift test of a run: accuracy and loss on shifted test images."""

import pandas as pd
import torch
from tqdm import tqdm

from relative_performer.data.axes import AXES
from relative_performer.data.batches import subset
from relative_performer.data.shifts import shift_images, shiftable, shifts
from relative_performer.errors import UserError
from relative_performer.evaluation.trained_run import TrainedRun


def shift_test(
    run: TrainedRun,
    labels: list[int],
    min_shift: int,
    limit: int | None = None,
    axis: str = "columns",
    circular: bool = False,
) -> pd.DataFrame:
    """Return accuracy and loss for every shift along `axis` (columns, rows or both) by up to min_shift, one row each.

    Mean and sample standard deviation are over the test images of the given classes that have room to move that far,
    or the first `limit` of them. Circular shifts need no room. Raises UserError if there are no such images.
    """
    images, targets = subset(run.arrays, "test", None, run.device)
    keep_mask = shiftable(images, targets, labels, min_shift, () if circular else AXES[axis])
    images, targets = images[keep_mask][:limit], targets[keep_mask][:limit]
    if not len(images):
        classes, room = ", ".join(map(str, labels)), "columns and rows" if axis == "both" else axis
        raise UserError(
            f"{run.run_dir}: no {run.dataset.name} test image of class {classes} has {min_shift} free {room} on "
            "both sides; choose a smaller --min_shift or other --labels"
        )
    table = []
    for rows, columns in tqdm([*shifts(min_shift, axis)], desc=run.run_dir.name, unit="shift", disable=None):
        moved = shift_images(images, rows, columns, circular)
        loss, predicted = run.predict(moved, targets, f"shift {rows}, {columns}")
        moments = [f(x).item() for x in ((predicted == targets).double(), loss) for f in (torch.mean, torch.std)]
        table.append([str(run.run_dir), columns, rows, *moments])
    names = ["run_dir", "shift", "row_shift", "accuracy_mean", "accuracy_std", "loss_mean", "loss_std"]
    results = pd.DataFrame(table, columns=names)
    return results.drop(columns="row_shift") if axis == "columns" else results
