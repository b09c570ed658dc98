"""The attention over relative positions that a model has learnt. n = 2·radius + 1: side of a map."""

from itertools import product

import pandas as pd
import torch
from torch import nn

from relative_performer.errors import UserError
from relative_performer.models import find_model


@torch.no_grad()
def attention_maps(model: nn.Module, radius: int) -> pd.DataFrame:
    """Return a table with layer, head, row, column (both −radius to radius) and weight.

    weight is the attention divided by an equal share, the mean absolute value of its map. Only rotary attention has
    values below 0.

    Raises UserError for a model without relative positions.
    """
    declaration = find_model(type(model).__name__)
    if declaration.attention_map is None:
        raise UserError(f"{declaration.name} has no relative positions: name a run of another model")
    first_head, layers = declaration.load(declaration.attention_map)(model, radius)
    offsets = range(-radius, radius + 1)
    tables = []
    for layer, maps in enumerate(layers):  # (heads, n, n)
        for head, share in enumerate(maps / maps.abs().mean((-1, -2), keepdim=True), first_head):
            table = pd.DataFrame(product(offsets, offsets), columns=["row", "column"])
            tables.append(table.assign(weight=share.flatten().numpy(), layer=layer, head=head))
    return pd.concat(tables)[["layer", "head", "row", "column", "weight"]]
