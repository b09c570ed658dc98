"""CovarianceTransformer from the formulas."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import gelu

from relative_performer.models import naive


def naive_logits(options: Mapping[str, Any], state: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Return the logits (B, classes) in eval mode."""
    x = naive.with_class_token_first(state, naive.embed(options, state, images))
    for block in range(options["depth"]):
        own = naive.within(state, f"blocks.{block}")
        x = x + attention(options, naive.within(own, "attention"), naive.normalise(own, "attention_norm", x))
        x = x + mixing(options, own, naive.normalise(own, "mixing_norm", x), images.shape[1], images.shape[2])
        hidden = gelu(naive.affine(own, "feed_forward.inner", naive.normalise(own, "feed_forward_norm", x)))
        x = x + naive.affine(own, "feed_forward.outer", hidden)
    return naive.affine(state, "head", x[:, 0])


def attention(options: Mapping[str, Any], state: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Return the attention of all heads (B, N, D) for tokens x (B, N, D)."""
    query, key, value = (
        naive.by_head(naive.affine(state, name, x), options["heads"]) for name in ("query", "key", "value")
    )
    query, key = (y / (y * y).sum(-2, keepdim=True).sqrt() for y in (query, key))
    scores = (state["temperature"] * torch.einsum("bhna,bhnc->bhac", query, key)).exp()
    out = torch.einsum("bhac,bhnc->bhna", scores / scores.sum(-1, keepdim=True), value)
    return naive.affine(state, "output", torch.cat(out.unbind(1), dim=-1))


def mixing(options: Mapping[str, Any], state: Mapping[str, Tensor], x: Tensor, height: int, width: int) -> Tensor:
    """Return what the mixing adds to the tokens (B, N, D)."""
    grid = x[:, 1:].unflatten(1, (height, width))
    grid = convolve(options, naive.within(state, "mixing.first"), grid)
    grid = convolve(options, naive.within(state, "mixing.second"), gelu(grid))
    return torch.cat([grid.mean((1, 2))[:, None], grid.flatten(1, 2)], dim=1)


def convolve(options: Mapping[str, Any], state: Mapping[str, Tensor], grid: Tensor) -> Tensor:
    """Return the depthwise 3×3 convolution of `grid` (B, h, w, D), pixel by pixel."""
    height, width = grid.shape[1:3]
    out = state["bias"].expand_as(grid).clone()
    for row in range(height):
        for column in range(width):
            for i in range(3):
                for j in range(3):
                    r, c = row + i - 1, column + j - 1
                    if options["circular"] or (0 <= r < height and 0 <= c < width):
                        out[:, row, column] += state["weight"][:, 0, i, j] * grid[:, r % height, c % width]
    return out
