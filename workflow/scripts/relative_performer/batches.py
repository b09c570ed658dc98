"""A prepared dataset on the device, and its batches by index. B: images, n: side, c: channels."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from relative_performer.data import NORMALISATION


def model_input(images: Tensor, dataset: str, embedding_type: str | None) -> Tensor:
    """Turn uint8 images (B, n, n, c) into what the model reads.

    The lookup embedding reads them as they are, the others and the baselines (None) scaled to 0..1 and, for some
    datasets, standardised.
    """
    if embedding_type == "lookup":
        return images
    scaled = images / 255
    if dataset in NORMALISATION:
        mean, std = (torch.tensor(x, device=images.device) for x in NORMALISATION[dataset])
        scaled = (scaled - mean) / std
    return scaled


def subset(
    arrays: Mapping[str, np.ndarray], split: str, limit: int | None, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the images (uint8) and labels of `split` (train, val or test), the first `limit` of them, on `device`."""
    images, labels = arrays[f"{split}_images"][:limit], arrays[f"{split}_labels"][:limit]
    return torch.from_numpy(images).to(device), torch.from_numpy(labels).to(device)


class Batches:
    """Images, labels, number of own images and size of every batch of one epoch; shuffled if there is a seed.

    A batch passes in `parts`, one after the other, in each of several processes: each part of each process takes every
    (parts · processes)-th image, while the size counts the images of all. Where a batch has none for a part, it gets
    one that does not count as its own, since all have to take every step. A last batch with fewer than `least` images
    for each part is left out. Iteration starts after the first `done` parts; they count in the length.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        batch_size: int,
        seed: int | None = None,
        process: int = 0,
        processes: int = 1,
        parts: int = 1,
        least: int = 0,
        done: int = 0,
    ) -> None:
        self.images, self.labels = images, labels
        order = torch.arange(len(images))
        if seed is not None:
            order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
        batches = order.to(images.device).split(batch_size)
        self.batches = [batch for batch in batches if len(batch) >= least * parts * processes]
        self.done = done
        self.starts, self.stride = range(process * parts, (process + 1) * parts), processes * parts

    def __len__(self) -> int:
        return len(self.batches) * len(self.starts)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, int, int]]:
        for number in range(self.done, len(self)):
            batch, start = self.batches[number // len(self.starts)], self.starts[number % len(self.starts)]
            index = batch[min(start, len(batch) - 1) :: self.stride]
            own = len(range(start, len(batch), self.stride))
            yield self.images[index], self.labels[index], own, len(batch)
