"""Where the numbers of a run come from: its options, data, weights, code and packages; and what has changed since."""

import hashlib
import json
import platform
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from relative_performer import runs
from relative_performer.cli import UserError, one_line
from relative_performer.files import write_atomically
from relative_performer.options import TRAINING_DEFAULTS
from relative_performer.sources import SCRIPTS, sources

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "numpy")


def record_attempt(run_dir: Path) -> None:
    """Add to the run's provenance.json with what a training that starts (or goes on) now works."""
    attempt = {"started": time.strftime("%Y-%m-%d %H:%M:%S"), "host": platform.node(), **_working_with()}
    text = json.dumps([*read_attempts(run_dir), attempt], indent=1)
    write_atomically(run_dir / runs.PROVENANCE, text.encode() + b"\n")


def code_checksum() -> str:
    """The SHA-256, in hexadecimal, of the code and packages with which a training now works."""
    return hashlib.sha256(json.dumps(_working_with()).encode()).hexdigest()


def _working_with() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "code": {
            str(Path(file).resolve().relative_to(SCRIPTS)): runs.checksum(Path(file)) for file in sources("train.py")
        },
    }


def read_attempts(run_dir: Path) -> list[dict[str, Any]]:
    """What `record_attempt` recorded; nothing for a run that has not begun, or was imported.

    Raises UserError for a damaged file.
    """
    path = run_dir / runs.PROVENANCE
    try:
        attempts = json.loads(path.read_text()) if path.exists() else []
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read ({one_line(error)[:200]})") from None
    if not isinstance(attempts, list) or not all(
        isinstance(a, dict) and isinstance(a.get("code"), dict) for a in attempts
    ):
        raise UserError(f"{path}: not a list of attempts, each with its code")
    return attempts


def changes(run_dir: Path, options: Mapping[str, Any], data_sha256: str | None) -> list[str]:
    """Say what a run would be trained with now that it was not: options, data or files of code.

    options: those of the configuration. data_sha256: of the prepared dataset; None if it is not there.
    """
    hparams = TRAINING_DEFAULTS | runs.read_hparams(run_dir)
    found = [f"option {name} was {hparams.get(name)}" for name in options if hparams.get(name) != options[name]]
    if data_sha256 and hparams.get("data_sha256") not in (None, data_sha256):
        found.append("other data")
    code = {name: sha for attempt in read_attempts(run_dir) for name, sha in attempt["code"].items()}
    files = {name: SCRIPTS / name for name in code}
    return found + [
        f"edited {name}" for name, file in files.items() if not file.exists() or runs.checksum(file) != code[name]
    ]


def provenance(run_dir: Path) -> dict[str, Any]:
    """Return all that is known of where a run's numbers come from."""
    hparams = TRAINING_DEFAULTS | runs.read_hparams(run_dir)
    checkpoint = run_dir / (runs.LAST if hparams["tested"] == "last" else runs.BEST)
    return {
        "run_dir": str(run_dir),
        "hparams": hparams,
        "summary": runs.read_summary(run_dir),
        "checkpoint": str(checkpoint),
        "checkpoint_sha256": runs.checksum(checkpoint),
        "attempts": read_attempts(run_dir),
    }
