"""The prepared datasets: one file of uint8 images each, which every run loads.

Axes: N images, h rows, w columns, c channels (last).
"""

import os
import shlex
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock

from relative_performer.errors import UserError, one_line

if TYPE_CHECKING:
    from relative_performer.data.dataset import Dataset

SPLITS = ("train", "val", "test")
MAX_BYTES = 2**30  # of a prepared file; CIFAR10 has 176 MiB


def load(dataset: "Dataset", data_path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of `data_path/NAME.npz`: {train,val,test}_images (N, h, w, c) uint8, _labels (N,) int64.

    Raises UserError, with the command that makes the file, if the file is missing, damaged or of another dataset.
    """
    file = data_path / f"{dataset.name}.npz"
    remedy = f"make it with: python workflow/scripts/prepare_data.py {dataset.name} --out {shlex.quote(str(file))}"
    if not os.path.isfile(file):
        raise UserError(f"{file} is missing; {remedy}")
    keys = [f"{split}_{kind}" for split in SPLITS for kind in ("images", "labels")]
    try:
        with zipfile.ZipFile(file) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
                raise ValueError(f"it holds more than {MAX_BYTES:,} bytes")
        with np.load(file, allow_pickle=False) as content:
            arrays = {key: content[key] for key in keys}
    except Exception as error:  # a damaged file can raise nearly anything
        reason = one_line(error)[:200] or type(error).__name__
        raise UserError(f"{file} cannot be read ({reason}); {remedy}") from error
    for split in SPLITS:
        if fault := fault_of(arrays[f"{split}_images"], arrays[f"{split}_labels"], dataset):
            raise UserError(f"{file} is not a prepared {dataset.name} ({split} {fault}); {remedy}")
    return arrays


def save(arrays: Mapping[str, np.ndarray], file: Path) -> None:
    """Write `arrays` to `file` (npz, uncompressed) atomically. Raises UserError if it cannot be written."""
    part = file.with_name(f"{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(f".{file.name}.lock")):
            try:
                with part.open("wb") as stream:
                    np.savez(stream, allow_pickle=False, **arrays)
                    stream.flush()
                    os.fsync(stream.fileno())
                os.replace(part, file)
            finally:
                part.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror or error}") from error


def fault_of(images: np.ndarray, labels: np.ndarray, dataset: "Dataset") -> str | None:
    """Return a description of what is wrong with one split, or None."""
    if images.dtype != np.uint8 or labels.dtype != np.int64:
        return f"images and labels are {images.dtype} and {labels.dtype}, not uint8 and int64"
    count = len(labels) if labels.ndim else 0
    if count == 0 or labels.shape != (count,) or images.shape != (count, *dataset.shape):
        return f"images and labels have shapes {images.shape} and {labels.shape}"
    last = len(dataset.classes) - 1
    if labels.min() < 0 or labels.max() > last:
        return f"labels are not all in 0..{last}"
    return None
