"""Digits: scikit-learn's 1,797 handwritten digits of 8×8 pixels, which need no download. They are not in the paper."""

from pathlib import Path

import numpy as np

from relative_performer.data.dataset import Dataset, Split
from relative_performer.data.decode import permutation

SIDE = 16
IMAGES = (1_297, 250, 250)


def read(folder: Path) -> dict[str, Split]:
    """Return all splits, with the digits in the middle of a black image."""
    from sklearn.datasets import load_digits

    content = load_digits()
    small = np.rint(content.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8), from values 0..16
    images = np.pad(small[..., None], ((0, 0), (4, 4), (4, 4), (0, 0)))
    labels = content.target.astype(np.int64)
    rows = np.split(permutation(len(images)), np.cumsum(IMAGES)[:-1])
    return {split: (images[index], labels[index]) for split, index in zip(("train", "val", "test"), rows, strict=True)}


DATASET = Dataset(
    name="Digits",
    order=3,
    classes=tuple("0123456789"),
    height=SIDE,
    width=SIDE,
    channels=1,
    images=IMAGES,
    read=read,
    border=True,
    normalisation=((0.5,), (0.5,)),  # from −1 to 1: small models then learn from the start
)
