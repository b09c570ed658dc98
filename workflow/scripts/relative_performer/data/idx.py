"""The idx format of MNIST's archives. N: images, h, w: height and width."""

import math
import struct
from pathlib import Path

import numpy as np

from relative_performer.data.dataset import Split
from relative_performer.data.decode import resize, unpack
from relative_performer.errors import UserError

PIXELS = (28, 28)


def read_splits(folder: Path, side: int) -> dict[str, Split]:
    """Return the splits `train` and `test` of MNIST's four archives, with images enlarged to side×side pixels."""
    return {split: _read_split(folder, name, side) for split, name in (("train", "train"), ("test", "t10k"))}


def _read_split(folder: Path, name: str, side: int) -> Split:
    images = read_idx(folder / f"{name}-images-idx3-ubyte.gz", PIXELS)
    labels = read_idx(folder / f"{name}-labels-idx1-ubyte.gz", ())
    return resize(images, side), labels.astype(np.int64)


def read_idx(path: Path, item: tuple[int, ...]) -> np.ndarray:
    """Return the array (N, *item) uint8 of a gzipped idx file.

    Raises UserError unless the file's header describes exactly the bytes that follow it.
    """
    content = unpack(path)
    header = struct.Struct(f">{2 + len(item)}I")  # magic number (type 8, dimensions), N, *item
    if len(content) < header.size:
        raise UserError(f"{path} is too short for an idx file")
    magic, *shape = header.unpack_from(content)
    if magic != 0x0801 + len(item) or tuple(shape[1:]) != item:
        raise UserError(f"{path} has magic number {magic} and shape {shape}, not those of {('N', *item)} bytes")
    if len(content) - header.size != math.prod(shape):
        raise UserError(f"{path}: {len(content) - header.size} bytes follow a header for {math.prod(shape)}")
    return np.frombuffer(content, np.uint8, offset=header.size).reshape(shape)
