"""Files appear under their names only when they are complete."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file, and its folder if need be, such that a reader sees the old content or all of the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Write a table as CSV, atomically and without its index."""
    write_atomically(path, table.to_csv(index=False, lineterminator="\n").encode())
