"""Images moved by whole columns. B: images, n: side, c: channels."""

from collections.abc import Sequence

import torch
from torch import Tensor


def shiftable(images: Tensor, labels: Tensor, classes: Sequence[int], min_shift: int) -> Tensor:
    """Which images (B, n, n, c) the shift test keeps: those of `classes` with room for `min_shift` both ways, (B,)."""
    return torch.isin(labels, torch.tensor(classes, device=labels.device)) & (free_columns(images) >= min_shift)


def free_columns(images: Tensor) -> Tensor:
    """How far each image (B, n, n, c) can be moved both ways: the lesser of the free columns left and right, less 1.

    The published filter takes 1 off; an image without any non-black pixel cannot be moved (−1).
    """
    used = (images > 0).any(3).any(1).int()  # (B, columns)
    return torch.minimum(used.argmax(1), used.flip(1).argmax(1)) - 1


def shift_columns(images: Tensor, shift: int) -> Tensor:
    """Move images (B, n, n, c) by `shift` columns, to the left if negative; black fills in."""
    moved = torch.zeros_like(images)
    if shift >= 0:
        moved[:, :, shift:] = images[:, :, : images.shape[2] - shift]
    else:
        moved[:, :, :shift] = images[:, :, -shift:]
    return moved
