"""The random features of FAVOR+: their projection matrix, and what is projected."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

EPSILON = 1e-4  # added to every feature; without it the published logits change by up to 4


class Operand(NamedTuple):
    """Queries or keys, in two parts whose widths add up to d_k. The shared part is the same in all images."""

    per_image: Tensor  # (B, H, N, width)
    shared: Tensor | None = None  # (H or 1, N, width)


def n_features(key_dim: int) -> int:
    """Return the number m of random features for queries and keys of width `key_dim`."""
    return int(key_dim * math.log(key_dim))


def draw_projection_matrix(key_dim: int, times: int = 1) -> Tensor:
    """Draw W (times · m, d_k), orthogonal in blocks of d_k rows, with the norms of Gaussian vectors.

    No sign correction follows the QR decomposition, as published: the blocks are not exactly Haar-distributed.
    W is drawn on the CPU, so that a seed gives the same W on every device.
    """
    m = times * n_features(key_dim)
    blocks = [torch.linalg.qr(torch.randn(key_dim, key_dim)).Q.T for _ in range(math.ceil(m / key_dim))]
    norms = torch.randn(m, key_dim).norm(dim=1, keepdim=True)
    return norms * torch.cat(blocks)[:m]
