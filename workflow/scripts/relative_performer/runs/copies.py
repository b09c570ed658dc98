"""Results that were copied from elsewhere: the times of their files do not show the order in which they were made."""

import os
import time
from pathlib import Path

from relative_performer.files import write_atomically

MARK = ".place"


def ensure_order(*folders: Path) -> None:
    """Give all files below the folders one time if a folder is a copy: none looks older than what it was made from.

    The file .place holds the folder's inode number, which differs in a copy.
    """
    numbers = {folder: str(folder.stat().st_ino).encode() for folder in folders if folder.is_dir()}
    known = {folder: (folder / MARK).read_bytes() for folder in numbers if (folder / MARK).exists()}
    if any(numbers[folder] != number for folder, number in known.items()):
        now = time.time()
        for path in (path for folder in numbers for path in folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                os.utime(path, (now, now))
    for folder, number in numbers.items():
        if known.get(folder) != number:
            write_atomically(folder / MARK, number)
