"""How far a model is from translational equivariance, separately for each cause."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
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
from relative_performer.ops.random_features import draw_projection_matrix, n_features
from relative_performer.runs.checkpoints import new_model
from relative_performer.runs.weights import load_weights

MULTIPLES = (1, 2, 4, 8, 16)  # of the published number of random features
DRAWS = 3
PLACE = ["run_dir", "variant", "multiple", "draw", "shift"]
COLUMNS = [*PLACE, "images", "consistency", "change_mean", "change_max"]


@dataclass(frozen=True)
class Variant:
    """A model with other options, with circular shifts, or with `multiple` times as many, newly drawn features."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    multiple: int = 1
    draw: int = 0
    circular: bool = False


def equivariance(run: TrainedRun, min_shift: int, count: int, random_weights: bool = False) -> pd.DataFrame:
    """Return how predictions and logits change under shifts by columns: a row per variant of the model and shift.

    random_weights: measure newly initialised weights instead of the trained ones.

    The images are the first `count` test images with room for `min_shift`. consistency is the fraction of images whose
    predicted class stays the same. change_mean and change_max are the mean and maximum over images of the distance
    between the logits of the shifted and the unshifted image. Their unit is the spread of the unshifted logits over
    images, the root mean square distance from the mean.

    Raises UserError if there are fewer than two such images.
    """
    images, _ = subset(run.arrays, "test", None, run.device)
    images = images[free_space(images) >= min_shift][:count]
    if len(images) < 2:  # a single one has no spread
        raise UserError(
            f"fewer than 2 test images have {min_shift} free columns on both sides; choose a smaller --min_shift or a "
            "larger --limit_test"
        )
    weights, rows = initial_weights(run) if random_weights else run.model.state_dict(), []
    measured = [*variants(find_model(run.hparams["model"]))]
    for variant in tqdm(measured, desc=run.run_dir.name, unit="variant", disable=None):
        run.model = rebuild(run, weights, variant)
        base = run.logits(images, variant.name)
        spread = (base - base.mean(0)).square().sum(1).mean().sqrt()
        for shift in shifts_of(variant, min_shift, images.shape[2]):
            moved = run.logits(shift_images(images, 0, shift, variant.circular), variant.name)
            change = (moved - base).square().sum(1).sqrt() / spread
            same = (moved.argmax(1) == base.argmax(1)).double().mean()
            place = [str(run.run_dir), variant.name, variant.multiple, variant.draw, shift]
            rows.append([*place, len(images), same.item(), change.mean().item(), change.max().item()])
    return pd.DataFrame(rows, columns=COLUMNS)


def variants(model: Model) -> Iterator[Variant]:
    """Yield the variants of a model. Each of the first three removes one more cause of change than the one before."""
    options: dict[str, Any] = {}
    yield Variant("as trained")
    if model.has_option("key_stabilizer"):
        options = options | {"key_stabilizer": "head"}
        yield Variant("stabiliser per image", options)
    if model.has_option("class_position"):
        options = options | {"class_position": "none"}
        yield Variant("class token nowhere", options)
    border = {"circular": True} if model.has_option("circular") else {}
    yield Variant("circular shifts", options | border, circular=True)
    if model.has_option("no_projection"):
        yield Variant("exact softmax", options | {"no_projection": True})
    if model.has_option("key_stabilizer"):
        for multiple, draw in product(MULTIPLES, range(DRAWS)):
            yield Variant("redrawn", options, multiple=multiple, draw=draw)


def shifts_of(variant: Variant, min_shift: int, width: int) -> Sequence[int]:
    """Return all shifts, for circular shifts once around, or the two largest for the many redrawn variants."""
    if variant.circular:
        return range(-(width // 2), (width + 1) // 2)
    return (-min_shift, min_shift) if variant.name == "redrawn" else range(-min_shift, min_shift + 1)


def initial_weights(run: TrainedRun) -> Mapping[str, Tensor]:
    """Return newly initialised weights of the run's model."""
    torch.manual_seed(0)
    return new_model(run.hparams, run.run_dir).state_dict()


def rebuild(run: TrainedRun, weights: Mapping[str, Tensor], variant: Variant) -> nn.Module:
    """Return the run's model with the options of a variant and, for a redrawn variant, new random features."""
    model = new_model({**run.hparams, **variant.options}, run.run_dir)
    load_weights(model, weights, run.run_dir)
    if variant.name == "redrawn":
        torch.manual_seed(variant.draw)
        for layer in model.modules():
            if isinstance(matrix := getattr(layer, "projection_matrix", None), Tensor):
                layer.projection_matrix = draw_features(variant.multiple * len(matrix), matrix.shape[1])
    return model.to(run.device).eval()


def draw_features(count: int, key_dim: int) -> Tensor:
    """Draw W (count, d_k)."""
    return draw_projection_matrix(key_dim, math.ceil(count / n_features(key_dim)))[:count]
