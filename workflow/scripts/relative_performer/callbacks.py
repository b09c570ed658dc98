"""What is kept and said of a training while it goes on."""

import csv
import io
import json
import math
import os
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from relative_performer.files import write_atomically
from relative_performer.progress import INTERVAL

COLUMNS = ("epoch", "step", "train/loss", "train/acc", "val/loss", "val/acc")


class MetricsTable(Callback):
    """Writes metrics.csv, one row per epoch, and counts images and seconds. All of it survives an interruption."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []
        self.images_seen = 0
        self.seconds = 0.0
        self.started: float | None = None  # none between epochs

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        seconds = self.seconds + (0 if self.started is None else time.monotonic() - self.started)
        return {"rows": self.rows, "images_seen": self.images_seen, "seconds": seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what a checkpoint kept."""
        self.rows, self.images_seen, self.seconds = (state_dict[key] for key in ("rows", "images_seen", "seconds"))

    def best_epoch(self) -> int:
        """The first epoch with the highest val/acc."""
        return int(max(self.rows, key=lambda row: row["val/acc"])["epoch"])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock, within an epoch too."""
        self.started = time.monotonic()

    on_train_epoch_start = on_train_start

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Count the images."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            self.images_seen += batch[-1]

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the epoch's row."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.rows.append({"epoch": trainer.current_epoch, "step": trainer.global_step} | metrics)
        assert self.started is not None
        self.seconds += time.monotonic() - self.started
        self.started = None
        if trainer.is_global_zero:
            text = io.StringIO()
            writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
            write_atomically(self.path, text.getvalue().encode())
            if not sys.stdout.isatty():  # a log file gets a line per epoch in place of the progress bar
                values = "  ".join(f"{name} {value:.4f}" for name, value in sorted(metrics.items()))
                print(f"epoch {trainer.current_epoch}  {values}  {self.seconds:.0f} s", flush=True)


class Progress(Callback):
    """Writes progress.json every INTERVAL seconds at most: counts and times, for which the device need not be asked."""

    def __init__(self, path: Path, table: MetricsTable, hparams: Mapping[str, Any]) -> None:
        self.path, self.table, self.hparams = path, table, hparams
        self.written = -math.inf
        self.images = 0
        self.images_per_second: float | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Start the clock, within an epoch too; a sign of life."""
        self.started, self.images, self.train_images = time.monotonic(), 0, len(pl_module.train_labels)
        self._write(trainer)

    on_train_epoch_start = on_train_start

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Count the images."""
        self.images += batch[-1] / trainer.accumulate_grad_batches
        self.images_per_second = self.images / (time.monotonic() - self.started)
        self._write(trainer)

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Give a sign of life."""
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
        """What an epoch takes: as long as those before, or in the first one what its training images take."""
        if self.table.rows:
            return self.table.seconds / len(self.table.rows)
        return self.train_images / self.images_per_second if self.images_per_second else None

    def _epochs(self, trainer: pl.Trainer) -> dict[str, int]:
        """How many epochs there can be, and how many there are if no later one is better than the best so far."""
        steps = self.hparams["max_steps"] or math.inf
        of_epoch = trainer.num_training_batches // trainer.accumulate_grad_batches
        most = int(min(self.hparams["max_epochs"], -(-steps // of_epoch)))
        best = self.table.best_epoch() if self.table.rows else 0
        patience = self.hparams["patience"]
        return {"least_epochs": min(most, best + patience + 1) if patience else most, "most_epochs": most}
