"""The learning curve of a training: metrics.csv."""

import csv
import io
import sys
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from relative_performer.files import write_atomically

COLUMNS = ("epoch", "step", "train/loss", "train/acc", "val/loss", "val/acc")


class MetricsTable(Callback):
    """Writes metrics.csv, one row per epoch, and counts images and seconds. Its state is part of the checkpoints."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []
        self.images_seen = 0
        self.seconds = 0.0
        self.started: float | None = None  # None between epochs

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        seconds = self.seconds + (0 if self.started is None else time.monotonic() - self.started)
        return {"rows": self.rows, "images_seen": self.images_seen, "seconds": seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.rows, self.images_seen, self.seconds = (state_dict[key] for key in ("rows", "images_seen", "seconds"))

    def best_epoch(self) -> int:
        """Return the first epoch with the highest val/acc."""
        return int(max(self.rows, key=lambda row: row["val/acc"])["epoch"])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock; a resumed run may start within an epoch."""
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
            if not sys.stdout.isatty():  # a log file gets a line per epoch instead of the progress bar
                values = "  ".join(f"{name} {value:.4f}" for name, value in sorted(metrics.items()))
                print(f"epoch {trainer.current_epoch}  {values}  {self.seconds:.0f} s", flush=True)
