"""ClippedRelativePerformer from the formulas."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from relative_performer.models import naive
from relative_performer.ops import naive as ops


def naive_logits(options: Mapping[str, Any], state: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Return the logits (B, classes) in eval mode; the class token is the last token."""
    pixels = naive.embed(options, state, images)
    tokens = torch.cat([pixels, state["class_query"].expand(len(pixels), 1, -1)], dim=1)
    size = images.shape[1], images.shape[2]
    return naive.transformer(options, state, tokens, partial(attention, size), class_token=-1)


def attention(size: tuple[int, int], options: Mapping[str, Any], state: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Return the attention of all heads (B, N, D) to the tokens x (B, N, D) of an image of `size`."""
    heads, favor_heads = options["heads"], options["heads"] // 2
    query, value = (naive.by_head(naive.affine(state, name, x), heads) for name in ("query", "value"))
    weights = [distance_weights(options, state, query[:, favor_heads:], size)]
    if favor_heads:
        key = naive.by_head(naive.affine(state, "key", x), favor_heads)
        favor = ops.favor_weights(query[:, :favor_heads], key, state["projection_matrix"], options["key_stabilizer"])
        weights.insert(0, favor)
    return naive.affine(state, "output", ops.attend(torch.cat(weights, dim=1), value))


def distance_weights(
    options: Mapping[str, Any], state: Mapping[str, Tensor], query: Tensor, size: tuple[int, int]
) -> Tensor:
    """Return phi(q_i)·phi(r_delta(i, j)) (B, relative heads, N, N) for all tokens i and j."""
    height, width = size
    far, w = options["clipping_dist"], state["distance_projection_matrix"]
    class_row = height if options["class_position"] == "corner" else 10 * (height + width + far)
    places = [(t // width, t % width) for t in range(height * width)] + [(class_row, 0)]
    delta = torch.tensor([[min(abs(a - r) + abs(b - c), far) for r, c in places] for a, b in places])
    delta[:, -1] = far  # as a key the class token is at distance C from every token, itself included
    rows = ops.key_features(state["distances"], w, batch_maximum=True)[delta]  # (N, N, m)
    return torch.einsum("bhim,ijm->bhij", ops.query_features(query, w), rows)
