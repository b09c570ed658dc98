"""Exported models: a folder with model.safetensors and config.json. Loading one needs torch and safetensors alone."""

import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import nn

from relative_performer.errors import UserError, one_line, shown
from relative_performer.files import write_atomically
from relative_performer.models import build_model, find_model
from relative_performer.runs.weights import load_weights

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
FORMAT = 1
NEEDED = {"hparams": dict, "in_features": int, "sha256": str}
REMEDY = "restore it, or export the run again with export.py"


def is_exported(folder: Path) -> bool:
    """Return whether a folder holds an exported model, damaged or not."""
    return any((folder / name).exists() for name in (CONFIG, WEIGHTS))


def write_exported(folder: Path, model: nn.Module, config: dict[str, Any]) -> dict[str, Any]:
    """Write a model and its `config` (hparams, in_features and facts) to a folder, and return the whole config."""
    content = safetensors.torch.save({name: value.contiguous() for name, value in model.state_dict().items()})
    config = {"format": FORMAT, "sha256": hashlib.sha256(content).hexdigest(), **config}
    write_atomically(folder / WEIGHTS, content)
    write_atomically(folder / CONFIG, json.dumps(config, indent=1).encode() + b"\n")
    return config


def read_exported(folder: Path) -> tuple[dict[str, Any], nn.Module]:
    """Return the hparams of an exported model, and the model.

    Raises UserError, naming the file, if one is missing or damaged, or was not written by `write_exported`.
    """
    path = folder / WEIGHTS
    config = read_config(folder / CONFIG)
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != config["sha256"]:
            raise ValueError(f"its SHA-256 is not the one in {CONFIG}")
        state = safetensors.torch.load(content)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise UserError(f"{path}: cannot be read ({reason}); {REMEDY}") from None
    hparams = config["hparams"]
    try:
        own = {option.name for option in find_model(hparams["model"]).options}
        chosen = {name: value for name, value in hparams.items() if name in own}
        sizes = {"in_features": config["in_features"], "num_classes": hparams["num_classes"]}
        model = build_model(hparams["model"], **sizes, **chosen)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{folder / CONFIG}: describes no model ({one_line(error)}); {REMEDY}") from None
    load_weights(model, state, path, CONFIG)
    return hparams, model


def read_config(path: Path) -> dict[str, Any]:
    """Read the config.json of an exported model; raises UserError if it is missing, damaged or of something else."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise UserError(f"{path}: cannot be read ({reason}); {REMEDY}") from None
    known = isinstance(config, dict) and all(isinstance(config.get(name), kind) for name, kind in NEEDED.items())
    if not known:
        raise UserError(f"{path}: was not written by export.py, it lacks {', '.join(NEEDED)}; {REMEDY}")
    if config.get("format") != FORMAT:
        raise UserError(f"{path}: has the format {shown(config.get('format'))}, not {FORMAT}; use a newer version")
    return config
