"""From archives to the arrays of a prepared dataset: decoded without trust, resized, split.

Axes: N images, H = W = 32 pixels, C channels (last).
"""

import gzip
import io
import math
import pickle
import struct
import tarfile
import zlib
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from relative_performer.cli import UserError, one_line
from relative_performer.data import CHANNELS, SIZE, SPLITS, fault_of
from relative_performer.download import TIMEOUT, fetch_archives

VALIDATION = 5_000  # images of the official training set
SEED = 42
MAX_BYTES = 400 * 2**20  # of an archive when unpacked
FOLDER = "cifar-10-batches-py"
MEMBERS = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
MOST_MEMBERS = 100  # the official archive has 9
Split = tuple[np.ndarray, np.ndarray]  # images (N, H, W, C) uint8 and labels (N,) int64


def prepare(
    dataset: str,
    folder: Path,
    mirror: str | None = None,
    md5: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
) -> dict[str, np.ndarray]:
    """Return a dataset's arrays, as `load` does, from the archives in `folder`, which are downloaded if need be.

    mirror, md5, timeout: as `fetch_archives` takes them. Digits are part of scikit-learn and need none of them. Raises
    UserError when an archive cannot be had or read.
    """
    fetch_archives(dataset, folder, mirror, md5 or {}, timeout)
    if dataset == "Digits":
        return _digits()
    train, test = (_read_cifar10 if dataset == "CIFAR10" else _read_mnist)(folder)
    for name, split in (("training", train), ("test", test)):
        if fault := fault_of(*split, CHANNELS[dataset]):
            raise UserError(f"the archives in {folder} are no {dataset}: {name} {fault}")
    count = len(train[0])
    if count <= VALIDATION:
        raise UserError(f"{folder}: {count} training images are too few, {VALIDATION} of them are for validation")
    for_train, for_val = np.split(_permutation(count), [-VALIDATION])
    return _named(_select(train, for_train), _select(train, for_val), test)


def _digits() -> dict[str, np.ndarray]:
    """Return scikit-learn's 8x8 digits at twice their size in the middle of a black 32x32 canvas."""
    from sklearn.datasets import load_digits

    content = load_digits()
    small = np.rint(content.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8), from values 0..16
    images = np.pad(_resize(small, 16), ((0, 0), (8, 8), (8, 8), (0, 0)))
    digits = images, content.target.astype(np.int64)
    return _named(*(_select(digits, rows) for rows in np.split(_permutation(len(images)), [1297, 1297 + 250])))


def _resize(images: np.ndarray, size: int) -> np.ndarray:
    """Return images (N, h, w) uint8 enlarged by bilinear interpolation to (N, size, size, 1) uint8."""
    from PIL import Image
    from tqdm import tqdm

    resized = np.empty((len(images), size, size, 1), np.uint8)
    for target, image in zip(resized, tqdm(images, "resize", unit="image", disable=None), strict=True):
        target[..., 0] = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
    return resized


def _read_mnist(folder: Path) -> tuple[Split, Split]:
    def split(name: str) -> Split:
        images = _read_idx(folder / f"{name}-images-idx3-ubyte.gz", (28, 28))
        labels = _read_idx(folder / f"{name}-labels-idx1-ubyte.gz", ())
        return _resize(images, SIZE), labels.astype(np.int64)

    return split("train"), split("t10k")


def _read_idx(path: Path, item: tuple[int, ...]) -> np.ndarray:
    """Return the array (N, *item) uint8 of a gzipped idx file, whose header must say exactly what follows."""
    content = _gunzip(path)
    header = struct.Struct(f">{2 + len(item)}I")  # magic number (type 8, dimensions), N, *item
    if len(content) < header.size:
        raise UserError(f"{path} is too short for an idx file")
    magic, *shape = header.unpack_from(content)
    if magic != 0x0801 + len(item) or tuple(shape[1:]) != item:
        raise UserError(f"{path} has magic number {magic} and shape {shape}, not those of {('N', *item)} bytes")
    if len(content) - header.size != math.prod(shape):
        raise UserError(f"{path}: {len(content) - header.size} bytes follow a header for {math.prod(shape)}")
    return np.frombuffer(content, np.uint8, offset=header.size).reshape(shape)


def _gunzip(path: Path) -> bytes:
    try:
        with gzip.open(path) as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot unpack {path}: {error}") from error
    if len(content) > MAX_BYTES:
        raise UserError(f"cannot unpack {path}: it holds more than {MAX_BYTES:,} bytes")
    return content


def _read_cifar10(folder: Path) -> tuple[Split, Split]:
    from tqdm import tqdm

    path = folder / "cifar-10-python.tar.gz"
    content = _gunzip(path)
    try:
        members = _read_members(content)
    except Exception as error:  # a damaged tar file or pickle can raise anything
        raise UserError(f"{path}: {_reason(error)}") from error
    batches = []
    for name in tqdm(MEMBERS, "decode", unit="batch", disable=None):
        try:
            batches.append(_read_batch(members[name]))
        except Exception as error:
            raise UserError(f"{path}: {name}: {_reason(error)}") from error
    images, labels = zip(*batches, strict=True)
    return (np.concatenate(images[:5]), np.concatenate(labels[:5])), batches[5]


def _reason(error: Exception) -> str:
    return one_line(error)[:200] or f"damaged ({type(error).__name__})"


def _read_members(content: bytes) -> dict[str, bytes]:
    """Return the batches in a tar file by their names; nothing is unpacked to the disk, whatever it holds."""
    members = {}
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        for member in islice(archive, MOST_MEMBERS):
            folder, _, name = member.name.rpartition("/")
            if member.isdir():
                continue
            if folder != FOLDER or not member.isreg() or member.issparse():  # extractfile alone would follow links
                raise ValueError(f"{one_line(member.name)[:100]}: not a regular file in {FOLDER}")
            if name in MEMBERS and (stream := archive.extractfile(member)):
                members[name] = stream.read()
    if missing := [name for name in MEMBERS if name not in members]:
        raise ValueError(f"no {FOLDER}/{missing[0]} among its first {MOST_MEMBERS} files")
    return members


def _read_batch(content: bytes) -> Split:
    """Return a batch's images (N, 32, 32, 3) and labels from its pickle, a dict with `data` (N, 3072) and `labels`."""
    # latin1: in the official archive, written by Python 2, bytes and text are the same type
    batch = _Unpickler(io.BytesIO(content), encoding="latin1").load()
    _, shape, dtype, is_fortran, pixels = batch["data"].state  # as in ndarray.__setstate__
    if dtype.arguments[0] != "u1":
        raise ValueError("data is not an array of bytes")
    text = pixels.arguments[0] if isinstance(pixels, _Inert) else pixels
    rows = np.frombuffer(text.encode("latin1"), np.uint8).reshape(shape, order="F" if is_fortran else "C")
    images = rows.reshape(len(rows), 3, SIZE, SIZE)
    labels = batch["labels"]
    if type(labels) is not list or not all(type(label) is int and 0 <= label <= 9 for label in labels):
        raise ValueError("labels are not a list of integers in 0..9")
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1)), np.array(labels, np.int64)


class _Inert:
    """What a pickle gets in place of every class and function: it keeps its arguments and state, and does nothing."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Unpickler(pickle._Unpickler):
    """An unpickler that imports and calls nothing, since a pickle could run any code otherwise.

    It is that in Python: the one in C makes room for as many objects as the pickle says there are.
    """

    GLOBALS = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> type[_Inert]:
        if (module, name) not in self.GLOBALS:
            raise pickle.UnpicklingError(f"refused the global {module}.{name}, which no array of bytes needs")
        return _Inert


def _named(*splits: Split) -> dict[str, np.ndarray]:
    return {
        f"{name}_{kind}": array
        for name, split in zip(SPLITS, splits, strict=True)
        for kind, array in zip(("images", "labels"), split, strict=True)
    }


def _select(split: Split, rows: np.ndarray) -> Split:
    return split[0][rows], split[1][rows]


def _permutation(count: int) -> np.ndarray:
    import torch

    return torch.randperm(count, generator=torch.Generator().manual_seed(SEED)).numpy()
