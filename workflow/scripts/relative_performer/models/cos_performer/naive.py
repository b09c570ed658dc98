"""CosPerformer from the formulas."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from relative_performer.models import naive


def naive_logits(options: Mapping[str, Any], state: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Return the logits (B, classes) in eval mode."""
    tokens = naive.with_class_token_first(state, naive.embed(options, state, images))
    weights = pad(place_weights(images.shape[1], images.shape[2], options["circular"]), (1, 0, 1, 0), value=1)
    return naive.transformer(options, state, tokens, partial(attention, weights))


def attention(weights: Tensor, options: Mapping[str, Any], state: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Return the attention of all heads (B, N, D) to tokens x (B, N, D) with the `weights` (N, N) of their places."""
    query, key, value = (
        naive.by_head(naive.affine(state, name, x), options["heads"]) for name in ("query", "key", "value")
    )
    weights = weights * (query.clamp(min=0) @ key.clamp(min=0).mT)
    out = weights @ value / (weights.sum(-1, keepdim=True) + 1e-4)
    return naive.affine(state, "output", torch.cat(out.unbind(1), dim=-1))


def place_weights(height: int, width: int, circular: bool) -> Tensor:
    """Return the weight (h·w, h·w) of every pair of pixels."""

    def weight(difference: int, length: int) -> float:
        if circular:
            return 1 + math.cos(2 * math.pi * difference / length)
        return math.cos(math.pi * difference / (2 * length))

    places = [(row, column) for row in range(height) for column in range(width)]
    weights = [[weight(a - r, height) * weight(b - c, width) for r, c in places] for a, b in places]
    return torch.tensor(weights, dtype=torch.float64)
