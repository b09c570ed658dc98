"""The attention over relative positions that a ClippedRelativePerformer has learnt."""

import torch
from torch import Tensor

from relative_performer.models.clipped_relative_performer.model import (
    ClippedRelativeAttention,
    ClippedRelativePerformer,
)
from relative_performer.ops.favor import feature_products


def attention_map(model: ClippedRelativePerformer, radius: int) -> tuple[int, list[Tensor]]:
    """Return the first relative head, and a map (relative heads, n, n) for every layer; n = 2·radius + 1.

    A map is phi(q)·phi(r_δ) for a query without content, which is the bias of the affine map to queries.
    """
    layers = [block.attention for block in model.blocks]
    return layers[0].favor_heads, [distance_attention(layer, radius) for layer in layers]  # type: ignore[union-attr, return-value, arg-type]


def distance_attention(attention: ClippedRelativeAttention, radius: int) -> Tensor:
    """Return the map (relative heads, n, n) of one layer."""
    query = attention.query.bias.view(-1, 1, attention.head_dim)[attention.favor_heads :]
    products = feature_products(query[None], attention.distances, attention.distance_projection_matrix)
    weights = products[0, :, 0]  # (relative heads, C + 1)
    offset = torch.arange(-radius, radius + 1).abs()
    distance = (offset[:, None] + offset[None, :]).clamp(max=weights.shape[-1] - 1)
    return weights[:, distance]
