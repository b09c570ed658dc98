"""Download a dataset, check it, and write it to one file of images that every run loads."""

import argparse
import re
from pathlib import Path

from relative_performer.cli import ArgumentParser, run
from relative_performer.data import DATASETS
from relative_performer.data.download import TIMEOUT
from relative_performer.options import positive_float

EPILOG = """\
examples:
  prepare_data.py MNIST --out data/MNIST.npz
  prepare_data.py CIFAR10 --out data/CIFAR10.npz --mirror /mnt/archives
  prepare_data.py Digits --out data/Digits.npz          (part of scikit-learn: nothing to download)

FILE has to be named DATASET.npz. It is an uncompressed npz file with two arrays for each split (train, val and test):
  SPLIT_images   uint8 (N, h, w, c), rows from the top; 32x32 pixels, c = 3 for CIFAR10 and 1 otherwise
  SPLIT_labels   int64 (N,), the class
Images of 28x28 pixels are enlarged to 32x32 (bilinear). MNIST16 and FashionMNIST16 have 16x16 pixels, each the mean of
2x2 pixels of MNIST or FashionMNIST. The validation split has 5,000 training images, drawn with seed 42. Digits is split
into 1,297 training, 250 validation and 250 test images.

Archives are checked by MD5 and kept. A second call therefore downloads nothing, and an interrupted download is resumed.
A mirror has the archives as mnist/train-images-idx3-ubyte.gz, cifar10/cifar-10-python.tar.gz and so on, or directly in
its folder."""


def main() -> None:
    arguments = parse_arguments()

    from relative_performer.data.archives import prepare
    from relative_performer.data.prepared import SPLITS, save

    out = arguments.out
    entry = DATASETS[arguments.dataset]
    folder = arguments.download_dir or out.parent / "archives" / (entry.half_of or entry).name
    arrays = prepare(entry, folder, arguments.mirror, dict(arguments.md5), arguments.timeout)
    save(arrays, out)
    counts = ", ".join(f"{len(arrays[f'{split}_labels']):,} {split}" for split in SPLITS)
    print(f"{out}: {counts} images")


def parse_arguments() -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    parser.add_dataset()
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="the file to write: .../DATASET.npz")
    parser.add_argument("--mirror", metavar="PATH_OR_URL", help="folder or URL to use in place of the official mirrors")
    parser.add_argument(
        "--md5",
        metavar="ARCHIVE=MD5",
        type=checksum,
        action="append",
        default=[],
        help="expect this checksum of an archive instead of the official one (repeatable)",
    )
    parser.add_argument(
        "--download_dir",
        metavar="DIR",
        type=Path,
        help="where to keep the archives (default: archives/DATASET beside FILE; MNIST16 shares MNIST's)",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=positive_float,
        default=TIMEOUT,
        help="time for a mirror to answer, and to send each 256 KiB, before the next mirror is tried (default 30)",
    )
    return parser.parse_args()


def checksum(text: str) -> tuple[str, str]:
    """Argparse type: ARCHIVE=MD5."""
    archive, _, md5 = text.partition("=")
    if not archive or not re.fullmatch("[0-9a-fA-F]{32}", md5):
        raise argparse.ArgumentTypeError(f"{text!r} is not ARCHIVE=MD5 with 32 hexadecimal digits")
    return archive, md5.lower()


if __name__ == "__main__":
    run(main)
