"""A prepared dataset on the device, and its batches by index. B: images, h, w: height and width, c: channels."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

Normalisation = Sequence[Sequence[float]]  # mean and standard deviation by channel


def model_input(images: Tensor, normalisation: Normalisation | None, embedding_type: str | None) -> Tensor:
    """Turn uint8 images (B, h, w, c) into the input of the model.

    The lookup embedding takes uint8 images. The other embeddings, and the baselines (None), take images that are scaled
    to 0..1 and, if there is a normalisation, standardised.
    """
    if embedding_type == "lookup":
        return images
    scaled = images / 255
    if normalisation is not None:
        mean, std = (torch.tensor(values, device=images.device) for values in normalisation)
        scaled = (scaled - mean) / std
    return scaled


def subset(
    arrays: Mapping[str, np.ndarray], split: str, limit: int | None, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the first `limit` images (uint8) and labels of `split` (train, val or test), or all, on `device`."""
    images, labels = arrays[f"{split}_images"][:limit], arrays[f"{split}_labels"][:limit]
    return torch.from_numpy(images).to(device), torch.from_numpy(labels).to(device)


class Batches:
    """Yields (images, labels, number of own images, size) for every part of one epoch; shuffled if there is a seed.

    A batch is divided among `processes`, and within a process into `parts`, which follow each other. Each part takes
    every (parts · processes)-th image of the batch, and `size` is the number of images in the batch. All processes have
    to take every step, so a part without images gets one image that does not count as its own. A last batch with fewer
    than `least` images for each part is left out. Iteration skips the first `done` parts, which count in the length.
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
