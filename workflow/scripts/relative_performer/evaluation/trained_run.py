"""A trained run, ready to be tested. B: images, h, w: height and width, c: channels."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from relative_performer.data import DATASETS
from relative_performer.data.batches import model_input
from relative_performer.data.prepared import load
from relative_performer.errors import UserError
from relative_performer.files import checksum
from relative_performer.runs.load import load_run


class TrainedRun:
    """The trained model of a run folder or an exported folder, with the weights to test, and its dataset."""

    def __init__(self, run_dir: Path, data_path: Path | None, device: torch.device) -> None:
        self.run_dir = run_dir
        self.device = device
        self.hparams, model = load_run(run_dir)
        self.model = model.to(device).eval()
        self.dataset = DATASETS[self.hparams["dataset"]]
        data_path = data_path or Path(self.hparams["data_path"])
        self.arrays = load(self.dataset, data_path)
        file = data_path / f"{self.dataset.name}.npz"
        if self.hparams.get("data_sha256", data := checksum(file)) != data:
            raise UserError(f"{file} is not what {run_dir} was trained on; give its --data_path, or train it again")
        self.data_sha256 = data

    def predict(self, images: Tensor, labels: Tensor, what: str) -> tuple[Tensor, Tensor]:
        """Return each image's loss and predicted class, both (B,)."""
        logits = self.logits(images, what)
        return cross_entropy(logits, labels, reduction="none").double(), logits.argmax(-1)

    def logits(self, images: Tensor, what: str) -> Tensor:
        """Return the logits (B, classes) of uint8 images (B, h, w, c), in batches of the run's batch size.

        With the published key stabiliser the logits depend on the batch.
        """
        batches = tqdm(
            images.split(self.hparams["batch_size"]),
            desc=f"{self.run_dir.name} {what}",
            unit="batch",
            leave=False,
            disable=None,
        )
        normalisation, embedding = self.hparams["normalisation"], self.hparams.get("embedding_type")
        with torch.inference_mode():
            return torch.cat([self.model(model_input(batch, normalisation, embedding)) for batch in batches])
