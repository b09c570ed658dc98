"""CIFAR10: photographs of ten kinds of animals and vehicles (Krizhevsky, 2009).

The archive holds pickles, which could run any code; they are read without importing or calling anything.
"""

import io
import pickle
import tarfile
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from relative_performer.data.dataset import Dataset, Split
from relative_performer.data.decode import unpack
from relative_performer.errors import UserError, one_line

SIDE, CHANNELS = 32, 3
ARCHIVE = "cifar-10-python.tar.gz"
FOLDER = "cifar-10-batches-py"
MEMBERS = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
MOST_MEMBERS = 100  # the official archive has 9


def read(folder: Path) -> dict[str, Split]:
    """Return the splits `train` and `test`."""
    from tqdm import tqdm

    path = folder / ARCHIVE
    content = unpack(path)
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
    return {"train": (np.concatenate(images[:5]), np.concatenate(labels[:5])), "test": batches[5]}


def _reason(error: Exception) -> str:
    return one_line(error)[:200] or f"damaged ({type(error).__name__})"


def _read_members(content: bytes) -> dict[str, bytes]:
    """Return the batches in a tar file by their names, without writing anything to the disk."""
    members = {}
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        for member in islice(archive, MOST_MEMBERS):
            folder, _, name = member.name.rpartition("/")
            if member.isdir():
                continue
            if folder != FOLDER or not member.isreg() or member.issparse():  # extractfile would follow links
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
    images = rows.reshape(len(rows), CHANNELS, SIDE, SIDE)
    labels = batch["labels"]
    if type(labels) is not list or not all(type(label) is int and 0 <= label <= 9 for label in labels):
        raise ValueError("labels are not a list of integers in 0..9")
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1)), np.array(labels, np.int64)


class _Inert:
    """Replaces every class and function in a pickle. It stores its arguments and state, and does nothing."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Unpickler(pickle._Unpickler):
    """An unpickler that imports and calls nothing.

    The pure-Python unpickler: the C one preallocates what the pickle claims.
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


DATASET = Dataset(
    name="CIFAR10",
    order=2,
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    height=SIDE,
    width=SIDE,
    channels=CHANNELS,
    images=(45_000, 5_000, 10_000),
    read=read,
    border=False,
    normalisation=((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    folder="cifar10",
    mirrors=("https://www.cs.toronto.edu/~kriz/",),
    archives={ARCHIVE: "c58f30108f718f92721af3b95e74349a"},
    archive_bytes=170_498_071,
)
