"""RelativePerformer from the formulas."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from relative_performer.models import naive


def naive_logits(options: Mapping[str, Any], state: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Return the logits (B, classes) in eval mode."""
    tokens = naive.with_class_token_first(state, naive.embed(options, state, images))
    sinusoids = naive.sinusoids(state, *images.shape[1:3])
    position = torch.cat([torch.zeros_like(sinusoids[:1]), sinusoids])  # (N, 2S)
    return naive.transformer(options, state, tokens, partial(attention, position))


def attention(position: Tensor, options: Mapping[str, Any], state: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Return the attention of all heads (B, N, D) to tokens x (B, N, D) at `position` (N, 2S)."""
    heads, pairs = options["heads"], 2 * options["pos_scales"]
    query, key = (naive.by_head(naive.affine(state, name, x), heads) for name in ("query", "key"))
    position = position.expand(*query.shape[:3], 2 * pairs)
    query_parts, key_parts = [query], [key]
    if options["content_rel_attn"]:
        a_and_b = naive.affine(state, "content_rotation", x).unflatten(-1, (heads, pairs, 2)).transpose(1, 2)
        query_parts.append(turned(position, a_and_b[..., 0], a_and_b[..., 1]))
        key_parts.append(position)
    a, b = (state[name].view(heads, 1, pairs).expand(*query.shape[1:3], pairs) for name in ("alpha", "beta"))
    query_parts.append(turned(position, a, b))
    key_parts.append(position)
    return naive.attend(options, state, x, torch.cat(query_parts, dim=-1), torch.cat(key_parts, dim=-1))


def turned(p: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return p R, where R is block diagonal with the blocks [[a, b], [−b, a]]."""
    blocks = torch.stack([torch.stack([a, b], dim=-1), torch.stack([-b, a], dim=-1)], dim=-2)  # (…, S, 2, 2)
    return (p.unflatten(-1, (-1, 1, 2)) @ blocks).flatten(-3)
