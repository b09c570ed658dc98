"""The progress of a training while it runs: progress.json."""

import json
import math
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from relative_performer.files import write_atomically
from relative_performer.runs.progress import INTERVAL
from relative_performer.training.metrics import MetricsTable


class Progress(Callback):
    """Writes counts and times to progress.json, at most every INTERVAL seconds, without synchronising the GPU."""

    def __init__(self, path: Path, table: MetricsTable, hparams: Mapping[str, Any]) -> None:
        self.path, self.table, self.hparams = path, table, hparams
        self.written = -math.inf
        self.images = 0
        self.images_per_second: float | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Start the clock, and write the first progress."""
        self.started, self.images, self.train_images = time.monotonic(), 0, len(pl_module.train_labels)
        self._write(trainer)

    on_train_epoch_start = on_train_start

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Count the images."""
        self.images += batch[-1] / trainer.accumulate_grad_batches
        self.images_per_second = self.images / (time.monotonic() - self.started)
        self._write(trainer)

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Write the progress, since a validation can take long."""
        self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        now = time.monotonic()
        if not trainer.is_global_zero or now - self.written < INTERVAL:
            return
        self.written = now
        content = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "time": time.time(),
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "images_per_second": self.images_per_second,
            "epoch_seconds": self._epoch_seconds(),
            "elapsed": now - self.started,
            **self._epochs(trainer),
        }
        write_atomically(self.path, json.dumps(content, indent=1).encode() + b"\n")

    def _epoch_seconds(self) -> float | None:
        """Return the mean duration of the finished epochs or, in the first one, an estimate from its images so far."""
        if self.table.rows:
            return self.table.seconds / len(self.table.rows)
        return self.train_images / self.images_per_second if self.images_per_second else None

    def _epochs(self, trainer: pl.Trainer) -> dict[str, int]:
        """Return the largest number of epochs, and the number if no further epoch is better than the best so far."""
        steps = self.hparams["max_steps"] or math.inf
        steps_per_epoch = trainer.num_training_batches // trainer.accumulate_grad_batches
        most = int(min(self.hparams["max_epochs"], -(-steps // steps_per_epoch)))
        best = self.table.best_epoch() if self.table.rows else 0
        patience = self.hparams["patience"]
        return {"least_epochs": min(most, best + patience + 1) if patience else most, "most_epochs": most}
