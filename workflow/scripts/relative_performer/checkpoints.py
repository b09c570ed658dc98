"""The authors' parameter names, and safe reading of checkpoint files."""

import io
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from relative_performer import runs
from relative_performer.cli import UserError
from relative_performer.data import CHANNELS
from relative_performer.files import write_atomically
from relative_performer.models import build_model
from relative_performer.options import MODEL_OPTIONS, TRAINING_DEFAULTS, check_model, options_of, run_options

RENAMED = (
    (r"^content_embedding\.(net\.)?", "embedding."),
    (r"^output_layer\.", "head."),
    (r"^positional_embedding\.inv_freq$", "positions.frequencies"),
    (r"^performer\.net\.layers\.(\d+)\.0\.norm\.", r"blocks.\1.attention_norm."),
    (r"^performer\.net\.layers\.(\d+)\.1\.norm\.", r"blocks.\1.feed_forward_norm."),
    (r"^performer\.net\.layers\.(\d+)\.1\.fn\.fn\.w1\.", r"blocks.\1.feed_forward.inner."),
    (r"^performer\.net\.layers\.(\d+)\.1\.fn\.fn\.w2\.", r"blocks.\1.feed_forward.outer."),
    (r"^performer\.net\.layers\.(\d+)\.0\.fn\.", r"blocks.\1.attention."),
    (r"\.fast_attention\.projection_matrix$", ".features"),
    (r"\.relative_attention\.projection_matrix$", ".distance_features"),
    (r"\.rpe$", ".distances"),
    (r"\.to_(q|k)\.content_linear\.", r".to_\1."),
    (r"\.to_q\.(alpha|beta)$", r".\1"),
    (r"\.to_q\.", ".query."),
    (r"\.to_k\.", ".key."),
    (r"\.to_v\.", ".value."),
    (r"\.to_out\.", ".output."),
)


def from_authors(model: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the authors' state dict `state` of `model` under our names; it loads strictly.

    Parameters and buffers keep their shapes, but for the lookup embedding, whose one table of 256·c rows becomes c
    tables. Raises ValueError for an unknown model or a lookup table whose rows are not a multiple of 256.
    """
    check_model(model)
    ours: dict[str, Tensor] = {}
    for name, value in state.items():
        if name == "performer.calls_since_last_redraw":
            ours["_extra_state"] = value
        elif name == "content_embedding.embeddings.weight":
            if len(value) % 256:
                raise ValueError(f"{name} has {len(value)} rows, not a multiple of 256")
            ours |= {f"embedding.channels.{c}.weight": table for c, table in enumerate(value.split(256))}
        elif not name.endswith("offdiag_matrix"):  # a constant that is never used
            ours[rename(name)] = value
    return ours


def rename(name: str) -> str:
    """Return our name of the authors' parameter `name`."""
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def import_run(authors_run_dir: Path, run_dir: Path) -> list[str]:
    """Make the run folder `run_dir` from one of the authors' code; return what there is to say about it.

    Raises UserError if theirs lacks something or does not fit together, or if `run_dir` is there already.
    """
    if run_dir.exists():
        raise UserError(f"{run_dir} is there already; choose another --out, or delete it")
    theirs = runs.read_hparams(authors_run_dir)
    checkpoint = _only_checkpoint(authors_run_dir / "checkpoints")
    hparams, notes = import_hparams(theirs, authors_run_dir)
    state = read_checkpoint(checkpoint).get("state_dict")
    if not isinstance(state, dict):
        raise UserError(f"{checkpoint}: has no state_dict")
    try:
        ours = from_authors(hparams["model"], state)
    except ValueError as error:
        raise UserError(f"{checkpoint}: {error}") from None
    load_weights(new_model(hparams, authors_run_dir), ours, checkpoint)
    content = io.BytesIO()
    torch.save({"state_dict": {f"model.{name}": value for name, value in ours.items()}}, content)
    try:
        write_atomically(run_dir / runs.BEST, content.getvalue())
        write_atomically(run_dir / runs.HPARAMS, yaml.safe_dump(hparams, sort_keys=False).encode())
    except OSError as error:
        raise UserError(f"cannot write {run_dir}: {error.strerror}") from None
    return [*notes, f"{checkpoint} → {run_dir}"]


def _only_checkpoint(folder: Path) -> Path:
    found = sorted(folder.glob("*.ckpt"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise UserError(f"{folder}: expected one checkpoint *.ckpt, found {names}")
    return found[0]


def import_hparams(theirs: Mapping[str, Any], source: Path) -> tuple[dict[str, Any], list[str]]:
    """Return our hparams for the authors', and notes; options that they lack get their published meaning."""
    notes = []
    try:
        model, dataset = check_model(theirs["model"]), theirs["dataset"]
        chosen = {option.name: theirs[option.name] for option in options_of(model) if option.name in theirs}
        if chosen.get("content_rel_attn"):
            chosen["content_rel_attn"] = False
            notes.append("content_rel_attn had no effect in the authors' code: imported as the model without it")
        hparams = {"model": model, "dataset": dataset, **run_options(model, chosen)}
    except KeyError as error:
        raise UserError(f"{source / runs.HPARAMS}: lacks {error}") from None
    except (TypeError, ValueError) as error:
        raise UserError(f"{source / runs.HPARAMS}: {error}") from None
    return hparams | {"data_path": "data", "imported_from": str(source)}, notes


def new_model(hparams: Mapping[str, Any], run_dir: Path) -> nn.Module:
    """Build the model that a run's hparams describe; raises UserError, naming the run, if they describe none."""
    own = {option.name: hparams[option.name] for option in MODEL_OPTIONS if option.name in hparams}
    try:
        trained = options_of(check_model(hparams["model"]))
        run_options(
            hparams["model"], {option.name: hparams[option.name] for option in trained if option.name in hparams}
        )
        return build_model(hparams["model"], in_features=CHANNELS[hparams["dataset"]], **own)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{run_dir / runs.HPARAMS}: describes no model ({error})") from None


def load_weights(model: nn.Module, state: Mapping[str, Tensor], source: Path) -> None:
    """Load a state dict; raises UserError, naming `source` and the first misfit, if the two do not fit."""
    try:
        model.load_state_dict(dict(state))
    except RuntimeError as error:
        raise UserError(f"{source}: does not fit {runs.HPARAMS} ({str(error).splitlines()[1].strip()})") from None


def load_run(run_dir: Path) -> tuple[dict[str, Any], nn.Module]:
    """Return a run's hparams and its model with the weights of its tested epoch, the best or the last.

    Raises UserError if they are not all there.
    """
    hparams = TRAINING_DEFAULTS | runs.read_run(run_dir)
    model = new_model(hparams, run_dir)
    checkpoint = run_dir / (runs.LAST if hparams["tested"] == "last" else runs.BEST)
    state = read_checkpoint(checkpoint).get("state_dict", {})
    load_weights(model, {name.removeprefix("model."): value for name, value in state.items()}, checkpoint)
    return hparams, model


class _Inert:
    """Stands for a class that old checkpoints name and that nothing here needs."""


# Lightning 1.1 wrote these classes into every checkpoint; they are read as names, not imported
LEGACY_GLOBALS: list[Any] = [
    (type("ModelCheckpoint", (_Inert,), {}), "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint"),
    (type("EarlyStopping", (_Inert,), {}), "pytorch_lightning.callbacks.early_stopping.EarlyStopping"),
    (dict, "pytorch_lightning.utilities.parsing.AttributeDict"),
]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint file onto the CPU, weights and plain data only.

    Raises UserError if it is missing, damaged, or needs more than weights_only loading allows.
    """
    try:
        if zipfile.is_zipfile(path) and (damaged := zipfile.ZipFile(path).testzip()):  # torch reads on
            raise ValueError(f"wrong checksum of {damaged}")
        with torch.serialization.safe_globals(LEGACY_GLOBALS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint; train the run first") from None
    except pickle.UnpicklingError as error:
        unsafe = re.search(r"GLOBAL (\S+)|(?:class|operand|type) (\S+)", str(error))
        what = f", {unsafe[1] or unsafe[2]}" if unsafe else ""
        raise UserError(f"{path}: refused, it holds more than weights and plain data{what}") from None
    except Exception as error:  # a damaged file can raise nearly anything
        raise UserError(
            f"{path}: damaged or no checkpoint ({(str(error) or type(error).__name__).splitlines()[0]})"
        ) from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: no checkpoint, it holds a {type(content).__name__}")
    return content
