"""MNIST: handwritten digits (LeCun et al., 1998)."""

from pathlib import Path

from relative_performer.data.dataset import Dataset, Split
from relative_performer.data.idx import read_splits

SIDE = 32


def read(folder: Path) -> dict[str, Split]:
    """Return the splits `train` and `test`, enlarged from 28×28 pixels (bilinear)."""
    return read_splits(folder, SIDE)


DATASET = Dataset(
    name="MNIST",
    order=0,
    classes=tuple("0123456789"),
    height=SIDE,
    width=SIDE,
    channels=1,
    images=(55_000, 5_000, 10_000),
    read=read,
    border=True,
    folder="mnist",
    mirrors=("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
    archives={
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    },
    archive_bytes=11_594_722,
)
