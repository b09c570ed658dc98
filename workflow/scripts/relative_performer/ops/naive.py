"""Naive counterparts of the operations, straight from the formulas: all pairs of tokens, any dtype.

They are slow. Tests compare the fast operations with them in float64, in values and in every gradient.
B: images, H: heads, N: keys, Q: queries, m: random features, d_k: width of queries and keys, d: width of values.
"""

import math

import torch
from torch import Tensor


def favor_weights(query: Tensor, key: Tensor, projection_matrix: Tensor, key_stabilizer: str) -> Tensor:
    """Return phi(q)·phi(k) (B, H, Q, N) of queries (B, H, Q, d_k) and keys (B, H, N, d_k)."""
    phi_q = query_features(query, projection_matrix)
    return phi_q @ key_features(key, projection_matrix, key_stabilizer == "batch").mT


def softmax_weights(query: Tensor, key: Tensor) -> Tensor:
    """Return exp(q·k/√d_k) (B, H, Q, N)."""
    return (query @ key.mT / math.sqrt(query.shape[-1])).exp()


def query_features(x: Tensor, w: Tensor) -> Tensor:
    """Return phi(q) (…, Q, m), stabilised by each query's own maximum."""
    projected, half_norm = _project(x, w)
    maximum = projected.max(-1, keepdim=True).values
    return w.shape[0] ** -0.5 * ((projected - half_norm - maximum).exp() + 1e-4)


def key_features(x: Tensor, w: Tensor, batch_maximum: bool) -> Tensor:
    """Return phi(k) (…, N, m), stabilised by one maximum over the batch, or by a maximum per image and head."""
    projected, half_norm = _project(x, w)
    maximum = projected.max() if batch_maximum else projected.flatten(-2).max(-1).values[..., None, None]
    return w.shape[0] ** -0.5 * ((projected - half_norm - maximum).exp() + 1e-4)


def _project(x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    key_dim = w.shape[1]
    return key_dim**-0.25 * x @ w.T, key_dim**-0.5 * (x * x).sum(-1, keepdim=True) / 2


def attend(weights: Tensor, value: Tensor) -> Tensor:
    """Return Σ_j weight_ij v_j / Σ_j weight_ij, heads concatenated (B, Q, H·d); weights: (B, H, Q, N)."""
    out = (weights / weights.sum(-1, keepdim=True)) @ value
    return torch.cat(out.unbind(1), dim=-1)


def weighted_ring_sum(weights: Tensor, v: Tensor) -> Tensor:
    """Return Σ_e weights_e(i) · Σ_{|i−j|₁ = e} v_j (h, w, d), pair by pair; weights: (h, w, C), v: (h, w, d)."""
    out = torch.zeros_like(v)
    places = [(row, column) for row in range(v.shape[0]) for column in range(v.shape[1])]
    for i in places:
        for j in places:
            distance = abs(i[0] - j[0]) + abs(i[1] - j[1])
            if distance < weights.shape[-1]:
                out[i] = out[i] + weights[i][distance] * v[j]
    return out


def rotary_weights(phi_q: Tensor, phi_k: Tensor, angles: Tensor) -> Tensor:
    """Return the weights (B, H, N, N) of the numerator of rotary attention; the class token is the first token.

    Pairs of pixels have the weight (R_i phi(q_i))·(R_j phi(k_j)). R_i is block diagonal, with a rotation by one of the
    angles (H, N − 1, m/2) in each block. Pairs with the class token have the weight phi(q_i)·phi(k_j).
    """
    cos, sin = angles.cos(), angles.sin()
    blocks = torch.stack([torch.stack([cos, -sin], dim=-1), torch.stack([sin, cos], dim=-1)], dim=-2)
    rotated_q, rotated_k = ((blocks @ phi[:, :, 1:].unflatten(-1, (-1, 2, 1))).flatten(-3) for phi in (phi_q, phi_k))
    weights = phi_q @ phi_k.mT
    pixels = torch.cat([weights[:, :, 1:, :1], rotated_q @ rotated_k.mT], dim=-1)
    return torch.cat([weights[:, :, :1], pixels], dim=-2)
