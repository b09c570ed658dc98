"""Run folders: <log_path>/<exp_name>/<version> with hparams.yaml, checkpoints/, metrics.csv and TensorBoard events.

While a run trains, `checkpoints/resume.ckpt` holds its state after the last whole epoch, or after the step in which a
signal stopped it. When the run has finished, that file is `checkpoints/last.ckpt`, and there is a `summary.json`. A
folder with resume.ckpt was therefore interrupted, unless `progress.json` was written recently; see progress.py.
`failure.txt` says what ended a training that failed.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from relative_performer.config.options import complete_hparams
from relative_performer.errors import UserError, one_line
from relative_performer.files import write_atomically

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where there is libyaml
HPARAMS = "hparams.yaml"
METRICS = "metrics.csv"
SUMMARY = "summary.json"
PROVENANCE = "provenance.json"
PROGRESS = "progress.json"
FAILURE = "failure.txt"
JOIN = "RELATIVE_PERFORMER_RUN_DIR"  # environment variable by which the processes of one training find the folder
CODE = "code_sha256"  # may differ when an interrupted run is resumed
MACHINE = ("data_path", "accelerator", "devices", "threads")  # hparams that may differ when a run is resumed
BEST, LAST, RESUME = (f"checkpoints/{name}.ckpt" for name in ("best", "last", "resume"))


@contextmanager
def open_run(
    folder: Path, version: str | None, hparams: Mapping[str, Any], wait: bool = False
) -> Iterator[tuple[Path, bool]]:
    """Lock the folder of the run `version` below `folder`, write hparams.yaml, and yield it and whether to resume.

    Without a version a new folder version_X is made, X counting up; two processes never get the same one. An
    interrupted run is resumed if its hparams are the same (but for MACHINE and CODE), and emptied otherwise.

    With `wait`, a run that another process trains is waited for, and a finished run with the same hparams is accepted.

    The other processes of a training over several devices run the same command and join the first one's folder.

    Raises UserError for a finished run, for a run that another process trains, and for a folder that cannot be written
    or locked.
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
    """Write hparams.yaml to a locked folder, unless its run is finished; return whether the run can be resumed.

    accept: whether a finished run with the same hparams is accepted.
    """
    before = read_run(run_dir) if (run_dir / HPARAMS).exists() else {}
    unchanged = options(before) == options(hparams)
    repeated = unchanged and before.get(CODE) == hparams.get(CODE)
    if (run_dir / SUMMARY).exists():
        if accept and repeated:
            return False
        raise UserError(f"{run_dir}: this run is finished; choose another --version, or delete the folder")
    for path in (*run_dir.glob(".*.*"), *run_dir.glob("checkpoints/.*")):  # half-written by a process that was killed
        path.unlink()
    if repeated and (run_dir / LAST).exists() and not (run_dir / RESUME).exists():
        # Snakemake deletes the summary of a training whose end it did not see; the rest of the run is complete
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
    # a soft lock is a file, which a killed process would leave behind
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
    """Return what distinguishes a run from others: its hparams except for those of machine and code."""
    return {name: value for name, value in complete_hparams(hparams).items() if name not in (*MACHINE, CODE)}


def next_version(folder: Path) -> Path:
    """Make and return the folder version_X, X being one more than the largest number in use."""
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
    """Mark a run as finished: write `summary`, which says how it ended. Until then the run can be resumed."""
    write_atomically(run_dir / LAST, (run_dir / RESUME).read_bytes())
    write_atomically(run_dir / SUMMARY, json.dumps(summary, indent=1).encode() + b"\n")
    (run_dir / RESUME).unlink()
    (run_dir / PROGRESS).unlink(missing_ok=True)


def read_hparams(run_dir: Path) -> dict[str, Any]:
    """Read hparams.yaml of a run folder; raises UserError if it is missing or damaged, or holds no mapping."""
    path = run_dir / HPARAMS
    try:
        text = path.read_text(encoding="utf-8")
        hparams = yaml.load(text, Loader)
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
    """Read the hparams of a run that this project wrote; raises UserError also if the last ones are missing."""
    hparams = read_hparams(run_dir)
    if hparams.keys().isdisjoint(("data_sha256", "imported_from")):
        path = run_dir / HPARAMS
        raise UserError(f"{path}: cut short, it lacks data_sha256; restore it, or delete the folder to train anew")
    return hparams


def read_summary(run_dir: Path) -> dict[str, Any]:
    """Return how a run ended; an empty mapping for a run that has not finished or was imported."""
    return read_json(run_dir / SUMMARY)


def read_json(path: Path) -> dict[str, Any]:
    """Return the mapping in a JSON file; an empty one if there is no file. Raises UserError for other content."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read ({one_line(error)})") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a mapping of names to values")
    return content


def tested_checkpoint(run_dir: Path, hparams: Mapping[str, Any]) -> Path:
    """Return the path of the checkpoint that is tested."""
    return run_dir / (LAST if hparams["test_checkpoint"] == "last" else BEST)


def find_results(name: str, config: Path) -> Path:
    """Return results/NAME below the working directory, the folder of the configuration file, or the project.

    It is the first of these that exists, or that of the project.
    """
    project = Path(__file__).resolve().parents[4]
    places = [folder / "results" / name for folder in (Path(), config.parent, project)]
    return next((place for place in places if place.is_dir()), places[-1])


def find_runs(folder: Path) -> list[Path]:
    """Return every run folder at or below `folder`, in the order of their paths."""
    return sorted(path.parent for path in folder.rglob(HPARAMS))
