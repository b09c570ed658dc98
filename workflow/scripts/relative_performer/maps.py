"""The attention over relative positions that trained weights stand for. R: radius, n = 2R + 1: side of a map."""

from itertools import product

import pandas as pd
import torch
from torch import Tensor, nn

from relative_performer.attention import ClippedRelativeAttention, RelativeAttention
from relative_performer.cli import UserError
from relative_performer.favor import near_weights


@torch.no_grad()
def attention_maps(model: nn.Module, radius: int) -> pd.DataFrame:
    """Return layer, head, row, column (both −R to R) and weight: the attention beside an equal share.

    Raises UserError for a model without relative positions.
    """
    tables = []
    for layer, block in enumerate(model.blocks):  # type: ignore[arg-type]
        attention = block.attention
        if isinstance(attention, RelativeAttention):
            first_head, maps = 0, strategy_1(attention, model.positions.frequencies, radius)  # type: ignore[union-attr, arg-type]
        elif isinstance(attention, ClippedRelativeAttention):
            first_head, maps = attention.favor_heads, strategy_2(attention, radius)
        else:
            raise UserError(f"{type(model).__name__} has no relative positions: name a run of another model")
        shares = maps / maps.mean((-1, -2), keepdim=True)
        offsets = range(-radius, radius + 1)
        for head, share in enumerate(shares, first_head):
            table = pd.DataFrame(product(offsets, offsets), columns=["row", "column"]).assign(
                weight=share.flatten().numpy()
            )
            tables.append(table.assign(layer=layer, head=head))
    return pd.concat(tables)[["layer", "head", "row", "column", "weight"]]


def strategy_1(attention: RelativeAttention, frequencies: Tensor, radius: int) -> Tensor:
    """exp of the positional part of q·k/√d_k (H, n, n): per pair of sin and cos, a cos(wδ) − b sin(wδ)."""
    delta = torch.arange(-radius, radius + 1)[:, None] * frequencies  # (n, S/2)
    pairs = 2 * len(frequencies)
    a, b = (x.view(-1, pairs).split(pairs // 2, dim=1) for x in (attention.alpha, attention.beta))
    rows, columns = (a[i] @ delta.cos().T - b[i] @ delta.sin().T for i in (0, 1))  # (H, n)
    return ((rows[:, :, None] + columns[:, None, :]) / attention.features.shape[1] ** 0.5).exp()


def strategy_2(attention: ClippedRelativeAttention, radius: int) -> Tensor:
    """phi(q)·phi(r_δ) (relative heads, n, n) for the query that is the bias of the query's affine map."""
    query = attention.query.bias.view(-1, 1, attention.head_dim)[attention.favor_heads :]
    weights = near_weights(query[None], attention.distances, attention.distance_features)[0, :, 0]  # (h, C + 1)
    offset = torch.arange(-radius, radius + 1).abs()
    distance = (offset[:, None] + offset[None, :]).clamp(max=weights.shape[-1] - 1)
    return weights[:, distance]
