"""FAVOR+: attention by positive random features, linear in the number of tokens.

B: images, H: heads, N: tokens, Q: queries, m: random features, d_k: width of queries and keys, d: width of values.
Queries and keys come in parts whose widths add up to d_k; a part that is the same for all images or all heads lacks
that axis (or has it with length 1), so it is projected once and not for every image.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

EPSILON = 1e-4  # added to every feature; without it the published logits move by up to 4


def n_features(key_dim: int) -> int:
    """Number m of random features for queries and keys of width `key_dim`."""
    return int(key_dim * math.log(key_dim))


def draw_features(key_dim: int) -> Tensor:
    """Draw the random directions W (m, d_k): orthogonal within blocks of d_k, as long as Gaussian vectors.

    No sign correction follows the QR decomposition, as published: the blocks are not exactly Haar-distributed.
    Drawn on the CPU, so that a seed gives the same W on every device.
    """
    m = n_features(key_dim)
    blocks = [torch.linalg.qr(torch.randn(key_dim, key_dim)).Q.T for _ in range(math.ceil(m / key_dim))]
    lengths = torch.randn(m, key_dim).norm(dim=1, keepdim=True)
    return lengths * torch.cat(blocks)[:m]


def favor_attention(
    query: Sequence[Tensor], key: Sequence[Tensor], value: Tensor, directions: Tensor, key_stabilizer: str
) -> Tensor:
    """Attend with random features: (B, H, Q, d).

    query, key: parts (…, Q, width) and (…, N, width). value: (B, H, N, d). directions: W (m, d_k).
    key_stabilizer: see `key_features`.
    """
    with torch.autocast(value.device.type, enabled=False):
        phi_q = query_features(query, directions)  # (B, H, Q, m)
        phi_k = key_features(key, directions, key_stabilizer)  # (B, H, N, m)
        value = value.to(phi_k.dtype)
        numerator = phi_q @ (phi_k.transpose(-1, -2) @ value)
        return numerator / (phi_q @ phi_k.sum(-2).unsqueeze(-1))


def query_features(parts: Sequence[Tensor], directions: Tensor) -> Tensor:
    """phi(q) (…, Q, m), up to the factor m^(-1/2), which cancels; stabilised per query."""
    projected, half_norm = _project(parts, directions)
    return (projected - (half_norm + projected.amax(-1, keepdim=True))).exp() + EPSILON


def key_features(parts: Sequence[Tensor], directions: Tensor, stabilizer: str) -> Tensor:
    """phi(k) (…, N, m), up to the factor m^(-1/2), which cancels.

    stabilizer: `batch` subtracts the maximum of the projections over the whole tensor, as published, which makes an
    image's attention depend, by way of EPSILON, on the other images; `head` takes it per image and head.
    """
    projected, half_norm = _project(parts, directions)
    maximum = projected.amax() if stabilizer == "batch" else projected.amax((-1, -2), keepdim=True)
    return (projected - (half_norm + maximum)).exp() + EPSILON


def _project(parts: Sequence[Tensor], directions: Tensor) -> tuple[Tensor, Tensor]:
    """Return s W x (…, N, m) and s²|x|²/2 (…, N, 1), s = d_k^(-1/4), in float32 or better."""
    dtype = torch.promote_types(parts[0].dtype, torch.float32)
    scale = directions.shape[1] ** -0.25
    parts = [scale * part.to(dtype) for part in parts]
    columns = directions.to(dtype).split([part.shape[-1] for part in parts], dim=1)
    projected = [part @ w.T for part, w in zip(parts, columns, strict=True)]
    half_norms = [part.square().sum(-1, keepdim=True) / 2 for part in parts]
    return sum(projected[1:], projected[0]), sum(half_norms[1:], half_norms[0])
