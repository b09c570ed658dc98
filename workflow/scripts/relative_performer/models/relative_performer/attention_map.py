"""The attention over relative positions that a RelativePerformer has learnt."""

import torch
from torch import Tensor

from relative_performer.models.relative_performer.model import RelativeAttention, RelativePerformer


def attention_map(model: RelativePerformer, radius: int) -> tuple[int, list[Tensor]]:
    """Return the first head, 0, and a map (H, n, n) for every layer; n = 2·radius + 1.

    A map is the exponential of the positional part of q·k/√d_k. For every pair (sin, cos) of frequency w this part is
    a cos(wδ) − b sin(wδ), where δ is the difference of rows or columns.
    """
    frequencies = model.positions.frequencies
    return 0, [positional_attention(block.attention, frequencies, radius) for block in model.blocks]  # type: ignore[union-attr, arg-type]


def positional_attention(attention: RelativeAttention, frequencies: Tensor, radius: int) -> Tensor:
    """Return the map (H, n, n) of one layer."""
    angles = torch.arange(-radius, radius + 1)[:, None] * frequencies  # (n, S/2)
    pairs = 2 * len(frequencies)
    a, b = (x.view(-1, pairs).split(pairs // 2, dim=1) for x in (attention.alpha, attention.beta))
    rows, columns = (a[i] @ angles.cos().T - b[i] @ angles.sin().T for i in (0, 1))  # (H, n)
    return ((rows[:, :, None] + columns[:, None, :]) / attention.projection_matrix.shape[1] ** 0.5).exp()
