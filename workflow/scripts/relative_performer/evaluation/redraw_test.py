"""The test of a run with newly drawn random features: what a redraw does to its loss."""

from typing import Any

import pandas as pd
import torch
from tqdm import tqdm

from relative_performer.data.batches import subset
from relative_performer.evaluation.trained_run import TrainedRun

DRAWS = 3


def redraw_test(run: TrainedRun, limit: int | None = None) -> pd.DataFrame:
    """Return run_dir, draw, accuracy_mean and loss_mean, over the test images or the first `limit` of them.

    Draw 0 has the random features of the checkpoint, and draws 1 to DRAWS have new ones. They change nothing in a model
    without random features.
    """
    images, labels = subset(run.arrays, "test", limit, run.device)
    attentions: list[Any] = [module for module in run.model.modules() if hasattr(module, "redraw")]
    rows = []
    for draw in tqdm(range(DRAWS + 1), desc=run.run_dir.name, unit="draw", disable=None):
        torch.manual_seed(draw)
        for attention in attentions * (draw > 0):
            attention.redraw()
        loss, predicted = run.predict(images, labels, f"draw {draw}")
        rows.append([str(run.run_dir), draw, (predicted == labels).double().mean().item(), loss.mean().item()])
    return pd.DataFrame(rows, columns=["run_dir", "draw", "accuracy_mean", "loss_mean"])
