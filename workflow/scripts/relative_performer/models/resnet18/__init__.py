"""ResNet18: a baseline of the paper, torchvision's residual network."""

from collections.abc import Mapping
from typing import Any

from relative_performer.models.declaration import Model


def check(options: Mapping[str, Any]) -> None:
    """Raise ValueError for batches of one image, which has no variance to normalise by."""
    batch_size = options.get("batch_size", 2)
    if batch_size < 2 * options.get("devices", 1):
        raise ValueError(f"batch_size {batch_size} leaves ResNet18's batch normalisation fewer than two images")


MODEL = Model(
    package=__name__,
    name="ResNet18",
    order=6,
    network="model:ResNet18",
    check=check,
    baseline=True,
    largest_image=(32, 32),
    color="#56B4E9",
    linestyle=(0, (1, 3)),
    marker="d",
    published={"learning_rate": "0.0002", "batch_size": "32", "test_checkpoint": "last"},
)
