"""Files appear under their names only when they are complete."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Write a file, and its folder if need be: readers see the old content or all of the new, after a power cut too."""
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
