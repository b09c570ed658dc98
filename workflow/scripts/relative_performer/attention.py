"""The attention layers of the four models.

B: images, n: side, N = n² + 1: tokens, Q: queries (N, or 1 where only the class token is asked), D: dim, H: heads,
d = D/H, S: pairs of a position, C: clipping distance.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from relative_performer.dropout import Dropout
from relative_performer.favor import Operand, draw_features, favor_attention, near_weights
from relative_performer.positions import rotate
from relative_performer.rings import WeightedRingSum, ring_sums


def split_heads(x: Tensor, head_dim: int) -> Tensor:
    """(B, N, H·d) → (B, H, N, d)."""
    return x.unflatten(-1, (-1, head_dim)).transpose(1, 2)


class FavorAttention(nn.Module):
    """FAVOR+ attention of all heads; exact softmax under `no_projection`."""

    features: Tensor

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
        self.register_buffer("features", draw_features(self.head_dim + position_width))

    def forward(self, tokens: Tensor, positions: Tensor | None, asked: slice) -> Tensor:
        """Attend from the tokens in `asked` to all `tokens` (B, N, D): (B, Q, D)."""
        query, key = self.queries_and_keys(tokens, positions, asked)
        value = split_heads(self.value(tokens), self.head_dim)
        if self.no_projection:
            out = scaled_dot_product_attention(_join(query), _join(key), value).transpose(1, 2).flatten(2)
        else:
            out = favor_attention(query, key, value, self.features, self.key_stabilizer)
        return self.dropout(self.output(out))

    def queries_and_keys(self, tokens: Tensor, positions: Tensor | None, asked: slice) -> tuple[Operand, Operand]:
        """Return the queries (B, H, Q, d) and the keys (B, H, N, d)."""
        query = split_heads(self.query(tokens[:, asked]), self.head_dim)
        return Operand(query), Operand(split_heads(self.key(tokens), self.head_dim))

    def redraw(self) -> None:
        """Draw the random features anew."""
        if not self.no_projection:
            self.features.copy_(draw_features(self.features.shape[1]))


def _join(operand: Operand) -> Tensor:
    """What differs between images and what they share side by side: (B, H, N, d_k)."""
    if operand.shared is None:
        return operand.own
    shared = operand.shared.to(operand.own.dtype).expand(*operand.own.shape[:-1], -1)
    return torch.cat([operand.own, shared], dim=-1)


class RelativeAttention(FavorAttention):
    """Strategy 1: half of a query is the position, rotated by each head; half of a key is the position itself.

    With `content_rel_attn` a second positional part is rotated by angles that depend on the query's content.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        dropout: float,
        no_projection: bool,
        key_stabilizer: str,
        pos_scales: int,
        content_rel_attn: bool,
    ) -> None:
        pairs = 2 * pos_scales
        super().__init__(dim, heads, dropout, no_projection, key_stabilizer, 2 * pairs * (1 + content_rel_attn))
        self.alpha = nn.Parameter(torch.randn(heads * pairs))
        self.beta = nn.Parameter(torch.randn(heads * pairs))
        self.content_rotation = nn.Linear(dim, 2 * heads * pairs) if content_rel_attn else None

    def queries_and_keys(self, tokens: Tensor, positions: Tensor | None, asked: slice) -> tuple[Operand, Operand]:
        """Return queries and keys with their positional parts; positions are (N, 2S)."""
        assert positions is not None
        (query, _), (key, _) = super().queries_and_keys(tokens, positions, asked)
        pairs = positions.shape[-1] // 2
        alpha, beta = (x.view(-1, 1, pairs) for x in (self.alpha, self.beta))  # (H, 1, S)
        rotated = rotate(positions[asked], alpha, beta)  # (H, Q, 2S)
        if self.content_rotation is None:
            return Operand(query, rotated), Operand(key, positions[None])
        angles = self.content_rotation(tokens[:, asked]).unflatten(-1, (-1, pairs, 2)).transpose(1, 2)
        by_content = rotate(positions[asked], angles[..., 0], angles[..., 1])  # (B, H, Q, 2S)
        query = torch.cat([query, by_content.to(query.dtype)], dim=-1)
        return Operand(query, rotated), Operand(key, positions.repeat(1, 2)[None])


class ClippedRelativeAttention(nn.Module):
    """Strategy 2: FAVOR+ in the first H//2 heads; in the others a learnt row per clipped distance replaces the keys.

    The class token is the last one and at distance C from every key. As a query it stands one step below the
    bottom-left pixel (`class_position` corner, as published) or at distance C from every pixel too (none).
    """

    features: Tensor
    distance_features: Tensor

    def __init__(self, dim: int, heads: int, clipping_dist: int, key_stabilizer: str, class_position: str) -> None:
        super().__init__()
        self.head_dim = dim // heads
        self.favor_heads = heads // 2
        self.key_stabilizer = key_stabilizer
        self.class_position = class_position
        self.query = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.output = nn.Linear(dim, dim)
        if self.favor_heads:
            self.key = nn.Linear(dim, self.head_dim * self.favor_heads)
            self.register_buffer("features", draw_features(self.head_dim))
        self.distances = nn.Parameter(torch.zeros(clipping_dist + 1, self.head_dim))
        self.register_buffer("distance_features", draw_features(self.head_dim))

    def forward(self, tokens: Tensor, side: int, asked: slice) -> Tensor:
        """Attend from the tokens in `asked` (all, or the class token) to all `tokens` (B, N, D): (B, Q, D)."""
        query = split_heads(self.query(tokens[:, asked]), self.head_dim)
        value = split_heads(self.value(tokens), self.head_dim)
        heads = self.favor_heads
        key = split_heads(self.key(tokens), self.head_dim) if heads else None
        with torch.autocast(tokens.device.type, enabled=False):
            value = value.to(torch.promote_types(value.dtype, torch.float32))
            out = self.relative_heads(query[:, heads:].to(value.dtype), value[:, heads:], side)
            if key is not None:
                queries_and_keys = Operand(query[:, :heads]), Operand(key)
                favor = favor_attention(*queries_and_keys, value[:, :heads], self.features, self.key_stabilizer)
                out = torch.cat([favor, out], dim=-1)
        return self.output(out)

    def relative_heads(self, query: Tensor, value: Tensor, side: int) -> Tensor:
        """Attend by clipped distance alone: query (B, h, Q, d), value (B, h, N, d) → (B, Q, h·d).

        Everything is at distance C but for the pixels in the rings of radius 0 to C − 1, whose weights are taken
        relative to that of C.
        """
        weights = near_weights(query, self.distances, self.distance_features)  # (B, h, Q, C + 1)
        far, near = weights[..., -1:], weights[..., :-1] - weights[..., -1:]
        numerator, denominator = far * value.sum(-2, keepdim=True), far * value.shape[-2]
        top, bottom = self.class_rings(near[:, :, -1:], value, side)
        if query.shape[-2] > 1:
            pixels = near[:, :, :-1].unflatten(2, (side, side)), value[:, :, :-1].unflatten(2, (side, side))
            counts = torch.stack(list(ring_sums(value.new_ones(side, side, 1), near.shape[-1])), dim=-1)  # (n, n, 1, C)
            top = torch.cat([WeightedRingSum.apply(*pixels).flatten(2, 3), top], dim=2)
            pixel_count = (pixels[0] * counts.squeeze(2)).sum(-1, keepdim=True).flatten(2, 3)
            bottom = torch.cat([pixel_count, bottom], dim=2)
        return ((numerator + top) / (denominator + bottom)).transpose(1, 2).flatten(2)

    def class_rings(self, near: Tensor, value: Tensor, side: int) -> tuple[Tensor, Tensor]:
        """The class token's weighted sum over near pixels (B, h, 1, d) and its sum of weights (B, h, 1, 1)."""
        row, column = torch.meshgrid(*2 * [torch.arange(side)], indexing="ij")
        distance = (side - row + column).flatten()
        nearest = near.shape[-1] if self.class_position == "corner" else 0
        index = torch.nonzero(distance < nearest).squeeze(-1)
        # found on the CPU: a GPU would have to wait for how many there are
        index, distance = (x.to(value.device, non_blocking=True) for x in (index, distance[index]))
        weights = near[..., distance]  # (B, h, 1, near pixels)
        return weights @ value[:, :, index], weights.sum(-1, keepdim=True)

    def redraw(self) -> None:
        """Draw the random features of the FAVOR+ heads anew; those of the relative heads stay, as published."""
        if self.favor_heads:
            self.features.copy_(draw_features(self.head_dim))
