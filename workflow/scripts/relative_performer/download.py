"""Downloads that cannot go half wrong: mirrors in order, resume, size bound, MD5 before the final name."""

import hashlib
import os
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError

from relative_performer.cli import UserError, nearest


class Source(NamedTuple):
    """Where a dataset comes from: its folder on a `--mirror`, its official mirrors, its archives and their MD5."""

    folder: str
    mirrors: tuple[str, ...]
    archives: dict[str, str]


SOURCES = {
    "MNIST": Source(
        "mnist",
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
        {
            "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        },
    ),
    "FashionMNIST": Source(
        "fashion-mnist",
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        {
            "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        },
    ),
    "CIFAR10": Source(
        "cifar10",
        ("https://www.cs.toronto.edu/~kriz/",),
        {"cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a"},
    ),
}

MAX_BYTES = 400 * 2**20  # the largest archive has 163 MiB
ATTEMPTS = 3  # per mirror, and only while each brings the download further
TIMEOUT = 20  # seconds for a connection, and for every read
CHUNK = 2**18


class MirrorError(Exception):
    """What is wrong with one mirror."""


def fetch_archives(dataset: str, folder: Path, mirror: str | None, md5: Mapping[str, str]) -> None:
    """Make sure that `folder` has a dataset's archives, unchanged; Digits have none.

    `mirror`, a folder or URL, replaces the official mirrors; `md5` replaces the checksums of the archives it names.
    Raises UserError when an archive cannot be had, or `md5` names one that the dataset does not have.
    """
    source = SOURCES.get(dataset, Source("", (), {}))
    if unknown := sorted(md5.keys() - source.archives.keys()):
        hint = nearest(unknown[0], source.archives) if source.archives else "it has none"
        raise UserError(f"--md5 {unknown[0]}: not an archive of {dataset}: {hint}")
    bases = source.mirrors
    if mirror is not None and source.archives:
        bases = (f"{mirror_url(mirror)}{source.folder}/", mirror_url(mirror))
    for archive, official in source.archives.items():
        fetch(archive, md5.get(archive, official), [base + archive for base in bases], folder)


def fetch(archive: str, md5: str, urls: Sequence[str], folder: Path) -> Path:
    """Return the path of `archive` in `folder`, downloaded from the first of `urls` that has it with this MD5.

    An archive that is already there is used if its MD5 is right, and a part that an earlier download left in
    `folder/ARCHIVE.part` is continued. Raises UserError, with every URL's fault, when none of them works.
    """
    target, part = folder / archive, folder / f"{archive}.part"
    faults = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if target.exists() and _md5(target) == md5:
            return target
        for url in urls:
            try:
                _complete(part, url, md5)
            except MirrorError as fault:
                faults.append(f"{url}: {fault}")
            else:
                os.replace(part, target)
                return target
        if not _size(part):
            part.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot keep {archive} in {folder}: {error.strerror or error}") from error
    raise UserError(
        f"cannot get {archive} with MD5 {md5} [{'; '.join(faults)}]: try again to continue where it stopped, "
        "or name a folder or URL that has it with --mirror"
    )


def mirror_url(mirror: str) -> str:
    """Return the URL, ending in a slash, of a mirror given as http(s) or file URL or as a local folder."""
    scheme = mirror.partition("://")[0] if "://" in mirror else ""
    if scheme not in ("", "file", "http", "https"):
        raise UserError(f"--mirror {mirror}: give a folder or an http, https or file URL")
    if not scheme and not Path(mirror).is_dir():
        raise UserError(f"--mirror {mirror}: no such folder; give one that holds the archives, or a URL")
    return (mirror if scheme else Path(mirror).resolve().as_uri()).rstrip("/") + "/"


def _complete(part: Path, url: str, md5: str) -> None:
    """Download what `part` lacks. If the MD5 is wrong then, `part` goes, since nothing of it can be trusted."""
    if _size(part) and _md5(part) == md5:
        return
    for attempt in range(1, ATTEMPTS + 1):
        resumed_at = _size(part)
        try:
            _download(part, url)
        except MirrorError:
            if attempt == ATTEMPTS or _size(part) <= resumed_at:
                raise
            continue
        found = _md5(part)
        if found == md5:
            return
        part.unlink()
        if not resumed_at or attempt == ATTEMPTS:
            raise MirrorError(f"sent a file with MD5 {found}")


def _download(part: Path, url: str) -> None:
    from tqdm import tqdm

    with _mirror_faults():
        response, start = _open(url, _size(part))
    length = response.headers.get("Content-Length")
    total = start + int(length) if length and length.isdecimal() else None
    if total is not None and total > MAX_BYTES:
        response.close()
        raise MirrorError(f"offers {total:,} bytes, more than the {MAX_BYTES:,} allowed")
    with response, part.open("r+b" if start else "wb") as file:
        name = part.name.removesuffix(".part")
        with tqdm(desc=name, initial=start, total=total, unit="B", unit_scale=True, disable=None) as progress:
            file.seek(start)
            for chunk in _chunks(response):
                if file.tell() + len(chunk) > MAX_BYTES:
                    file.truncate(0)
                    raise MirrorError(f"sent more than {MAX_BYTES:,} bytes")
                progress.update(file.write(chunk))
        file.flush()
        os.fsync(file.fileno())
        if total is not None and file.tell() < total:
            raise MirrorError(f"broke off after {file.tell():,} of {total:,} bytes")


def _open(url: str, start: int) -> tuple[Any, int]:
    """Return the response and the position of its first byte: `start`, or 0 where a server sends the whole file."""
    request = urllib.request.Request(url, headers={"User-Agent": "relative-performer"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        if start and error.code == 416:  # the part is longer than the file, so it is no part of it
            return _open(url, 0)
        raise
    if response.status != 206:  # None for a file URL
        return response, 0
    if not (start and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")):
        response.close()
        raise MirrorError("sent another range than the one asked for")
    return response, start


def _chunks(response: Any) -> Iterator[bytes]:
    while True:
        with _mirror_faults():
            chunk = response.read(CHUNK)
        if not chunk:
            return
        yield chunk


@contextmanager
def _mirror_faults() -> Iterator[None]:
    """Turn what a mirror can do wrong into MirrorError, so that any other OSError is one of the local disk."""
    try:
        yield
    except HTTPError as error:
        error.close()
        raise MirrorError(f"HTTP {error.code} {' '.join(str(error.reason).split())}") from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise MirrorError(" ".join(str(reason).split()) or type(error).__name__) from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
