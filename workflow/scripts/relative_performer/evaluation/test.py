"""The test of a run: loss and accuracy on the validation and the test split, and the confusion matrix."""

import hashlib
from typing import Any

import pandas as pd
import torch

from relative_performer.config.options import OPTIONS
from relative_performer.data.batches import subset
from relative_performer.evaluation.trained_run import TrainedRun
from relative_performer.runs.folders import read_summary
from relative_performer.runs.weights import former_name

# as in the authors' table
PUBLISHED_COLUMNS = [
    *("experiment", "model", "dataset", "embedding_type", "dim", "depth", "heads", "pos_scales", "clipping_dist"),
    *("content_rel_attn", "feature_redraw_interval", "learning_rate", "schedule", "warmup", "batch_size"),
    *("val/loss", "val/acc", "test/loss", "test/acc", "n_parameters"),
]


def evaluate(run: TrainedRun, limit: int | None = None) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return a run's row of the evaluations, and the confusion matrix of its test split.

    The row has the run's options, and loss and accuracy over all images of a split, or its first `limit`. The matrix
    has a row per label and prediction: run_dir, label, prediction, images.
    """
    row: dict[str, Any] = {"experiment": run.run_dir.resolve().parent.name} | run.hparams
    for split in ("val", "test"):
        images, labels = subset(run.arrays, split, limit, run.device)
        loss, predicted = run.predict(images, labels, split)
        row |= {
            f"{split}/loss": loss.mean().item(),
            f"{split}/acc": (predicted == labels).double().mean().item(),
            f"{split}_images": len(labels),
        }
    row |= read_summary(run.run_dir)
    row |= {"n_parameters": sum(p.numel() for p in run.model.parameters()), "run_dir": str(run.run_dir)}
    row |= {"data_sha256": run.data_sha256, "weights_sha256": weights_checksum(run.model)}
    own = [name for name in OPTIONS if name not in PUBLISHED_COLUMNS]
    counts = ["train_images", "val_images", "test_images", "epochs", "images_seen"]
    checksums = ["data_sha256", "weights_sha256"]
    row = {name: row.get(name) for name in [*PUBLISHED_COLUMNS, *own, *counts, *checksums, "run_dir"]}
    classes = run.hparams["num_classes"]
    counts_of = torch.bincount(labels * classes + predicted, minlength=classes**2)
    places = pd.MultiIndex.from_product([range(classes)] * 2, names=["label", "prediction"])
    confusion = pd.DataFrame({"images": counts_of.cpu()}, places).reset_index()
    confusion.insert(0, "run_dir", str(run.run_dir))
    return row, confusion


def weights_checksum(model: torch.nn.Module) -> str:
    """Return the SHA-256 of a model's weights and buffers, which depends on nothing else, unlike a checkpoint's."""
    digest = hashlib.sha256()
    for name, value in sorted((former_name(name), value) for name, value in model.state_dict().items()):
        digest.update(name.encode() + value.cpu().numpy().tobytes())
    return digest.hexdigest()
