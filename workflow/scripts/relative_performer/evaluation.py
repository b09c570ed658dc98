"""Testing a trained run: loss and accuracy of every image, and the shift test. B: images, n: side, c: channels."""

import hashlib
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from relative_performer import runs
from relative_performer.batches import model_input, subset
from relative_performer.checkpoints import load_run
from relative_performer.cli import UserError
from relative_performer.data import load
from relative_performer.names import AXES, CLASSES
from relative_performer.options import MODEL_OPTIONS, TRAINING_OPTIONS
from relative_performer.shifts import shift_images, shiftable, shifts

PUBLISHED_COLUMNS = [
    *("experiment", "model", "dataset", "embedding_type", "dim", "depth", "heads", "pos_scales", "clipping_dist"),
    *("content_rel_attn", "feature_redraw_interval", "learning_rate", "schedule", "warmup", "batch_size"),
    *("val/loss", "val/acc", "test/loss", "test/acc", "n_parameters"),
]


class TrainedRun:
    """A run folder's model with the weights of its tested epoch, ready to test, and its dataset."""

    def __init__(self, run_dir: Path, data_path: Path | None, device: torch.device) -> None:
        self.run_dir = run_dir
        self.device = device
        self.hparams, model = load_run(run_dir)
        self.model = model.to(device).eval()
        data_path = data_path or Path(self.hparams["data_path"])
        self.arrays = load(self.hparams["dataset"], data_path)
        file = data_path / f"{self.hparams['dataset']}.npz"
        if self.hparams.get("data_sha256", data := runs.checksum(file)) != data:
            raise UserError(f"{file} is not what {run_dir} was trained on; give its --data_path, or train it again")
        self.data_sha256 = data

    def predict(self, images: Tensor, labels: Tensor, what: str) -> tuple[Tensor, Tensor]:
        """Return each image's loss and predicted class, both (B,)."""
        logits = self.logits(images, what)
        return cross_entropy(logits, labels, reduction="none").double(), logits.argmax(-1)

    def logits(self, images: Tensor, what: str) -> Tensor:
        """Return the logits (B, classes) of uint8 images (B, n, n, c), in the run's own batch size.

        With the published key stabiliser the batch matters; the last may be smaller.
        """
        batches = tqdm(
            images.split(self.hparams["batch_size"]),
            desc=f"{self.run_dir.name} {what}",
            unit="batch",
            leave=False,
            disable=None,
        )
        dataset, embedding = self.hparams["dataset"], self.hparams.get("embedding_type")
        with torch.inference_mode():
            return torch.cat([self.model(model_input(batch, dataset, embedding)) for batch in batches])


def evaluate(run: TrainedRun, limit: int | None = None) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return a run's row of the evaluations, and the confusion matrix of its test split.

    The row has the run's options, loss and accuracy over all (or `limit`) images of a split; the matrix a row per
    label and prediction: run_dir, label, prediction, images.
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
    row |= runs.read_summary(run.run_dir)
    row |= {"n_parameters": sum(p.numel() for p in run.model.parameters()), "run_dir": str(run.run_dir)}
    row |= {"data_sha256": run.data_sha256, "weights_sha256": weights_checksum(run.model)}
    own = [option.name for option in MODEL_OPTIONS + TRAINING_OPTIONS if option.name not in PUBLISHED_COLUMNS]
    counts = ["train_images", "val_images", "test_images", "epochs", "images_seen"]
    checksums = ["data_sha256", "weights_sha256"]
    row = {name: row.get(name) for name in [*PUBLISHED_COLUMNS, *own, *counts, *checksums, "run_dir"]}
    classes = len(CLASSES[run.hparams["dataset"]])
    counts_of = torch.bincount(labels * classes + predicted, minlength=classes**2)
    places = pd.MultiIndex.from_product([range(classes)] * 2, names=["label", "prediction"])
    confusion = pd.DataFrame({"images": counts_of.cpu()}, places).reset_index()
    confusion.insert(0, "run_dir", str(run.run_dir))
    return row, confusion


def weights_checksum(model: torch.nn.Module) -> str:
    """The SHA-256 of a model's weights and buffers; unlike that of its checkpoint, the same wherever they were made."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.cpu().numpy().tobytes())
    return digest.hexdigest()


def shift_test(
    run: TrainedRun,
    labels: list[int],
    min_shift: int,
    limit: int | None = None,
    axis: str = "columns",
    circular: bool = False,
) -> pd.DataFrame:
    """Return accuracy and loss for every shift along `axis` (columns, rows or both) by up to min_shift, one row each.

    Mean and sample standard deviation are over the test images of the given classes with room to move that far;
    circular shifts need no room. Raises UserError if there are none.
    """
    images, targets = subset(run.arrays, "test", None, run.device)
    kept = shiftable(images, targets, labels, min_shift, () if circular else AXES[axis])
    images, targets = images[kept][:limit], targets[kept][:limit]
    if not len(images):
        classes, room = ", ".join(map(str, labels)), "columns and rows" if axis == "both" else axis
        raise UserError(
            f"{run.run_dir}: no {run.hparams['dataset']} test image of class {classes} has {min_shift} free {room} on "
            "both sides; choose a smaller --min_shift or other --labels"
        )
    table = []
    for rows, columns in tqdm([*shifts(min_shift, axis)], desc=run.run_dir.name, unit="shift", disable=None):
        moved = shift_images(images, rows, columns, circular)
        loss, predicted = run.predict(moved, targets, f"shift {rows}, {columns}")
        moments = [f(x).item() for x in ((predicted == targets).double(), loss) for f in (torch.mean, torch.std)]
        table.append([str(run.run_dir), columns, rows, *moments])
    names = ["run_dir", "shift", "row_shift", "accuracy_mean", "accuracy_std", "loss_mean", "loss_std"]
    results = pd.DataFrame(table, columns=names)
    return results.drop(columns="row_shift") if axis == "columns" else results
