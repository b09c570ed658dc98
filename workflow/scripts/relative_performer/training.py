"""Training with Lightning: Adam, clipping of gradients, early stopping on val/acc, best and last checkpoint."""

import logging
import math
import os
import sys
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
from relative_performer.callbacks import MetricsTable, Progress
from relative_performer.checkpoints import load_weights
from relative_performer.data import CHANNELS
from relative_performer.devices import end_with_parent
from relative_performer.faults import CheckpointFiles, Interruption, refusing_state
from relative_performer.models import build_model
from relative_performer.options import MODEL_OPTIONS

CHECK_INTERVAL = 50  # steps between two looks at the loss, for which a GPU has to wait


def train(run_dir: Path, resume: bool, hparams: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Train a run to its end, or on from the state that an interrupted one left, and return its summary.

    hparams: every option of the run. arrays: the prepared dataset.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")
    torch.manual_seed(hparams["seed"])
    interruption = Interruption(run_dir / runs.RESUME)
    classifier = Classifier(hparams, arrays, interruption)
    table = MetricsTable(run_dir / runs.METRICS)
    # only tested, so without Adam's moments, which are twice the weights
    best = _checkpoint(
        run_dir / runs.BEST, monitor="val/acc", mode="max", save_on_train_epoch_end=False, save_weights_only=True
    )
    state = _checkpoint(run_dir / runs.RESUME, save_on_train_epoch_end=True)
    patience = hparams["patience"]
    stopping = [EarlyStopping("val/acc", mode="max", patience=patience)] if patience else []
    progress = Progress(run_dir / runs.PROGRESS, table, hparams)
    trainer = _trainer(run_dir, hparams, [table, progress, interruption, *stopping, best, state])
    if runs.JOIN in os.environ:
        end_with_parent()
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
        accumulate_grad_batches=hparams["accumulate"],
        max_epochs=hparams["max_epochs"],
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        callbacks=callbacks,
        logger=TensorBoardLogger(run_dir.parent.parent, run_dir.parent.name, run_dir.name),
        log_every_n_steps=1,
        enable_model_summary=False,
        enable_progress_bar=sys.stdout.isatty(),
        # under SLURM Lightning would requeue jobs by itself, beside Snakemake
        plugins=[LightningEnvironment(), CheckpointFiles(runs.options(hparams))],
    )


class Classifier(pl.LightningModule):
    """A model with its loss, optimizer, schedule and data, all on the device."""

    def __init__(
        self, hparams: Mapping[str, Any], arrays: Mapping[str, np.ndarray], interruption: Interruption
    ) -> None:
        super().__init__()
        self.interruption = interruption
        self.run = dict(hparams)
        self.arrays = arrays
        own = {option.name: hparams[option.name] for option in MODEL_OPTIONS if option.name in hparams}
        self.model = build_model(hparams["model"], in_features=CHANNELS[hparams["dataset"]], **own)
        if hparams["compile"]:
            self.model.compile()

    def setup(self, stage: str) -> None:
        """Put the images (uint8) and labels on the device."""
        device = self.trainer.strategy.root_device
        self.train_images, self.train_labels = subset(self.arrays, "train", self.run["limit_train"], device)
        self.val_images, self.val_labels = subset(self.arrays, "val", self.run["limit_val"], device)

    def train_dataloader(self) -> Batches:
        """The batches of this epoch, in an order that only the seed and the epoch decide."""
        # one image has no variance to normalise by
        least = 2 if any(isinstance(module, torch.nn.BatchNorm2d) for module in self.modules()) else 0
        seed, parts, done = self._epoch_seed(), self.run["accumulate"], self.interruption.position.get("train", 0)
        return self._batches(self.train_images, self.train_labels, seed=seed, parts=parts, least=least, done=done)

    def val_dataloader(self) -> Batches:
        """The validation images in order."""
        return self._batches(self.val_images, self.val_labels, done=self.interruption.position.get("val", 0))

    def _batches(self, images: Tensor, labels: Tensor, **options: Any) -> Batches:
        share = {"process": self.global_rank, "processes": self.trainer.world_size}
        return Batches(images, labels, self.run["batch_size"], **share, **options)

    def _epoch_seed(self) -> int:
        return self.run["seed"] * 2**32 + self.current_epoch + 1

    def on_train_start(self) -> None:
        """Stop at once when a run is resumed that early stopping or max_steps had already ended."""
        self.checked = self.global_step
        stopping = self.trainer.early_stopping_callback
        stopped = stopping and stopping.wait_count >= stopping.patience
        if stopped or self.global_step == self.run["max_steps"]:
            self.trainer.should_stop = True

    def on_train_epoch_start(self) -> None:
        """Seed dropout and random features by epoch, so that a resumed run goes on as if never interrupted."""
        torch.manual_seed(self._epoch_seed())
        # every GPU has dropout of its own; the random features are drawn on the CPU, alike in all processes
        torch.cuda.manual_seed(self._epoch_seed() + (self.global_rank << 24))
        self.sums = {split: torch.zeros(3, device=self.device) for split in ("train", "val")}

    def training_step(self, batch: tuple[Tensor, Tensor, int, int]) -> Tensor:
        """Return the loss whose mean over parts and processes is the mean over a batch's images."""
        *_, own, size = batch
        return self._loss(batch, "train") * (own * self.run["accumulate"] * self.trainer.world_size / size)

    def validation_step(self, batch: tuple[Tensor, Tensor, int, int], batch_idx: int) -> None:
        """Count loss and accuracy of a batch."""
        self.interruption.before_validation_batch(self.trainer, self, batch_idx)
        self._loss(batch, "val")

    def _loss(self, batch: tuple[Tensor, Tensor, int, int], split: str) -> Tensor:
        images, labels, own, _ = batch
        logits = self.model(model_input(images, self.run["dataset"], self.run.get("embedding_type"))).float()
        loss = cross_entropy(logits, labels)
        right = (logits.argmax(-1) == labels).float().mean()
        # summed on the device: a log call per batch costs as much as a small model's forward pass
        self.sums[split] += own * torch.stack([loss.detach(), right, torch.ones_like(right)])
        return loss

    def on_validation_epoch_end(self) -> None:
        """Log loss and accuracy of the epoch, over all images of all processes."""
        self.check_losses()
        for split, sums in self.sums.items():
            loss, right, count = self.trainer.strategy.reduce(sums, reduce_op="sum")
            self.log_dict({f"{split}/loss": loss / count, f"{split}/acc": right / count}, prog_bar=True)

    def on_train_batch_end(self, *_: Any) -> None:
        """End the epoch, and with it the run, after max_steps."""
        if self.global_step == self.run["max_steps"]:
            self.trainer.should_stop = True
        if self.global_step - self.checked >= CHECK_INTERVAL:
            self.check_losses()

    def check_losses(self) -> None:
        """Raise FloatingPointError if a loss since the last check is not finite. It makes the device wait."""
        train, val = (self.sums[split][0].item() for split in ("train", "val"))
        if not math.isfinite(train + val):
            steps = f"steps {self.checked + 1} to {self.global_step}"
            where = f"validation after step {self.global_step}" if math.isfinite(train) else steps
            rate = self.trainer.optimizers[0].param_groups[0]["lr"]
            loss = val if math.isfinite(train) else train
            raise FloatingPointError(
                f"the loss became {loss} in epoch {self.current_epoch}, {where}, at a learning rate of {rate:g}"
            )
        self.checked = self.global_step

    @refusing_state()
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse weights that do not fit."""
        load_weights(self, checkpoint["state_dict"], self.interruption.path)

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
