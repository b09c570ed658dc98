"""Training of a run in its folder, from the start or from where it was interrupted."""

import logging
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from relative_performer.runs import folders
from relative_performer.training.costs import costs, work_per_image
from relative_performer.training.devices import end_with_parent
from relative_performer.training.interruption import CheckpointFiles, Interruption
from relative_performer.training.loop import fit
from relative_performer.training.metrics import MetricsTable
from relative_performer.training.progress import Progress


def train(run_dir: Path, resume: bool, hparams: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Train a run to its end, from the start or from the state of an interrupted run, and return its summary.

    hparams: every option of the run. arrays: the prepared dataset.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")
    interruption = Interruption(run_dir / folders.RESUME)
    table = MetricsTable(run_dir / folders.METRICS)
    progress = Progress(run_dir / folders.PROGRESS, table, hparams)
    work = work_per_image(hparams, arrays, run_dir)
    if folders.JOIN in os.environ:
        end_with_parent()
    os.environ[folders.JOIN] = str(run_dir)
    try:
        checkpoint_files = CheckpointFiles(folders.options(hparams))
        summary, is_first = fit(run_dir, resume, hparams, arrays, table, interruption, [progress], checkpoint_files)
    finally:
        del os.environ[folders.JOIN]
    summary |= costs(work, summary, hparams, arrays)
    if is_first:
        folders.finish_run(run_dir, summary)
    return summary
