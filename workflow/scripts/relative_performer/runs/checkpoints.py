"""Checkpoints: read safely, and turned into models."""

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from relative_performer.config.options import complete_hparams, options_of, run_options
from relative_performer.data import DATASETS
from relative_performer.errors import UserError
from relative_performer.models import build_model, find_model
from relative_performer.runs import folders
from relative_performer.runs.weights import load_weights


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


def read_trained(run_dir: Path) -> tuple[dict[str, Any], nn.Module]:
    """Return a run's hparams and its model with the weights to test, those of the best or the last epoch.

    Raises UserError if something is missing or damaged.
    """
    hparams = complete_hparams(folders.read_run(run_dir))
    model = new_model(hparams, run_dir)
    checkpoint = folders.tested_checkpoint(run_dir, hparams)
    state = read_checkpoint(checkpoint).get("state_dict", {})
    load_weights(model, {name.removeprefix("model."): value for name, value in state.items()}, checkpoint)
    return hparams, model


class _Inert:
    """Replaces a class that old checkpoints name and that nothing here needs."""

    def __init__(self, *_: Any) -> None:
        pass


PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
# Lightning 1.1 wrote these classes into every checkpoint; they are read as names, not imported
LEGACY_GLOBALS: list[Any] = [
    (type("ModelCheckpoint", (_Inert,), {}), "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint"),
    (type("EarlyStopping", (_Inert,), {}), "pytorch_lightning.callbacks.early_stopping.EarlyStopping"),
    (dict, "pytorch_lightning.utilities.parsing.AttributeDict"),
    # the folder of the checkpoints, where a newer fsspec was installed
    *((type(name, (_Inert,), {}), f"pathlib.{name}") for name in PATHS),
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
