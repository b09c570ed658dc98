"""Files that appear under their names only when they are complete."""

import hashlib
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Write a file, creating its folder. Readers see the old content or the new one, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Write a table as CSV, atomically and without its index."""
    write_atomically(path, table.to_csv(index=False, lineterminator="\n").encode())


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksum_if_there(path: Path) -> str | None:
    """Return the SHA-256 of a file, or None if there is no file; an unchanged file is read once."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return _checksum_of_version(path, status.st_mtime_ns, status.st_size)


@cache
def _checksum_of_version(path: Path, *_: int) -> str:
    return checksum(path)
