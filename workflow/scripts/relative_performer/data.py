"""The prepared datasets: one file of uint8 images each, which every run loads.

Axes: N images, H = W = 32 pixels, C channels (last).
"""

import os
import shlex
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from filelock import FileLock

from relative_performer.cli import UserError, one_line

CHANNELS = {"MNIST": 1, "FashionMNIST": 1, "CIFAR10": 3, "Digits": 1}
# Mean and standard deviation, by channel, of images scaled to 0..1. MNIST and FashionMNIST are only scaled.
# Digits, which are not in the paper, go from -1 to 1: small models then learn from the start.
NORMALISATION = {"CIFAR10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)), "Digits": ((0.5,), (0.5,))}
SIZE = 32
MAX_BYTES = 2**30  # of a prepared file; CIFAR10 has 176 MiB
SPLITS = ("train", "val", "test")


def load(dataset: str, data_path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of `data_path/DATASET.npz`: {train,val,test}_images (N, 32, 32, C) uint8, _labels (N,) int64.

    Raises UserError with the command that makes the file when it is missing, damaged or holds something else.
    """
    file = data_path / f"{dataset}.npz"
    remedy = f"make it with: python workflow/scripts/prepare_data.py {dataset} --out {shlex.quote(str(file))}"
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
        if fault := fault_of(arrays[f"{split}_images"], arrays[f"{split}_labels"], CHANNELS[dataset]):
            raise UserError(f"{file} is no prepared {dataset} ({split} {fault}); {remedy}")
    return arrays


def save(arrays: Mapping[str, np.ndarray], file: Path) -> None:
    """Write `arrays` to `file` (npz, uncompressed), which has either all of them or its former content."""
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


def fault_of(images: np.ndarray, labels: np.ndarray, channels: int) -> str | None:
    """Return what is wrong with one split, or None."""
    if images.dtype != np.uint8 or labels.dtype != np.int64:
        return f"images and labels are {images.dtype} and {labels.dtype}, not uint8 and int64"
    count = len(labels) if labels.ndim else 0
    if count == 0 or labels.shape != (count,) or images.shape != (count, SIZE, SIZE, channels):
        return f"images and labels have shapes {images.shape} and {labels.shape}"
    if labels.min() < 0 or labels.max() > 9:
        return "labels are not all in 0..9"
    return None
