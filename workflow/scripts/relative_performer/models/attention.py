"""FAVOR+ attention over tokens.

B: images, N: tokens, Q: queries (N, or 1 for only the class token), D: dim, H: heads, d = D/H, d_k: width of keys.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from relative_performer.ops.dropout import Dropout
from relative_performer.ops.favor import favor_attention
from relative_performer.ops.random_features import Operand, draw_projection_matrix


def split_heads(x: Tensor, head_dim: int) -> Tensor:
    """Return x (B, N, H·d) as (B, H, N, d)."""
    return x.unflatten(-1, (-1, head_dim)).transpose(1, 2)


class FavorAttention(nn.Module):
    """FAVOR+ attention of all heads, or exact softmax attention with `no_projection`."""

    projection_matrix: Tensor

    def __init__(
        self, dim: int, heads: int, dropout: float, no_projection: bool, key_stabilizer: str, position_width: int = 0
    ) -> None:
        super().__init__()
        self.head_dim = dim // heads
        self.no_projection = no_projection
        self.key_stabilizer = key_stabilizer
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.output = nn.Linear(dim, dim)
        self.dropout = Dropout(dropout)
        self.register_buffer("projection_matrix", draw_projection_matrix(self.head_dim + position_width))

    def forward(self, tokens: Tensor, position: Tensor | None, query_slice: slice) -> Tensor:
        """Return the attention (B, Q, D) of the tokens in `query_slice` to all `tokens` (B, N, D)."""
        query, key = self.queries_and_keys(tokens, position, query_slice)
        value = split_heads(self.value(tokens), self.head_dim)
        if self.no_projection:
            out = scaled_dot_product_attention(_join(query), _join(key), value).transpose(1, 2).flatten(2)
        else:
            out = favor_attention(query, key, value, self.projection_matrix, self.key_stabilizer)
        return self.dropout(self.output(out))

    def queries_and_keys(self, tokens: Tensor, position: Tensor | None, query_slice: slice) -> tuple[Operand, Operand]:
        """Return the queries (B, H, Q, d_k) and the keys (B, H, N, d_k)."""
        query = split_heads(self.query(tokens[:, query_slice]), self.head_dim)
        return Operand(query), Operand(split_heads(self.key(tokens), self.head_dim))

    def redraw(self) -> None:
        """Draw a new projection matrix."""
        if not self.no_projection:
            self.projection_matrix.copy_(draw_projection_matrix(self.projection_matrix.shape[1]))


def _join(operand: Operand) -> Tensor:
    """Return both parts of an operand concatenated (B, H, N, d_k)."""
    if operand.shared is None:
        return operand.per_image
    shared = operand.shared.to(operand.per_image.dtype).expand(*operand.per_image.shape[:-1], -1)
    return torch.cat([operand.per_image, shared], dim=-1)
