"""Trained models: from the folder of a run, or from an exported one."""

from pathlib import Path
from typing import Any

from torch import nn

from relative_performer.errors import UserError
from relative_performer.runs.exported import is_exported, read_exported


def load_run(folder: Path) -> tuple[dict[str, Any], nn.Module]:
    """Return the hparams of a run or of an exported model, and its model with the weights to test.

    Raises UserError if something is missing or damaged.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: not a run folder: there is no such folder; name one, or that of an exported model")
    if is_exported(folder):
        return read_exported(folder)
    # run folders need more packages than exported models
    from relative_performer.runs.checkpoints import read_trained

    return read_trained(folder)


def load_model(folder: str | Path) -> nn.Module:
    """Return a trained model in eval mode: images (B, h, w, c) → logits (B, classes).

    folder: the folder of a run, an exported model, or a folder in resources/weights. The attribute `hparams` of the
    model has every option of its run. `relative_performer.data.batches.model_input` turns uint8 images into its input.
    Raises UserError if the folder holds no trained model.
    """
    hparams, model = load_run(Path(folder))
    model.hparams = hparams  # type: ignore[assignment]
    return model.eval()
