"""Where the numbers of a run come from: its options, data, weights, code and packages; and what has changed since."""

import hashlib
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from relative_performer.config.options import as_lists, complete_hparams
from relative_performer.data import DATASETS
from relative_performer.errors import UserError, one_line
from relative_performer.files import checksum, checksum_if_there, write_atomically
from relative_performer.runs import folders
from relative_performer.runs.code import SCRIPTS, checksums, training_code

DEPENDENCIES = ("torch", "torchvision", "pytorch-lightning", "numpy")


def record_attempt(run_dir: Path, model: str) -> None:
    """Add the host, packages and code of a training that starts, or continues, now to the run's provenance.json."""
    attempt = {"started": time.strftime("%Y-%m-%d %H:%M:%S"), "host": platform.node(), **_environment(model)}
    text = json.dumps([*read_attempts(run_dir), attempt], indent=1)
    write_atomically(run_dir / folders.PROVENANCE, text.encode() + b"\n")


def code_checksum(model: str) -> str:
    """Return the SHA-256, in hexadecimal, of the code and packages with which `model` is trained now."""
    return hashlib.sha256(json.dumps(_environment(model)).encode()).hexdigest()


def dataset_facts(dataset: str) -> dict[str, Any]:
    """Return what a run takes from the entry of its dataset beside the images, in the form of hparams.yaml."""
    entry = DATASETS[dataset]
    return {"num_classes": len(entry.classes), "normalisation": as_lists(entry.normalisation)}


def _environment(model: str) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in DEPENDENCIES},
        "code": checksums(training_code(model)),
    }


def recorded_checksum(run_dirs: Iterable[Path]) -> str | None:
    """Return the checksum of the prepared data that the first of these runs which exists was trained on."""
    found = (folders.read_hparams(run_dir) for run_dir in run_dirs if (run_dir / folders.HPARAMS).exists())
    return next((hparams["data_sha256"] for hparams in found if "data_sha256" in hparams), None)


def read_attempts(run_dir: Path) -> list[dict[str, Any]]:
    """Return what `record_attempt` recorded; an empty list for a run that has not begun or was imported.

    Raises UserError for a damaged file.
    """
    path = run_dir / folders.PROVENANCE
    try:
        attempts = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read ({one_line(error)[:200]})") from None
    if not isinstance(attempts, list) or not all(
        isinstance(attempt, dict) and isinstance(attempt.get("code"), dict) for attempt in attempts
    ):
        raise UserError(f"{path}: not a list of attempts, each with its code")
    return attempts


def export_facts(run_dir: Path, hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the config.json of an exported run has beside its format and checksum."""
    entry, attempts = DATASETS[hparams["dataset"]], read_attempts(run_dir)
    return {
        "hparams": {**hparams, "data_path": "data", "exported_from": str(run_dir)},
        "in_features": entry.channels,
        "classes": list(entry.classes),
        "summary": folders.read_summary(run_dir),
        "packages": attempts[-1].get("packages") if attempts else None,
        "commit": training_commit(run_dir),
    }


def training_commit(run_dir: Path) -> str | None:
    """Return the latest commit of this checkout that changed the code with which a run was trained.

    None if no commit has that code, or this is no checkout.
    """
    attempts = read_attempts(run_dir)
    return commit_of(tuple(attempts[-1]["code"].items())) if attempts else None


@cache
def commit_of(code: tuple[tuple[str, str], ...]) -> str | None:
    """Return the latest commit that changed one of these files of code, and has all of them with these checksums."""

    def git(*words: str) -> bytes:
        return subprocess.run(["git", "-C", SCRIPTS, *words], capture_output=True, check=False).stdout

    def has(commit: str, name: str, sha256: str) -> bool:
        return hashlib.sha256(git("show", f"{commit}:./{name}")).hexdigest() == sha256

    try:
        commits = git("rev-list", "HEAD", "--", *dict(code)).decode().split()
        return next((commit for commit in commits if all(has(commit, *file) for file in code)), None)
    except OSError:  # there is no git
        return None


def changes(run_dir: Path, options: Mapping[str, Any], data_sha256: str | None) -> list[str]:
    """Return what has changed since a run was trained: options, data, files of code; an empty list if nothing has.

    options: those of the configuration. data_sha256: of the prepared dataset; None if there is none.
    """
    hparams = complete_hparams(folders.read_hparams(run_dir))
    wanted = dict(options) | dataset_facts(options["dataset"])
    found = [f"option {name} was {hparams.get(name)}" for name in wanted if hparams.get(name) != wanted[name]]
    if data_sha256 and hparams.get("data_sha256") not in (None, data_sha256):
        found.append("other data")
    if attempts := read_attempts(run_dir):
        before, now = attempts[-1]["code"], checksums(training_code(options["model"]))
        found += [f"edited {name}" for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    return found


def mark_changed_runs(
    results: Path, runs: Mapping[tuple[str, str], Mapping[str, Any]], data: Path
) -> dict[Path, list[str]]:
    """Return summary.json of each finished run that would be trained otherwise now, with what has changed.

    The hparams.yaml of these runs become newer than summary.json, and those of the others older, so that Snakemake sees
    the difference also without its own records in .snakemake.

    results: folder of the configuration's results. runs: options by experiment and name. data: folder of the prepared
    datasets. Raises UserError if the options or the provenance of a run are damaged.
    """
    found = {}
    for (experiment, name), options in runs.items():
        run_dir = results / "runs" / experiment / name
        summary, hparams = run_dir / folders.SUMMARY, run_dir / folders.HPARAMS
        if not (summary.exists() and hparams.exists()):
            continue
        finished = summary.stat().st_mtime
        if changed := changes(run_dir, options, checksum_if_there(data / f"{options['dataset']}.npz")):
            found[summary] = changed
            os.utime(hparams, (finished + 1, finished + 1))
        elif hparams.stat().st_mtime > finished:
            os.utime(hparams, (finished, finished))
    return found


def provenance(run_dir: Path) -> dict[str, Any]:
    """Return all that is known of where a run's numbers come from."""
    hparams = complete_hparams(folders.read_hparams(run_dir))
    checkpoint = folders.tested_checkpoint(run_dir, hparams)
    return {
        "run_dir": str(run_dir),
        "hparams": hparams,
        "summary": folders.read_summary(run_dir),
        "checkpoint": str(checkpoint),
        "checkpoint_sha256": checksum(checkpoint),
        "attempts": read_attempts(run_dir),
    }
