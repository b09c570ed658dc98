"""The training loop: seed, model, early stopping on val/acc, best and last checkpoint."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.plugins.io import CheckpointIO

from relative_performer.models import build_model, find_model
from relative_performer.runs import folders
from relative_performer.training.classifier import Classifier
from relative_performer.training.metrics import MetricsTable

if TYPE_CHECKING:
    from relative_performer.training.interruption import Interruption


def fit(
    run_dir: Path,
    resume: bool,
    hparams: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    table: MetricsTable,
    interruption: "Interruption",
    callbacks: Sequence[Callback],
    checkpoint_files: CheckpointIO,
) -> tuple[dict[str, Any], bool]:
    """Train a run to its end and return its summary, and whether this is the first process of the training.

    resume: whether to continue from the state of an interrupted run. callbacks: additional callbacks.
    """
    torch.manual_seed(hparams["seed"])
    own = {option.name: hparams[option.name] for option in find_model(hparams["model"]).options}
    channels = arrays["train_images"].shape[-1]
    model = build_model(hparams["model"], in_features=channels, num_classes=hparams["num_classes"], **own)
    classifier = Classifier(model, hparams, arrays, interruption)
    # the best checkpoint is only tested, so it needs no Adam moments, which are twice as large as the weights
    best = _checkpoint(
        run_dir / folders.BEST, monitor="val/acc", mode="max", save_on_train_epoch_end=False, save_weights_only=True
    )
    state = _checkpoint(run_dir / folders.RESUME, save_on_train_epoch_end=True)
    patience = hparams["patience"]
    stopping = [EarlyStopping("val/acc", mode="max", patience=patience)] if patience else []
    trainer = pl.Trainer(
        accelerator=hparams["accelerator"],
        devices=hparams["devices"],
        precision=hparams["precision"],
        deterministic=hparams["deterministic"],
        accumulate_grad_batches=hparams["accumulate_grad_batches"],
        max_epochs=hparams["max_epochs"],
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        callbacks=[table, *callbacks, interruption, *stopping, best, state],
        logger=TensorBoardLogger(run_dir.parent.parent, run_dir.parent.name, run_dir.name),
        log_every_n_steps=1,
        enable_model_summary=False,
        enable_progress_bar=sys.stdout.isatty(),
        # LightningEnvironment: under SLURM, Lightning would otherwise requeue jobs in addition to Snakemake
        plugins=[LightningEnvironment(), checkpoint_files],
    )
    trainer.fit(classifier, ckpt_path=run_dir / folders.RESUME if resume else None, weights_only=True)
    summary = {
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "train_images": len(classifier.train_labels),
        "images_seen": table.images_seen,
        "seconds": round(table.seconds, 3),
        "core_seconds": round(table.core_seconds, 3),
        "best_epoch": table.best_epoch(),
    }
    return summary, trainer.is_global_zero


def _checkpoint(path: Path, **options: Any) -> ModelCheckpoint:
    return ModelCheckpoint(path.parent, path.stem, save_top_k=1, enable_version_counter=False, **options)
