"""The entry of a dataset."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from relative_performer.data.axes import AXES

Split = tuple[np.ndarray, np.ndarray]  # images (N, h, w, c) uint8 and labels (N,) int64


@dataclass(frozen=True)
class Dataset:
    """The entry of a dataset: N images of h×w pixels with c channels."""

    name: str
    """The name in command lines, configurations, CSV files and the prepared file NAME.npz."""
    classes: tuple[str, ...]
    """The names of the classes; a label is an index into them."""
    height: int
    width: int
    channels: int
    images: tuple[int, int, int]
    """The numbers of training, validation and test images."""
    read: Callable[[Path], Mapping[str, Split]]
    """Reads the archives in a folder: returns the splits `train`, `test` and optionally `val`.

    Without `val`, validation images are drawn from the training images. Raises UserError for an archive that cannot be
    read.
    """
    border: bool
    """Whether the images have a black border into which the shift test can move their content."""
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """Mean and standard deviation by channel of images scaled to 0..1. None: images are only scaled."""
    folder: str = ""
    """The folder of the archives on a mirror."""
    mirrors: tuple[str, ...] = ()
    """The official download addresses, in the order in which they are tried."""
    archives: Mapping[str, str] = field(default_factory=dict)
    """The names of the archives, with their MD5."""
    archive_bytes: int = 0
    """The size of all archives together."""
    half_of: "Dataset | None" = None
    """The dataset whose archives this one shares, and whose images it has at half their side."""
    order: int = 1000
    """The position in lists, tables and figures, in ascending order; equal values are sorted by name."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (h, w, c) of an image."""
        return self.height, self.width, self.channels

    def largest_shift(self, axis: str) -> int:
        """Return the largest shift along `axis`, in pixels, for which an image can have room on both sides."""
        return (min(self.shape[dimension - 1] for dimension in AXES[axis]) - 1) // 2

    @property
    def prepared_bytes(self) -> int:
        """The size of the prepared file."""
        return sum(self.images) * (self.height * self.width * self.channels + 8)
