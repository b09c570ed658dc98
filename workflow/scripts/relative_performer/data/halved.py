"""Datasets at half their side. N: images, h, w: height and width, c: channels."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from relative_performer.data.dataset import Dataset, Split


def halved(dataset: Dataset, order: int) -> Dataset:
    """Return the entry of `dataset` at half its side, with the position `order` in lists."""

    def read(folder: Path) -> dict[str, Split]:
        return {split: (halve(images), labels) for split, (images, labels) in dataset.read(folder).items()}

    height, width = dataset.height // 2, dataset.width // 2
    return replace(
        dataset, name=f"{dataset.name}{width}", order=order, height=height, width=width, read=read, half_of=dataset
    )


def halve(images: np.ndarray) -> np.ndarray:
    """Return images (N, h, w, c) uint8 at half their side (N, h/2, w/2, c): every pixel is the mean of 2×2 pixels."""
    count, height, width, channels = images.shape
    blocks = images.reshape(count, height // 2, 2, width // 2, 2, channels)
    # in float32, the mean of four bytes is exact
    return np.rint(blocks.mean(axis=(2, 4), dtype=np.float32)).astype(np.uint8)
