"""The Lightning module of a training: loss, optimizer, learning rate, batches."""

import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from relative_performer.data.batches import Batches, model_input, subset

if TYPE_CHECKING:
    from relative_performer.training.interruption import Interruption

CHECK_INTERVAL = 50  # steps between two checks of the loss; a check synchronises the GPU


class Classifier(pl.LightningModule):
    """A model with its loss, optimizer, schedule and data, all on the device."""

    def __init__(
        self,
        model: nn.Module,
        hparams: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
        interruption: "Interruption",
    ) -> None:
        super().__init__()
        self.interruption = interruption
        self.run = dict(hparams)
        self.arrays = arrays
        self.model = model
        if hparams["compile"]:
            self.model.forward = torch.compile(self.model.forward)  # type: ignore[method-assign]

    def setup(self, stage: str) -> None:
        """Put the images (uint8) and labels on the device."""
        device = self.trainer.strategy.root_device
        self.train_images, self.train_labels = subset(self.arrays, "train", self.run["limit_train"], device)
        self.val_images, self.val_labels = subset(self.arrays, "val", self.run["limit_val"], device)

    def train_dataloader(self) -> Batches:
        """Return the batches of this epoch, in an order that depends only on the seed and the epoch."""
        # a single image has no variance to normalise by
        least = 2 if any(isinstance(module, nn.BatchNorm2d) for module in self.modules()) else 0
        seed, parts = self._epoch_seed(), self.run["accumulate_grad_batches"]
        done = self.interruption.position.get("train", 0)
        return self._batches(self.train_images, self.train_labels, seed=seed, parts=parts, least=least, done=done)

    def val_dataloader(self) -> Batches:
        """Return the validation images in order."""
        return self._batches(self.val_images, self.val_labels, done=self.interruption.position.get("val", 0))

    def _batches(self, images: Tensor, labels: Tensor, **options: Any) -> Batches:
        share = {"process": self.global_rank, "processes": self.trainer.world_size}
        return Batches(images, labels, self.run["batch_size"], **share, **options)

    def _epoch_seed(self) -> int:
        return self.run["seed"] * 2**32 + self.current_epoch + 1

    def on_train_start(self) -> None:
        """Stop at once if early stopping or max_steps had already ended the resumed run."""
        self.checked = self.global_step
        stopping = self.trainer.early_stopping_callback
        stopped = stopping and stopping.wait_count >= stopping.patience
        if stopped or self.global_step == self.run["max_steps"]:
            self.trainer.should_stop = True

    def on_train_epoch_start(self) -> None:
        """Seed dropout and random features by epoch, so that a resumed run continues as if never interrupted."""
        torch.manual_seed(self._epoch_seed())
        # each GPU has its own dropout; the random features are drawn on the CPU, alike in all processes
        torch.cuda.manual_seed(self._epoch_seed() + (self.global_rank << 24))
        self.sums = {split: torch.zeros(3, device=self.device) for split in ("train", "val")}

    def training_step(self, batch: tuple[Tensor, Tensor, int, int]) -> Tensor:
        """Return the loss, scaled so that its mean over parts and processes is the mean over a batch's images."""
        *_, own, size = batch
        return self._loss(batch, "train") * (own * self.run["accumulate_grad_batches"] * self.trainer.world_size / size)

    def validation_step(self, batch: tuple[Tensor, Tensor, int, int], batch_idx: int) -> None:
        """Count loss and accuracy of a batch."""
        self.interruption.stop_in_validation(self.trainer, self, batch_idx)
        self._loss(batch, "val")

    def _loss(self, batch: tuple[Tensor, Tensor, int, int], split: str) -> Tensor:
        images, labels, own, _ = batch
        logits = self.model(model_input(images, self.run["normalisation"], self.run.get("embedding_type"))).float()
        loss = cross_entropy(logits, labels)
        right = (logits.argmax(-1) == labels).float().mean()
        # summed on the device: a log call per batch takes as long as a small model's forward pass
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
        """Raise FloatingPointError if a loss since the last check is not finite. Synchronises the GPU."""
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

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raise UserError for weights that do not fit the model."""
        self.interruption.check_weights(self, checkpoint["state_dict"])

    def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
        """Clip the norm of the gradients.

        Lightning's own clipping refuses fused Adam in bf16-mixed, although the gradients are not scaled there.
        """
        if self.run["gradient_clip_norm"]:
            nn.utils.clip_grad_norm_(self.parameters(), self.run["gradient_clip_norm"])

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return Adam, and a learning rate that follows `schedule` and `warmup`."""
        betas = (0.9, self.run["beta2"])
        optimizer = torch.optim.Adam(self.parameters(), lr=self.run["learning_rate"], betas=betas, fused=True)
        factor = partial(learning_rate_factor, self.run["schedule"], self.run["warmup"])
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def learning_rate_factor(schedule: str, warmup: int, step: int) -> float:
    """Return the learning rate at `step` over its peak: linear warmup, then constant or (noam) ∝ 1/√step."""
    if not warmup:
        return 1.0
    if step < warmup:
        return step / warmup
    return (step / warmup) ** -0.5 if schedule == "noam" else 1.0
