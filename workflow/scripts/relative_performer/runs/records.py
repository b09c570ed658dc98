"""What Snakemake knows of results, in a file that travels with them: by which job, and when, each one was made.

Snakemake keeps its records in .snakemake. Copied results lack them, and have times that do not show the order in which
they were made. results/NAME/records.json has the same records, and the numbers of its folders in their file system,
which differ in a copy.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from relative_performer.errors import UserError, one_line
from relative_performer.files import write_atomically

STEP = 10_000  # ns between the times of two jobs in a copy


def synchronise(store: Any, path: Path, *folders: Path) -> None:
    """Bring records.json at `path` and Snakemake's records of the files in `folders` to the same state.

    store: Snakemake's records, a `FilePersistence`.

    In a copy, the records that came with it count, and its files get new times, in the order in which they were made.
    Elsewhere, those of .snakemake count where there are some. Raises UserError if `path` is damaged.
    """
    former = read(path)
    numbers = {str(folder): folder.stat().st_ino for folder in folders if folder.is_dir()}
    is_copy = any(former["folders"].get(folder, number) != number for folder, number in numbers.items())
    files = [file for folder in numbers for file in Path(folder).rglob("*") if file.is_file() and not file.is_symlink()]
    records = {}
    for file in map(str, files):
        own, came = store._io_read(store._metadata_path, file), former["files"].get(file)
        if came and (is_copy or not own):
            store._io_write(store._metadata_path, came, file)
            records[file] = came
        elif own:
            records[file] = own
    if is_copy:
        restore_order(files, {file: record["endtime"] for file, record in records.items()})
    if numbers and former != (present := {"folders": numbers, "files": records}):
        write_atomically(path, json.dumps(present).encode())


def read(path: Path) -> dict[str, Any]:
    """Return what records.json holds, or empty mappings if there is no such file; raises UserError if it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"folders": {}, "files": {}}
        for record in content["files"].values():
            float(record["endtime"])
        return {"folders": dict(content["folders"]), "files": content["files"]}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or one_line(error)[:200]
        raise UserError(f"{path}: cannot be read ({reason}); restore it, or delete it") from None


def restore_order(files: Sequence[Path], made: Mapping[str, float]) -> None:
    """Give files times just before now in the order of `made`, by path. Files that are not in it come first."""
    order = {moment: place for place, moment in enumerate(sorted(set(made.values())), 1)}
    now = time.time_ns() - STEP * len(order)
    for file in files:
        moment = now + STEP * order.get(made.get(str(file), -1), 0)
        os.utime(file, ns=(moment, moment))
