"""The four models written down once more, straight from the formulas: N×N attention, float64, no tricks.

Slow, and there to be compared with: tests hold the fast models against it, in logits and in every gradient.
B: images, n: side, c: channels, N = n² + 1: tokens, D: dim, H: heads, d = D/H, m: random features, S: pairs.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding, gelu, layer_norm, linear, relu


def naive_logits(name: str, options: Mapping[str, Any], state: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Return the logits (B, classes) of the model `name` in eval mode.

    options: as `model_options` completes them. state: parameters and buffers by name, float64. images: (B, n, n, c).
    """
    side = images.shape[1]
    pixels = embed(options["embedding_type"], state, images).flatten(1, 2)
    p = positions(name, options, state, side)  # (N − 1, E) or None
    if name == "Performer":
        assert p is not None
        pixels = pixels + p
    class_token = state["class_query"].expand(len(images), 1, -1)
    class_last = name == "ClippedRelativePerformer"
    x = torch.cat([pixels, class_token] if class_last else [class_token, pixels], dim=1)
    for block in range(options["depth"]):
        own = {
            key.removeprefix(f"blocks.{block}."): t for key, t in state.items() if key.startswith(f"blocks.{block}.")
        }
        x = x + attend(name, options, own, normalise(own, "attention_norm", x), p, side)
        hidden = gelu(affine(own, "feed_forward.inner", normalise(own, "feed_forward_norm", x)))
        x = x + affine(own, "feed_forward.outer", hidden)
    return affine(state, "head", x[:, -1 if class_last else 0])


def affine(state: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    return linear(x, state[f"{name}.weight"], state[f"{name}.bias"])


def normalise(state: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    return layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])


def embed(kind: str, state: Mapping[str, Tensor], images: Tensor) -> Tensor:
    if kind == "linear":
        return affine(state, "embedding", images)
    if kind == "MLP":
        return affine(state, "embedding.2", relu(affine(state, "embedding.0", images)))
    tables = [state[f"embedding.channels.{k}.weight"] for k in range(images.shape[-1])]
    return torch.cat([embedding(images[..., k].long(), table) for k, table in enumerate(tables)], dim=-1)


def positions(name: str, options: Mapping[str, Any], state: Mapping[str, Tensor], side: int) -> Tensor | None:
    """The sinusoids of every pixel's row and column, one number after the other."""
    if "positions.frequencies" not in state:
        return None
    frequencies = state["positions.frequencies"]
    tokens = []
    for t in range(side * side):
        angles = [scalar * w for scalar in (t // side, t % side) for w in frequencies]
        tokens.append(torch.stack([wave for angle in angles for wave in (angle.sin(), angle.cos())]))
    return torch.stack(tokens)


def attend(
    name: str, options: Mapping[str, Any], own: Mapping[str, Tensor], x: Tensor, p: Tensor | None, side: int
) -> Tensor:
    """Every head's attention, from its N×N weights."""
    heads, batch_maximum = options["heads"], options["key_stabilizer"] == "batch"
    query, value = by_head(affine(own, "attention.query", x), heads), by_head(affine(own, "attention.value", x), heads)
    if name == "ClippedRelativePerformer":
        favor_heads = heads // 2
        weights = [distance_weights(options, own, query[:, favor_heads:], side)]
        if favor_heads:
            key = by_head(affine(own, "attention.key", x), favor_heads)
            w = own["attention.features"]
            weights.insert(0, phi_query(query[:, :favor_heads], w) @ phi_key(key, w, batch_maximum).mT)
        weight = torch.cat(weights, dim=1)
    else:
        key = by_head(affine(own, "attention.key", x), heads)
        if name == "RelativePerformer":
            assert p is not None
            query, key = with_positions(options, own, x, query, key, p)
        w = own["attention.features"]
        if options["no_projection"]:
            weight = (query @ key.mT / math.sqrt(query.shape[-1])).exp()
        else:
            weight = phi_query(query, w) @ phi_key(key, w, batch_maximum).mT  # (B, H, N, N)
    out = (weight / weight.sum(-1, keepdim=True)) @ value
    return affine(own, "attention.output", torch.cat(out.unbind(1), dim=-1))


def by_head(x: Tensor, heads: int) -> Tensor:
    return torch.stack(x.chunk(heads, dim=-1), dim=1)


def phi_query(x: Tensor, w: Tensor) -> Tensor:
    projected, half = w.shape[1] ** -0.25 * x @ w.T, w.shape[1] ** -0.5 * (x * x).sum(-1, keepdim=True) / 2
    return w.shape[0] ** -0.5 * ((projected - half - projected.max(-1, keepdim=True).values).exp() + 1e-4)


def phi_key(x: Tensor, w: Tensor, batch_maximum: bool) -> Tensor:
    projected, half = w.shape[1] ** -0.25 * x @ w.T, w.shape[1] ** -0.5 * (x * x).sum(-1, keepdim=True) / 2
    maximum = projected.max() if batch_maximum else projected.flatten(-2).max(-1).values[..., None, None]
    return w.shape[0] ** -0.5 * ((projected - half - maximum).exp() + 1e-4)


def with_positions(
    options: Mapping[str, Any], own: Mapping[str, Tensor], x: Tensor, query: Tensor, key: Tensor, p: Tensor
) -> tuple[Tensor, Tensor]:
    """Append the rotated positions to the queries and the positions to the keys; the class token is at zero."""
    heads, pairs = options["heads"], 2 * options["pos_scales"]
    batch, tokens = x.shape[:2]
    place = torch.cat([torch.zeros_like(p[:1]), p]).expand(batch, heads, tokens, 2 * pairs)
    parts_q, parts_k = [query], [key]
    if options["content_rel_attn"]:
        a_and_b = affine(own, "attention.content_rotation", x).view(batch, tokens, heads, pairs, 2).transpose(1, 2)
        parts_q.append(turned(place, a_and_b[..., 0], a_and_b[..., 1]))
        parts_k.append(place)
    a, b = (own[f"attention.{name}"].view(heads, 1, pairs).expand(heads, tokens, pairs) for name in ("alpha", "beta"))
    parts_q.append(turned(place, a, b))
    parts_k.append(place)
    return torch.cat(parts_q, dim=-1), torch.cat(parts_k, dim=-1)


def turned(p: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """p R, R block diagonal with the blocks [[a, b], [−b, a]]."""
    blocks = torch.stack([torch.stack([a, b], dim=-1), torch.stack([-b, a], dim=-1)], dim=-2)  # (…, S, 2, 2)
    return (p.unflatten(-1, (-1, 1, 2)) @ blocks).flatten(-3)


def distance_weights(options: Mapping[str, Any], own: Mapping[str, Tensor], query: Tensor, side: int) -> Tensor:
    """phi(q_i)·phi(r_delta(i, j)) for all i, j: (B, h, N, N)."""
    far, w = options["clipping_dist"], own["attention.distance_features"]
    class_row = side if options["class_position"] == "corner" else 10 * (side + far)
    places = [(t // side, t % side) for t in range(side * side)] + [(class_row, 0)]
    delta = torch.tensor([[min(abs(a - r) + abs(b - c), far) for r, c in places] for a, b in places])
    delta[:, -1] = far  # as a key the class token is far from everything, itself included
    rows = phi_key(own["attention.distances"], w, batch_maximum=True)[delta]  # (N, N, m)
    return torch.einsum("bhim,ijm->bhij", phi_query(query, w), rows)
