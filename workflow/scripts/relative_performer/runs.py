"""Run folders: <log_path>/<exp_name>/<version> with hparams.yaml, checkpoints/, metrics.csv and TensorBoard events.

While a run trains, `checkpoints/resume.ckpt` holds its state after the last whole epoch, or after the step in which a
signal stopped it; when it has finished, that file is `checkpoints/last.ckpt` and `summary.json` says how it ended. So a
folder with resume.ckpt was interrupted, unless `progress.json`, which lasts as long, has a fresh sign of life; see
progress.py. `failure.txt` says what ended a training that failed.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from relative_performer.cli import UserError, one_line
from relative_performer.files import write_atomically
from relative_performer.options import TRAINING_DEFAULTS

HPARAMS = "hparams.yaml"
METRICS = "metrics.csv"
SUMMARY = "summary.json"
PROVENANCE = "provenance.json"
PROGRESS = "progress.json"
FAILURE = "failure.txt"
JOIN = "RELATIVE_PERFORMER_RUN_DIR"  # tells the processes of one training where it is
CODE = "code_sha256"  # may differ when an interrupted run is resumed
MACHINE = ("data_path", "accelerator", "devices", "threads")  # hparams that may differ when a run is resumed
BEST, LAST, RESUME = (f"checkpoints/{name}.ckpt" for name in ("best", "last", "resume"))


@contextmanager
def open_run(
    folder: Path, version: str | None, hparams: Mapping[str, Any], wait: bool = False
) -> Iterator[tuple[Path, bool]]:
    """Hold the folder of the run `version` below `folder`, with hparams.yaml in it; say whether it can be resumed.

    Without a version a new folder version_X is made, X counting up; two processes never get the same one. A folder
    that was interrupted is resumed if its hparams are the same (but for MACHINE), and emptied otherwise.

    With `wait` a run that another process trains is waited for, and a finished one with the same hparams accepted.

    The further processes of a training over several devices, which run the same command, join the first one's folder.

    Raises UserError for a finished run, one that another process trains, or a folder that cannot be written or locked.
    """
    if JOIN in os.environ:
        run_dir = Path(os.environ[JOIN])
        yield run_dir, (run_dir / RESUME).exists()
        return
    try:
        run_dir = next_version(folder) if version is None else folder / version
        run_dir.mkdir(parents=True, exist_ok=True)
        lock = _lock(run_dir, wait)
    except Timeout:
        raise UserError(f"{run_dir}: another process is training this run") from None
    except OSError as error:
        raise UserError(f"cannot write or lock the run folder: {error}") from None
    with lock:
        yield run_dir, _make_ready(run_dir, hparams, wait)


def _make_ready(run_dir: Path, hparams: Mapping[str, Any], accept: bool) -> bool:
    """Write hparams.yaml to a folder that is locked, unless its run is finished; say whether it can be resumed.

    accept: a finished run with the same hparams.
    """
    before = read_run(run_dir) if (run_dir / HPARAMS).exists() else {}
    unchanged = options(before) == options(hparams)
    repeated = unchanged and before.get(CODE) == hparams.get(CODE)
    if (run_dir / SUMMARY).exists():
        if accept and repeated:
            return False
        raise UserError(f"{run_dir}: this run is finished; choose another --version, or delete the folder")
    for path in (*run_dir.glob(".*.*"), *run_dir.glob("checkpoints/.*")):  # half written when a process was killed
        path.unlink()
    if repeated and (run_dir / LAST).exists() and not (run_dir / RESUME).exists():
        # Snakemake deletes the summary of a training whose end it did not see; nothing else is missing
        os.replace(run_dir / LAST, run_dir / RESUME)
    resumable = (run_dir / RESUME).exists() and unchanged
    if not resumable:
        empty(run_dir)
    try:
        write_atomically(run_dir / HPARAMS, yaml.safe_dump(dict(hparams), sort_keys=False).encode())
    except OSError as error:
        raise UserError(f"cannot write the run folder: {error}") from None
    (run_dir / FAILURE).unlink(missing_ok=True)
    return resumable


def _lock(run_dir: Path, wait: bool) -> FileLock:
    # without flock the library would leave a file as the lock, which a killed process never takes away
    lock = FileLock(run_dir / ".lock", timeout=0, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        if not wait:
            raise
        print(f"{run_dir}: another process is training this run; waiting for it", flush=True)
        lock.acquire(timeout=-1, poll_interval=2)
    return lock


def options(hparams: Mapping[str, Any]) -> dict[str, Any]:
    """What tells a run from others: its hparams but for those of machine and code."""
    return TRAINING_DEFAULTS | {name: value for name, value in hparams.items() if name not in (*MACHINE, CODE)}


def next_version(folder: Path) -> Path:
    """Make and return the folder version_X with the lowest X above all that there are."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = [int(path.name[8:]) for path in folder.glob("version_*") if path.name[8:].isdecimal()]
    number = max(taken, default=-1) + 1
    while True:
        run_dir = folder / f"version_{number}"
        try:
            run_dir.mkdir()
        except FileExistsError:
            number += 1
        else:
            return run_dir


def empty(run_dir: Path) -> None:
    """Delete what an earlier training left in the folder."""
    shutil.rmtree(run_dir / "checkpoints", ignore_errors=True)
    names = (HPARAMS, METRICS, PROGRESS, PROVENANCE, FAILURE)
    for path in [*(run_dir / name for name in names), *run_dir.glob("events.out.tfevents.*")]:
        path.unlink(missing_ok=True)


def finish_run(run_dir: Path, summary: Mapping[str, Any]) -> None:
    """Mark the run as finished; `summary` says how it ended. Until it is written the run can be resumed."""
    write_atomically(run_dir / LAST, (run_dir / RESUME).read_bytes())
    write_atomically(run_dir / SUMMARY, json.dumps(summary, indent=1).encode() + b"\n")
    (run_dir / RESUME).unlink()
    (run_dir / PROGRESS).unlink(missing_ok=True)


def read_hparams(run_dir: Path) -> dict[str, Any]:
    """Read a run's options; raises UserError if they are missing or no mapping."""
    path = run_dir / HPARAMS
    try:
        text = path.read_text()
        hparams = yaml.safe_load(text)
    except FileNotFoundError:
        raise UserError(f"{run_dir}: not a run folder, it has no {HPARAMS}") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read ({one_line(error)[:200]})") from None
    if not isinstance(hparams, dict):
        raise UserError(f"{path}: not a mapping of options to values")
    if not text.endswith("\n"):
        raise UserError(f"{path}: cut short; restore it, or delete the folder to train the run anew")
    return hparams


def read_run(run_dir: Path) -> dict[str, Any]:
    """Read the options of a run of ours; raises UserError also if the last ones are missing."""
    hparams = read_hparams(run_dir)
    if hparams.keys().isdisjoint(("data_sha256", "imported_from")):
        path = run_dir / HPARAMS
        raise UserError(f"{path}: cut short, it lacks data_sha256; restore it, or delete the folder to train anew")
    return hparams


def read_summary(run_dir: Path) -> dict[str, Any]:
    """How a run ended; nothing for one that has not finished (or was imported)."""
    return read_json(run_dir / SUMMARY)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's mapping; nothing if it is not there, or just being removed. Raises UserError for another file."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read ({one_line(error)})") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a mapping of names to values")
    return content


def find_runs(folder: Path) -> list[Path]:
    """Return every run folder at or below `folder`, in the order of their paths."""
    return sorted(path.parent for path in folder.rglob(HPARAMS))


def checksum(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
