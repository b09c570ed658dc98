"""Downloads that try mirrors in order, resume, limit the size, and check the MD5 before a file gets its name."""

import hashlib
import os
import signal
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.request import Request

from filelock import FileLock

from relative_performer.data.dataset import Dataset
from relative_performer.errors import UserError, nearest, one_line

MAX_BYTES = 400 * 2**20  # the largest archive has 163 MiB
ATTEMPTS = 3  # per mirror, as long as every attempt makes progress
TIMEOUT = 30  # seconds for the answer of a mirror, including redirections, and for every chunk
CHUNK = 2**18


class MirrorError(Exception):
    """An error of one mirror."""


def fetch_archives(
    dataset: Dataset, folder: Path, mirror: str | None, md5: Mapping[str, str], timeout: float = TIMEOUT
) -> None:
    """Download a dataset's archives to `folder`, except those that are there with the right MD5.

    `mirror`, a folder or URL, replaces the official mirrors; `md5` replaces the checksums of the archives it names.
    `timeout`: seconds for the answer of a mirror, and for every CHUNK bytes.
    Raises UserError if an archive cannot be downloaded, or if `md5` names an archive that the dataset does not have.
    """
    if unknown := sorted(md5.keys() - dataset.archives.keys()):
        hint = nearest(unknown[0], dataset.archives) if dataset.archives else "it has none"
        raise UserError(f"--md5 {unknown[0]}: not an archive of {dataset.name}: {hint}")
    bases = dataset.mirrors
    if mirror is not None and dataset.archives:
        bases = (f"{mirror_url(mirror)}{dataset.folder}/", mirror_url(mirror))
    for archive, official in dataset.archives.items():
        fetch(archive, md5.get(archive, official), [base + archive for base in bases], folder, timeout)


def fetch(archive: str, md5: str, urls: Sequence[str], folder: Path, timeout: float = TIMEOUT) -> Path:
    """Return the path of `archive` in `folder`, downloaded from the first of `urls` that has it with this MD5.

    An archive that is already there with the right MD5 is used, and an interrupted download in `folder/ARCHIVE.part` is
    resumed. If several processes need the archive, one downloads it and the others wait. Raises UserError, with the
    error of every URL, if none of them works.
    """
    target, faults = folder / archive, []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if _is_whole(target, md5):
            return target
        with FileLock(folder / f".{archive}.lock"):
            if not _is_whole(target, md5):
                faults = _try_all(target, md5, urls, timeout)
        if not faults:
            return target
    except OSError as error:
        raise UserError(f"cannot store {archive} in {folder}: {error.strerror or error}") from error
    raise UserError(
        f"cannot get {archive} with MD5 {md5} [{'; '.join(faults)}]: try again to continue where it stopped, "
        "or name a folder or URL that has it with --mirror"
    )


def _is_whole(target: Path, md5: str) -> bool:
    return target.is_file() and _md5(target) == md5


def _try_all(target: Path, md5: str, urls: Sequence[str], timeout: float) -> list[str]:
    """Download `target` from the first URL that has it, and return no error, or else the error of every URL."""
    part, faults = target.with_name(f"{target.name}.part"), []
    for url in urls:
        try:
            _complete(part, url, md5, timeout)
        except MirrorError as fault:
            faults.append(f"{url}: {fault}")
        else:
            os.replace(part, target)
            return []
    if not _size(part):
        part.unlink(missing_ok=True)
    return faults


def mirror_url(mirror: str) -> str:
    """Return the URL, ending in a slash, of a mirror given as http(s) or file URL or as a local folder."""
    scheme = mirror.partition("://")[0] if "://" in mirror else ""
    if scheme not in ("", "file", "http", "https"):
        raise UserError(f"--mirror {mirror}: give a folder or an http, https or file URL")
    if not scheme and not (mirror and Path(mirror).is_dir()):
        raise UserError(f"--mirror {mirror}: no such folder; give one that holds the archives, or a URL")
    return (mirror if scheme else Path(mirror).resolve().as_uri()).rstrip("/") + "/"


def _complete(part: Path, url: str, md5: str, timeout: float) -> None:
    """Download the rest of `part`. Delete `part` if its MD5 is wrong, since no byte of it can be trusted."""
    if _size(part) and _md5(part) == md5:
        return
    for attempt in range(1, ATTEMPTS + 1):
        resumed_at = _size(part)
        try:
            _download(part, url, timeout)
        except MirrorError:
            if attempt == ATTEMPTS or _size(part) <= resumed_at:
                raise
            continue
        found, size = _md5(part), _size(part)
        if found == md5:
            return
        part.unlink()
        if not resumed_at or attempt == ATTEMPTS:
            raise MirrorError(f"sent another file, of {size:,} bytes with MD5 {found}")


def _download(part: Path, url: str, timeout: float) -> None:
    from tqdm import tqdm

    with _mirror_faults(timeout):
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
            for chunk in _chunks(response, timeout):
                if file.tell() + len(chunk) > MAX_BYTES:
                    file.truncate(0)
                    raise MirrorError(f"sent more than {MAX_BYTES:,} bytes")
                progress.update(file.write(chunk))
        file.flush()
        os.fsync(file.fileno())
        if total is not None and file.tell() < total:
            raise MirrorError(f"broke off after {file.tell():,} of {total:,} bytes")


def _open(url: str, start: int) -> tuple[Any, int]:
    """Return the response and the position of its first byte: `start`, or 0 if the server sends the whole file."""
    request = Request(url, headers={"User-Agent": "relative-performer"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        response = urllib.request.build_opener(_Redirects).open(request)
    except HTTPError as error:
        if start and error.code == 416:  # the part is longer than the file, so it is from another file
            return _open(url, 0)
        raise
    if response.status != 206:  # None for a file URL
        return response, 0
    if not (start and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")):
        response.close()
        raise MirrorError("sent another range than the requested one")
    return response, start


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections without reading their content, which may be endless."""

    def http_error_302(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage) -> Any:
        fp.close()
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _chunks(response: Any, timeout: float) -> Iterator[bytes]:
    while True:
        with _mirror_faults(timeout):
            chunk = response.read(CHUNK)
        if not chunk:
            return
        yield chunk


@contextmanager
def _mirror_faults(timeout: float) -> Iterator[None]:
    """Turn the errors of a mirror into MirrorError, so that every other OSError is an error of the local disk."""
    try:
        with _deadline(timeout):
            yield
    except HTTPError as error:
        error.close()
        raise MirrorError(f"HTTP {error.code} {one_line(error.reason)[:200]}") from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise MirrorError(one_line(reason)[:200] or type(error).__name__) from error


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Raise TimeoutError after `seconds`, in the main thread. A socket's own timeout would restart with every byte."""

    def expire(*_: Any) -> None:
        raise TimeoutError(f"is too slow: no answer, or less than {CHUNK // 1024} KiB, in {seconds:g} s")

    former = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
