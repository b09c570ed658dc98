"""RotaryPerformer from the formulas."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from relative_performer.models import naive
from relative_performer.ops import naive as ops


def naive_logits(options: Mapping[str, Any], state: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Return the logits (B, classes) in eval mode."""
    tokens = naive.with_class_token_first(state, naive.embed(options, state, images))
    size = images.shape[1], images.shape[2]
    return naive.transformer(options, state, tokens, partial(attention, size))


def attention(size: tuple[int, int], options: Mapping[str, Any], state: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Return the attention of all heads (B, N, D) to the tokens x (B, N, D) of an image of `size`."""
    query, key, value = (
        naive.by_head(naive.affine(state, name, x), options["heads"]) for name in ("query", "key", "value")
    )
    w = state["projection_matrix"]
    phi_q, phi_k = ops.query_features(query, w), ops.key_features(key, w, options["key_stabilizer"] == "batch")
    weights = ops.rotary_weights(phi_q, phi_k, angles(size, options, state))
    out = weights @ value / (phi_q @ phi_k.mT).sum(-1, keepdim=True)
    return naive.affine(state, "output", torch.cat(out.unbind(1), dim=-1))


def angles(size: tuple[int, int], options: Mapping[str, Any], state: Mapping[str, Tensor]) -> Tensor:
    """Return ω·p (H, h·w, m/2) of every pixel p = (row, column)."""
    frequencies = state["frequencies"]
    if options["circular"]:
        lowest = torch.tensor([2 * math.pi / n for n in size], dtype=frequencies.dtype)
        frequencies = (frequencies / lowest).round() * lowest
    places = [(row, column) for row in range(size[0]) for column in range(size[1])]
    return torch.stack([row * frequencies[..., 0] + column * frequencies[..., 1] for row, column in places], dim=1)
