"""FashionMNIST: pictures of clothes in the format of MNIST (Xiao et al., 2017)."""

from pathlib import Path

from relative_performer.data.dataset import Dataset, Split
from relative_performer.data.idx import read_splits

SIDE = 32


def read(folder: Path) -> dict[str, Split]:
    """Return the splits `train` and `test`, enlarged from 28×28 pixels (bilinear)."""
    return read_splits(folder, SIDE)


DATASET = Dataset(
    name="FashionMNIST",
    order=1,
    classes=("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"),
    height=SIDE,
    width=SIDE,
    channels=1,
    images=(55_000, 5_000, 10_000),
    read=read,
    border=True,
    folder="fashion-mnist",
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    archives={
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
    archive_bytes=30_878_645,
)
