"""The progress of runs, read from the files in their folders alone, on whichever machine they train."""

import csv
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relative_performer.errors import UserError, one_line
from relative_performer.runs import folders

INTERVAL = 10  # seconds, at least, between two updates of progress.json
SILENCE = 600  # seconds without an update after which a run on another host counts as interrupted
STATES = ("finished", "failed", "interrupted", "waiting", "running")


def describe(run_dir: Path, now: float) -> dict[str, Any]:
    """Return a run's state (one of STATES) and, as far as known: host, seen (seconds ago), epoch, step, last and best
    val/acc, images_per_second, the times of `ends`, and the failure that ended it.

    now: seconds since 1970, as time.time() returns them. Raises UserError if one of the files is damaged.
    """
    try:
        return _describe(run_dir, now)
    except (LookupError, TypeError, ValueError, ArithmeticError, csv.Error) as error:
        files = f"{folders.METRICS}, {folders.SUMMARY} or {folders.PROGRESS}"
        raise UserError(f"{run_dir}: {files} is damaged ({type(error).__name__}: {one_line(error)[:200]})") from None


def _describe(run_dir: Path, now: float) -> dict[str, Any]:
    epochs = _rows(run_dir / folders.METRICS)
    accuracies = [float(row["val/acc"]) for row in epochs]
    row: dict[str, Any] = {"epoch": len(epochs) or None, "step": epochs[-1]["step"] if epochs else None}
    row |= {"last": accuracies[-1], "best": max(accuracies)} if accuracies else {}
    if summary := folders.read_json(run_dir / folders.SUMMARY):
        return row | {"state": "finished", "images_per_second": summary["images_seen"] / summary["seconds"]}
    ended = {"state": "interrupted"}
    if (failure := run_dir / folders.FAILURE).exists():
        ended = {"state": "failed", "failure": failure.read_text(encoding="utf-8").strip()}
    progress = folders.read_json(run_dir / folders.PROGRESS)
    if not progress:
        return row | (ended if epochs or "failure" in ended else {"state": "waiting"})
    row |= {"host": progress["host"], "seen": now - progress["time"]}
    if not is_alive(progress, now):
        return row | ended
    keys = ("epoch", "step", "images_per_second")
    return row | {"state": "running"} | {key: progress[key] for key in keys} | ends(progress)


def is_alive(progress: Mapping[str, Any], now: float) -> bool:
    """Return whether the process that wrote progress.json still trains: it exists or, elsewhere, is not silent."""
    if now - progress["time"] > SILENCE:
        return False
    if progress["host"] != socket.gethostname():
        return True
    try:
        os.kill(progress["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def ends(progress: Mapping[str, Any]) -> dict[str, float]:
    """Return when the epoch ends, and the run: at the soonest (if no later epoch is better) and at the latest.

    An empty mapping before the first step.
    """
    seconds = progress["epoch_seconds"]
    if seconds is None:
        return {}
    epoch_end = progress["time"] + max(0, seconds - progress["elapsed"])
    after = {name: max(0, progress[f"{name}_epochs"] - progress["epoch"] - 1) for name in ("least", "most")}
    return {
        "epoch_end": epoch_end,
        "soonest_end": epoch_end + after["least"] * seconds,
        "latest_end": epoch_end + after["most"] * seconds,
    }


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open() as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        return []
