"""Training with Lightning: Adam, clipping of gradients, early stopping on val/acc, best and last checkpoint."""

import csv
import io
import logging
import os
import sys
import time
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.nn.functional import cross_entropy

from relative_performer import runs
from relative_performer.batches import Batches, model_input, subset
from relative_performer.data import CHANNELS
from relative_performer.files import write_atomically
from relative_performer.models import build_model
from relative_performer.options import MODEL_OPTIONS

COLUMNS = ("epoch", "step", "train/loss", "train/acc", "val/loss", "val/acc")


def train(run_dir: Path, resume: bool, hparams: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Train a run to its end, or on from its last whole epoch, and return its summary.

    hparams: every option of the run. arrays: the prepared dataset.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    torch.manual_seed(hparams["seed"])
    classifier = Classifier(hparams, arrays)
    table = MetricsTable(run_dir / runs.METRICS)
    # only tested, so without Adam's moments, which are twice the weights
    best = _checkpoint(
        run_dir / runs.BEST, monitor="val/acc", mode="max", save_on_train_epoch_end=False, save_weights_only=True
    )
    state = _checkpoint(run_dir / runs.RESUME, save_on_train_epoch_end=True)
    patience = hparams["patience"]
    stopping = [EarlyStopping("val/acc", mode="max", patience=patience)] if patience else []
    trainer = _trainer(run_dir, hparams, [table, *stopping, best, state])
    os.environ[runs.JOIN] = str(run_dir)
    try:
        trainer.fit(classifier, ckpt_path=run_dir / runs.RESUME if resume else None, weights_only=True)
    finally:
        del os.environ[runs.JOIN]
    summary = {
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "train_images": len(classifier.train_labels),
        "images_seen": table.images_seen,
        "seconds": round(table.seconds, 3),
        "best_epoch": table.best_epoch(),
    }
    if trainer.is_global_zero:
        runs.finish_run(run_dir, summary)
    return summary


def _checkpoint(path: Path, **options: Any) -> ModelCheckpoint:
    return ModelCheckpoint(path.parent, path.stem, save_top_k=1, enable_version_counter=False, **options)


def _trainer(run_dir: Path, hparams: Mapping[str, Any], callbacks: list[Callback]) -> pl.Trainer:
    return pl.Trainer(
        accelerator=hparams["accelerator"],
        devices=hparams["devices"],
        precision=hparams["precision"],
        max_epochs=hparams["max_epochs"],
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        callbacks=callbacks,
        logger=TensorBoardLogger(run_dir.parent.parent, run_dir.parent.name, run_dir.name),
        log_every_n_steps=1,
        enable_model_summary=False,
        enable_progress_bar=sys.stdout.isatty(),
        # under SLURM Lightning would requeue jobs by itself, beside Snakemake
        plugins=[LightningEnvironment()],
    )


class Classifier(pl.LightningModule):
    """A model with its loss, optimizer, schedule and data, all on the device."""

    def __init__(self, hparams: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self.run = dict(hparams)
        self.arrays = arrays
        own = {option.name: hparams[option.name] for option in MODEL_OPTIONS if option.name in hparams}
        self.model = build_model(hparams["model"], in_features=CHANNELS[hparams["dataset"]], **own)

    def setup(self, stage: str) -> None:
        """Put the images (uint8) and labels on the device."""
        device = self.trainer.strategy.root_device
        self.train_images, self.train_labels = subset(self.arrays, "train", self.run["limit_train"], device)
        self.val_images, self.val_labels = subset(self.arrays, "val", self.run["limit_val"], device)

    def train_dataloader(self) -> Batches:
        """The batches of this epoch, in an order that only the seed and the epoch decide."""
        # one image has no variance to normalise by
        least = 2 if any(isinstance(module, torch.nn.BatchNorm2d) for module in self.modules()) else 1
        return self._batches(self.train_images, self.train_labels, self._epoch_seed(), least)

    def val_dataloader(self) -> Batches:
        """The validation images in order."""
        return self._batches(self.val_images, self.val_labels, None)

    def _batches(self, images: Tensor, labels: Tensor, seed: int | None, least: int = 1) -> Batches:
        processes = self.trainer.world_size
        return Batches(images, labels, self.run["batch_size"], seed, self.global_rank, processes, least)

    def _epoch_seed(self) -> int:
        return self.run["seed"] * 2**32 + self.current_epoch + 1

    def on_train_start(self) -> None:
        """Stop at once when a run is resumed that early stopping had already ended."""
        stopping = self.trainer.early_stopping_callback
        if stopping and stopping.wait_count >= stopping.patience:
            self.trainer.should_stop = True

    def on_train_epoch_start(self) -> None:
        """Seed dropout and random features by epoch, so that a resumed run goes on as if never interrupted."""
        torch.manual_seed(self._epoch_seed())
        self.sums = {split: torch.zeros(3, device=self.device) for split in ("train", "val")}

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Return the mean loss of a batch."""
        return self._loss(batch, "train")

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        """Count loss and accuracy of a batch."""
        self._loss(batch, "val")

    def _loss(self, batch: tuple[Tensor, Tensor], split: str) -> Tensor:
        images, labels = batch
        logits = self.model(model_input(images, self.run["dataset"], self.run.get("embedding_type"))).float()
        loss = cross_entropy(logits, labels)
        right = (logits.argmax(-1) == labels).float().mean()
        # summed on the device: a log call per batch costs as much as a small model's forward pass
        self.sums[split] += len(labels) * torch.stack([loss.detach(), right, torch.ones_like(right)])
        return loss

    def on_validation_epoch_end(self) -> None:
        """Log loss and accuracy of the epoch, over all images of all processes."""
        for split, sums in self.sums.items():
            loss, right, count = self.trainer.strategy.reduce(sums, reduce_op="sum")
            self.log_dict({f"{split}/loss": loss / count, f"{split}/acc": right / count}, prog_bar=True)

    def on_train_batch_end(self, *_: Any) -> None:
        """End the epoch, and with it the run, after max_steps."""
        if self.global_step == self.run["max_steps"]:
            self.trainer.should_stop = True

    def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
        """Clip the gradients' norm; Lightning's own refuses a fused Adam in bf16, which needs no unscaling."""
        if self.run["max_norm"]:
            torch.nn.utils.clip_grad_norm_(self.parameters(), self.run["max_norm"])

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Adam, and a learning rate that follows `schedule` and `warmup`."""
        betas = (0.9, self.run["beta2"])
        optimizer = torch.optim.Adam(self.parameters(), lr=self.run["learning_rate"], betas=betas, fused=True)
        factor = partial(learning_rate_factor, self.run["schedule"], self.run["warmup"])
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def learning_rate_factor(schedule: str, warmup: int, step: int) -> float:
    """The learning rate of `step` over its peak: linear for `warmup` steps, then constant or (noam) ∝ 1/√step."""
    if not warmup:
        return 1.0
    if step < warmup:
        return step / warmup
    return (step / warmup) ** -0.5 if schedule == "noam" else 1.0


class MetricsTable(Callback):
    """Writes metrics.csv, one row per epoch, and counts images and seconds. All of it survives an interruption."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []
        self.images_seen = 0
        self.seconds = 0.0

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"rows": self.rows, "images_seen": self.images_seen, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what a checkpoint kept."""
        self.rows, self.images_seen, self.seconds = (state_dict[key] for key in ("rows", "images_seen", "seconds"))

    def best_epoch(self) -> int:
        """The first epoch with the highest val/acc."""
        return int(max(self.rows, key=lambda row: row["val/acc"])["epoch"])

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self.started = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Count the images."""
        self.images_seen += len(batch[1]) * trainer.world_size

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the epoch's row."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.rows.append({"epoch": trainer.current_epoch, "step": trainer.global_step} | metrics)
        self.seconds += time.monotonic() - self.started
        if trainer.is_global_zero:
            text = io.StringIO()
            writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
            write_atomically(self.path, text.getvalue().encode())
            if not sys.stdout.isatty():  # a log file gets a line per epoch in place of the progress bar
                values = "  ".join(f"{name} {value:.4f}" for name, value in sorted(metrics.items()))
                print(f"epoch {trainer.current_epoch}  {values}  {self.seconds:.0f} s", flush=True)
