"""The common part of the naive models, which follow the formulas directly, over all pairs of tokens.

Tests compare the fast models with the naive ones in float64, in logits and in every gradient.
B: images, h, w: height and width, c: channels, N = h·w + 1: tokens, D: dim, H: heads, d = D/H.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding, gelu, layer_norm, linear, relu

from relative_performer.models import find_model
from relative_performer.ops import naive as ops

State = Mapping[str, Tensor]
Attention = Callable[[Mapping[str, Any], State, Tensor], Tensor]


def naive_logits(name: str, options: Mapping[str, Any], state: State, images: Tensor) -> Tensor:
    """Return the logits (B, classes) of the model `name` in eval mode.

    options: all options of the model. state: its parameters and buffers by name, float64. images: (B, h, w, c).
    """
    model = find_model(name)
    assert model.naive
    return model.load(model.naive)(options, state, images)


def transformer(
    options: Mapping[str, Any], state: State, x: Tensor, attention: Attention, class_token: int = 0
) -> Tensor:
    """Map tokens x (B, N, D) through the blocks to logits (B, classes) of the class token."""
    for block in range(options["depth"]):
        own = within(state, f"blocks.{block}")
        x = x + attention(options, within(own, "attention"), normalise(own, "attention_norm", x))
        hidden = gelu(affine(own, "feed_forward.inner", normalise(own, "feed_forward_norm", x)))
        x = x + affine(own, "feed_forward.outer", hidden)
    return affine(state, "head", x[:, class_token])


def attention(options: Mapping[str, Any], state: State, x: Tensor) -> Tensor:
    """Return the attention of all heads (B, N, D) for tokens x (B, N, D), without positions."""
    query, key = (by_head(affine(state, name, x), options["heads"]) for name in ("query", "key"))
    return attend(options, state, x, query, key)


def attend(options: Mapping[str, Any], state: State, x: Tensor, query: Tensor, key: Tensor) -> Tensor:
    """Return the attention (B, N, D) of queries and keys (B, H, N, d_k) to the values of the tokens x (B, N, D)."""
    if options["no_projection"]:
        weights = ops.softmax_weights(query, key)
    else:
        weights = ops.favor_weights(query, key, state["projection_matrix"], options["key_stabilizer"])
    value = by_head(affine(state, "value", x), options["heads"])
    return affine(state, "output", ops.attend(weights, value))


def within(state: State, module: str) -> dict[str, Tensor]:
    """Return the part of a state dict that belongs to one module."""
    prefix = f"{module}."
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def affine(state: State, name: str, x: Tensor) -> Tensor:
    """Apply the affine map `name` to x (…, width)."""
    return linear(x, state[f"{name}.weight"], state[f"{name}.bias"])


def normalise(state: State, name: str, x: Tensor) -> Tensor:
    """Apply the layer norm `name` to x (…, D)."""
    return layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])


def embed(options: Mapping[str, Any], state: State, images: Tensor) -> Tensor:
    """Embed images (B, h, w, c): (B, h·w, D)."""
    match options["embedding_type"]:
        case "linear":
            pixels = affine(state, "embedding", images)
        case "MLP":
            pixels = affine(state, "embedding.2", relu(affine(state, "embedding.0", images)))
        case _:
            tables = [state[f"embedding.channels.{k}.weight"] for k in range(images.shape[-1])]
            pixels = torch.cat([embedding(images[..., k].long(), table) for k, table in enumerate(tables)], dim=-1)
    return pixels.flatten(1, 2)


def sinusoids(state: State, height: int, width: int) -> Tensor:
    """Return the sinusoids (h·w, 2E) of every pixel's row and column, computed one by one."""
    frequencies = state["positions.frequencies"]
    tokens = []
    for t in range(height * width):
        angles = [scalar * w for scalar in (t // width, t % width) for w in frequencies]
        tokens.append(torch.stack([wave for angle in angles for wave in (angle.sin(), angle.cos())]))
    return torch.stack(tokens)


def with_class_token_first(state: State, pixels: Tensor) -> Tensor:
    """Return the tokens (B, N, D) of pixels (B, h·w, D), with the class token first."""
    return torch.cat([state["class_query"].expand(len(pixels), 1, -1), pixels], dim=1)


def by_head(x: Tensor, heads: int) -> Tensor:
    """Return x (B, N, H·d) as (B, H, N, d)."""
    return torch.stack(x.chunk(heads, dim=-1), dim=1)
