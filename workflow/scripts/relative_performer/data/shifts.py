"""Images moved by whole rows and columns. B: images, h, w: height and width, c: channels."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from relative_performer.data.axes import AXES


def shiftable(
    images: Tensor, labels: Tensor, classes: Sequence[int], min_shift: int, axes: Sequence[int] = (2,)
) -> Tensor:
    """Return the mask (B,) of the images (B, h, w, c) for the shift test: of `classes`, with room for `min_shift`."""
    keep_mask = torch.isin(labels, torch.tensor(classes, device=labels.device))
    for axis in axes:
        keep_mask &= free_space(images, axis) >= min_shift
    return keep_mask


def free_space(images: Tensor, axis: int = 2) -> Tensor:
    """Return the largest shift (B,) for which each image (B, h, w, c) has room in both directions.

    It is the number of black columns (axis 2) or rows (axis 1) on the side that has fewer of them, minus 1, as in the
    published filter. A black image has no room (−1).
    """
    used = (images > 0).any(3).any(3 - axis).int()  # (B, w) or (B, h)
    return torch.minimum(used.argmax(1), used.flip(1).argmax(1)) - 1


def shifts(min_shift: int, axis: str) -> Iterator[tuple[int, int]]:
    """Yield rows and columns of every shift along `axis` (columns, rows or both) by up to `min_shift` either way."""
    steps = range(-min_shift, min_shift + 1)
    for rows in steps if 1 in AXES[axis] else [0]:
        for columns in steps if 2 in AXES[axis] else [0]:
            yield rows, columns


def shift_images(images: Tensor, rows: int, columns: int, circular: bool = False) -> Tensor:
    """Move images (B, h, w, c) down by `rows` and to the right by `columns` (up and left if negative).

    Vacated pixels become black or, if `circular`, get the pixels that leave on the other side.
    """
    moved = images.roll((rows, columns), (1, 2))
    if not circular:
        height, width = images.shape[1:3]
        moved[:, slice(rows) if rows > 0 else slice(height + rows, None)] = 0
        moved[:, :, slice(columns) if columns > 0 else slice(width + columns, None)] = 0
    return moved
