"""The learning curve of a training: metrics.csv."""

import csv
import io
import math
import sys
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from relative_performer.files import write_atomically

COLUMNS = ("epoch", "step", "train/loss", "train/acc", "val/loss", "val/acc")


class MetricsTable(Callback):
    """Writes metrics.csv, one row per epoch, and counts images and seconds. Its state is part of the checkpoints.

    seconds: of the clock. core_seconds: CPU time of this process over all its threads, which other jobs on the machine
    hardly change; NaN for a run that an earlier version began.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []
        self.images_seen = 0
        self.seconds = self.core_seconds = 0.0
        self.started: tuple[float, float] | None = None  # None between epochs

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        seconds, core_seconds = self._times()
        state = {"rows": self.rows, "images_seen": self.images_seen}
        return state | {"seconds": seconds, "core_seconds": core_seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.rows, self.images_seen, self.seconds = (state_dict[key] for key in ("rows", "images_seen", "seconds"))
        self.core_seconds = state_dict.get("core_seconds", math.nan)

    def best_epoch(self) -> int:
        """Return the first epoch with the highest val/acc."""
        return int(max(self.rows, key=lambda row: row["val/acc"])["epoch"])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock; a resumed run may start within an epoch."""
        self.started = time.monotonic(), time.process_time()

    on_train_epoch_start = on_train_start

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Count the images."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            self.images_seen += batch[-1]

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the epoch's row."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.rows.append({"epoch": trainer.current_epoch, "step": trainer.global_step} | metrics)
        self.seconds, self.core_seconds = self._times()
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

    def _times(self) -> tuple[float, float]:
        """Return seconds and core_seconds up to now."""
        if self.started is None:
            return self.seconds, self.core_seconds
        clock, cpu = self.started
        return self.seconds + time.monotonic() - clock, self.core_seconds + time.process_time() - cpu
