"""How far a trained model is from translational equivariance, separately for each cause."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from relative_performer.data.batches import subset
from relative_performer.data.shifts import free_space, shift_images
from relative_performer.errors import UserError
from relative_performer.evaluation.trained_run import TrainedRun
from relative_performer.models import find_model
from relative_performer.models.declaration import Model
from relative_performer.ops.favor import draw_projection_matrix
from relative_performer.runs.checkpoints import load_weights, new_model

MULTIPLES = (1, 2, 4, 8, 16)  # of the published number of random features
DRAWS = 3
PER_IMAGE = {"key_stabilizer": "head"}
PLACE = ["run_dir", "variant", "multiple", "draw", "shift"]
COLUMNS = [*PLACE, "images", "consistency", "change_mean", "change_max"]


@dataclass(frozen=True)
class Variant:
    """A trained model with other options, or with `multiple` times as many, newly drawn random features."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    multiple: int = 1
    draw: int = 0


def equivariance(run: TrainedRun, min_shift: int, count: int) -> pd.DataFrame:
    """Return how predictions and logits change under shifts by columns: a row per variant of the model and shift.

    The images are the first `count` test images with room for `min_shift`. consistency is the fraction of images whose
    predicted class stays the same. change_mean and change_max are the mean and maximum over images of the distance
    between the logits of the shifted and the unshifted image. Their unit is the spread of the unshifted logits over
    images, the root mean square distance from the mean.

    Raises UserError for a model without random features, or if there are no such images.
    """
    model = find_model(run.hparams["model"])
    if not model.has_option("key_stabilizer"):
        raise UserError(f"{run.run_dir}: {run.hparams['model']} has no random features, whose effect is measured here")
    images, _ = subset(run.arrays, "test", None, run.device)
    images = images[free_space(images) >= min_shift][:count]
    if not len(images):
        raise UserError(f"no test image has {min_shift} free columns on both sides; choose a smaller --min_shift")
    weights, rows = run.model.state_dict(), []
    for variant in tqdm([*variants(model)], desc=run.run_dir.name, unit="variant", disable=None):
        run.model = rebuild(run, weights, variant)
        base = run.logits(images, variant.name)
        spread = (base - base.mean(0)).square().sum(1).mean().sqrt()
        for shift in shifts_of(variant, min_shift):
            moved = run.logits(shift_images(images, 0, shift), variant.name)
            change = (moved - base).square().sum(1).sqrt() / spread
            same = (moved.argmax(1) == base.argmax(1)).double().mean()
            place = [str(run.run_dir), variant.name, variant.multiple, variant.draw, shift]
            rows.append([*place, len(images), same.item(), change.mean().item(), change.max().item()])
    return pd.DataFrame(rows, columns=COLUMNS)


def variants(model: Model) -> Iterator[Variant]:
    """Yield the variants of a model. Each removes one more cause of change than the one before."""
    yield Variant("as trained")
    yield Variant("stabiliser per image", PER_IMAGE)
    options = dict(PER_IMAGE)
    if model.has_option("class_position"):
        options |= {"class_position": "none"}
        yield Variant("class token nowhere", options)
    if model.has_option("no_projection"):
        yield Variant("exact softmax", options | {"no_projection": True})
    for multiple in MULTIPLES:
        for draw in range(DRAWS):
            yield Variant("redrawn", options, multiple=multiple, draw=draw)


def shifts_of(variant: Variant, min_shift: int) -> Sequence[int]:
    """Return all shifts or, for the many redrawn variants, the two largest."""
    return (-min_shift, min_shift) if variant.name == "redrawn" else range(-min_shift, min_shift + 1)


def rebuild(run: TrainedRun, weights: Mapping[str, Tensor], variant: Variant) -> nn.Module:
    """Return the run's model with the options of a variant and, for a redrawn variant, new random features."""
    model = new_model({**run.hparams, **variant.options}, run.run_dir)
    load_weights(model, weights, run.run_dir)
    if variant.name == "redrawn":
        torch.manual_seed(variant.draw)
        for layer in model.modules():
            if isinstance(matrix := getattr(layer, "projection_matrix", None), Tensor):
                layer.projection_matrix = draw_projection_matrix(matrix.shape[1], variant.multiple)
    return model.to(run.device).eval()
