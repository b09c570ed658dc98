"""The attention over relative positions that a RotaryPerformer has learnt."""

import torch
from torch import Tensor

from relative_performer.models.rotary_performer.model import RotaryAttention, RotaryPerformer
from relative_performer.ops.naive import key_features, query_features


def attention_map(model: RotaryPerformer, radius: int) -> tuple[int, list[Tensor]]:
    """Return the first head, 0, and a map (H, n, n) for every layer; n = 2·radius + 1.

    A map is (R_i phi(q))·(R_j phi(k)) for a query and a key without content, which are the biases of the affine maps,
    in images of n × n pixels. The last block computes only the class token, which does not use the map of this block.
    """
    return 0, [rotary_products(block.attention, radius) for block in model.blocks]  # type: ignore[union-attr, arg-type]


def rotary_products(attention: RotaryAttention, radius: int) -> Tensor:
    """Return the map (H, n, n) of one layer."""
    side = 2 * radius + 1
    query, key = (affine.bias.view(-1, 1, attention.head_dim) for affine in (attention.query, attention.key))
    phi_q = query_features(query, attention.projection_matrix)
    phi_k = key_features(key, attention.projection_matrix, batch_maximum=True)
    query, key = (torch.view_as_complex(phi.unflatten(-1, (-1, 2))) for phi in (phi_q, phi_k))  # (H, 1, m/2)
    rotation = attention.rotation(side, side)  # (H, n·n, m/2)
    centre = rotation[:, rotation.shape[1] // 2, None]
    products = ((query * centre).conj() * key * rotation).real.sum(-1)
    return products.view(-1, side, side)
