"""Checkpoints: read safely, and turned into models."""

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from relative_performer.config.options import complete_hparams, options_of, run_options
from relative_performer.data import DATASETS
from relative_performer.errors import UserError
from relative_performer.models import build_model, find_model
from relative_performer.runs import folders

# buffers that once had other names: the ends of both
RENAMED_BUFFERS = {".distance_features": ".distance_projection_matrix", ".features": ".projection_matrix"}


def new_model(hparams: Mapping[str, Any], run_dir: Path) -> nn.Module:
    """Build the model that a run's hparams describe; raises UserError, naming the run, if they describe none."""
    hparams = complete_hparams(hparams)
    try:
        name, dataset = hparams["model"], DATASETS[hparams["dataset"]]
        values = {option.name: hparams[option.name] for option in options_of(name) if option.name in hparams}
        run_options(name, values)
        own = {option.name: values[option.name] for option in find_model(name).options if option.name in values}
        return build_model(name, in_features=dataset.channels, num_classes=hparams["num_classes"], **own)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{run_dir / folders.HPARAMS}: describes no model ({error})") from None


def load_weights(model: nn.Module, state: Mapping[str, Tensor], source: Path) -> None:
    """Load a state dict; raises UserError, naming `source` and the first misfit, if it is of another model."""
    try:
        model.load_state_dict({present_name(name): value for name, value in state.items()})
    except RuntimeError as error:
        raise UserError(f"{source}: does not fit {folders.HPARAMS} ({str(error).splitlines()[1].strip()})") from None


def present_name(name: str) -> str:
    """Return the present name of a parameter or buffer in an old checkpoint."""
    former = next((end for end in RENAMED_BUFFERS if name.endswith(end)), "")
    return name.removesuffix(former) + RENAMED_BUFFERS[former] if former else name


def former_name(name: str) -> str:
    """Return the first name of a parameter or buffer, under which checksums count it."""
    present = {end: former for former, end in RENAMED_BUFFERS.items()}
    end = next((end for end in present if name.endswith(end)), "")
    return name.removesuffix(end) + present[end] if end else name


def load_run(run_dir: Path) -> tuple[dict[str, Any], nn.Module]:
    """Return a run's hparams and its model with the weights to test, those of the best or the last epoch.

    Raises UserError if something is missing or damaged.
    """
    hparams = complete_hparams(folders.read_run(run_dir))
    model = new_model(hparams, run_dir)
    checkpoint = folders.tested_checkpoint(run_dir, hparams)
    state = read_checkpoint(checkpoint).get("state_dict", {})
    load_weights(model, {name.removeprefix("model."): value for name, value in state.items()}, checkpoint)
    return hparams, model


def load_model(run_dir: str | Path) -> nn.Module:
    """Return the trained model of a run folder, in eval mode: images (B, h, w, c) → logits (B, classes).

    `relative_performer.data.batches.model_input` turns uint8 images into its input. Raises UserError if the folder
    holds no trained run.
    """
    return load_run(Path(run_dir))[1].eval()


class _Inert:
    """Replaces a class that old checkpoints name and that nothing here needs."""

    def __init__(self, *_: Any) -> None:
        pass


# Lightning 1.1 wrote these classes into every checkpoint; they are read as names, not imported
LEGACY_GLOBALS: list[Any] = [
    (type("ModelCheckpoint", (_Inert,), {}), "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint"),
    (type("EarlyStopping", (_Inert,), {}), "pytorch_lightning.callbacks.early_stopping.EarlyStopping"),
    (dict, "pytorch_lightning.utilities.parsing.AttributeDict"),
    # the folder of the checkpoints, where a newer fsspec was installed
    *((type(name, (_Inert,), {}), f"pathlib.{name}") for name in ("PosixPath", "WindowsPath", "PurePosixPath")),
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
