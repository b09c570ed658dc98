"""Runs of the paper's authors' code: their parameters' names, their options, their run folders."""

import io
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from relative_performer.config.options import options_of, run_options
from relative_performer.errors import UserError
from relative_performer.files import write_atomically
from relative_performer.models import find_model
from relative_performer.runs import folders
from relative_performer.runs.checkpoints import new_model, read_checkpoint
from relative_performer.runs.weights import load_weights

RENAMED = (
    (r"^content_embedding\.(net\.)?", "embedding."),
    (r"^output_layer\.", "head."),
    (r"^positional_embedding\.inv_freq$", "positions.frequencies"),
    (r"^performer\.net\.layers\.(\d+)\.0\.norm\.", r"blocks.\1.attention_norm."),
    (r"^performer\.net\.layers\.(\d+)\.1\.norm\.", r"blocks.\1.feed_forward_norm."),
    (r"^performer\.net\.layers\.(\d+)\.1\.fn\.fn\.w1\.", r"blocks.\1.feed_forward.inner."),
    (r"^performer\.net\.layers\.(\d+)\.1\.fn\.fn\.w2\.", r"blocks.\1.feed_forward.outer."),
    (r"^performer\.net\.layers\.(\d+)\.0\.fn\.", r"blocks.\1.attention."),
    (r"\.fast_attention\.projection_matrix$", ".projection_matrix"),
    (r"\.to_(q|k)\.content_linear\.", r".to_\1."),
    (r"\.to_q\.", ".query."),
    (r"\.to_k\.", ".key."),
    (r"\.to_v\.", ".value."),
    (r"\.to_out\.", ".output."),
)


def from_authors(model: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the authors' state dict `state` of `model` under our names; it loads strictly.

    Parameters and buffers keep their shapes, except that the lookup embedding's one table of 256·c rows becomes c
    tables. Raises ValueError for an unknown model or a lookup table whose rows are not a multiple of 256.
    """
    own_patterns = find_model(model).authors_parameters
    ours: dict[str, Tensor] = {}
    for name, value in state.items():
        if name == "performer.calls_since_last_redraw":
            ours["_extra_state"] = value
        elif name == "content_embedding.embeddings.weight":
            if len(value) % 256:
                raise ValueError(f"{name} has {len(value)} rows, not a multiple of 256")
            ours |= {f"embedding.channels.{c}.weight": table for c, table in enumerate(value.split(256))}
        elif not name.endswith("offdiag_matrix"):  # a constant that is never used
            ours[rename(name, own_patterns)] = value
    return ours


def rename(name: str, own_patterns: tuple[tuple[str, str], ...]) -> str:
    """Return our name of the authors' parameter `name`; own_patterns: those of its model."""
    for pattern, replacement in (*own_patterns, *RENAMED):
        name = re.sub(pattern, replacement, name)
    return name


def import_run(authors_run_dir: Path, run_dir: Path) -> list[str]:
    """Make the run folder `run_dir` from one of the authors' code, and return notes for the user.

    Raises UserError if the authors' folder is incomplete or inconsistent, or if `run_dir` exists.
    """
    if run_dir.exists():
        raise UserError(f"{run_dir} is there already; choose another --out, or delete it")
    theirs = folders.read_hparams(authors_run_dir)
    checkpoint = _only_checkpoint(authors_run_dir / "checkpoints")
    state = read_checkpoint(checkpoint).get("state_dict")
    if not isinstance(state, dict):
        raise UserError(f"{checkpoint}: has no state_dict")
    hparams, notes = import_hparams(theirs, authors_run_dir, state)
    try:
        ours = from_authors(hparams["model"], state)
    except ValueError as error:
        raise UserError(f"{checkpoint}: {error}") from None
    load_weights(new_model(hparams, authors_run_dir), ours, checkpoint)
    content = io.BytesIO()
    torch.save({"state_dict": {f"model.{name}": value for name, value in ours.items()}}, content)
    try:
        write_atomically(run_dir / folders.BEST, content.getvalue())
        write_atomically(run_dir / folders.HPARAMS, yaml.safe_dump(hparams, sort_keys=False).encode())
    except OSError as error:
        raise UserError(f"cannot write {run_dir}: {error.strerror}") from None
    return [*notes, f"{checkpoint} → {run_dir}"]


def _only_checkpoint(folder: Path) -> Path:
    found = sorted(folder.glob("*.ckpt"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise UserError(f"{folder}: expected one checkpoint *.ckpt, found {names}")
    return found[0]


def import_hparams(
    theirs: Mapping[str, Any], source: Path, parameters: Collection[str]
) -> tuple[dict[str, Any], list[str]]:
    """Return our hparams for the authors', and notes. Options that they lack get their published meaning.

    parameters: the names in their state dict, which show whether content_rel_attn reached the attention layers.
    """
    notes = []
    try:
        model, dataset = find_model(theirs["model"]).name, theirs["dataset"]
        chosen = {option.name: theirs[option.name] for option in options_of(model) if option.name in theirs}
        if chosen.get("content_rel_attn") and not any("content_to_rel_matrix" in name for name in parameters):
            chosen["content_rel_attn"] = False
            notes.append("content_rel_attn had no effect in the authors' code: imported as the model without it")
        hparams = {"model": model, "dataset": dataset, **run_options(model, chosen)}
    except KeyError as error:
        raise UserError(f"{source / folders.HPARAMS}: lacks {error}") from None
    except (TypeError, ValueError) as error:
        raise UserError(f"{source / folders.HPARAMS}: {error}") from None
    return hparams | {"data_path": "data", "imported_from": str(source)}, notes
