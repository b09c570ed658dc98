"""The common part of the readers of archives. N: images, h, w: height and width."""

import gzip
import zlib
from pathlib import Path

import numpy as np

from relative_performer.errors import UserError

SEED = 42
MAX_BYTES = 400 * 2**20  # of an unpacked archive


def resize(images: np.ndarray, side: int) -> np.ndarray:
    """Return images (N, h, w) uint8 enlarged by bilinear interpolation to (N, side, side, 1) uint8."""
    from PIL import Image
    from tqdm import tqdm

    resized = np.empty((len(images), side, side, 1), np.uint8)
    for target, image in zip(resized, tqdm(images, "resize", unit="image", disable=None), strict=True):
        target[..., 0] = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))
    return resized


def permutation(count: int) -> np.ndarray:
    """Return the random permutation of `count` images that torch draws with seed 42."""
    import torch

    return torch.randperm(count, generator=torch.Generator().manual_seed(SEED)).numpy()


def unpack(path: Path) -> bytes:
    """Return the content of a gzip file; raises UserError if it is damaged or larger than MAX_BYTES."""
    try:
        with gzip.open(path) as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot unpack {path}: {error}") from error
    if len(content) > MAX_BYTES:
        raise UserError(f"cannot unpack {path}: it holds more than {MAX_BYTES:,} bytes")
    return content
