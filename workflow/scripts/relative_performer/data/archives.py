"""Read, check and split archives into the arrays of a prepared dataset. N: images."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from relative_performer.data.dataset import Dataset
from relative_performer.data.decode import permutation
from relative_performer.data.download import TIMEOUT, fetch_archives
from relative_performer.data.prepared import SPLITS, fault_of
from relative_performer.errors import UserError


def prepare(
    dataset: Dataset,
    folder: Path,
    mirror: str | None = None,
    md5: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
) -> dict[str, np.ndarray]:
    """Return a dataset's arrays, as `load` does, from the archives in `folder`, which are downloaded if necessary.

    If the dataset has no validation split, validation images are drawn from its training images with seed 42.

    mirror, md5, timeout: see `fetch_archives`. Raises UserError if an archive cannot be downloaded or read.
    """
    fetch_archives(dataset, folder, mirror, md5 or {}, timeout)
    splits = dict(dataset.read(folder))
    for split, content in splits.items():
        if fault := fault_of(*content, dataset):
            name = {"train": "training", "val": "validation"}.get(split, split)
            raise UserError(f"the archives in {folder} are not those of {dataset.name}: {name} {fault}")
    if "val" not in splits:
        images, labels = splits["train"]
        count, validation = len(images), dataset.images[1]
        if count <= validation:
            raise UserError(f"{folder}: {count} training images are too few: {validation} are needed for validation")
        for_train, for_val = np.split(permutation(count), [-validation])
        splits |= {"train": (images[for_train], labels[for_train]), "val": (images[for_val], labels[for_val])}
    kinds = ("images", "labels")
    return {f"{name}_{kind}": array for name in SPLITS for kind, array in zip(kinds, splits[name], strict=True)}
