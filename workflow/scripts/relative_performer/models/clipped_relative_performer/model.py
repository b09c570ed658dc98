"""Strategy 2 of Horn et al. (2021): heads whose keys are learnt vectors, one for every clipped distance.

B: images, h, w: height and width, N = h·w + 1: tokens, Q: queries (N, or 1 for only the class token), D: dim,
H: heads, d = D/H, r: relative heads, C: clipping distance.
"""

from types import SimpleNamespace as Options

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from relative_performer.models.attention import split_heads
from relative_performer.models.transformer import ImageTransformer
from relative_performer.ops.favor import favor_attention, feature_products
from relative_performer.ops.random_features import Operand, draw_projection_matrix
from relative_performer.ops.rings import stacked_ring_sums, weighted_ring_sum


class ClippedRelativePerformer(ImageTransformer):
    """A Performer in which half of the heads attend by clipped distance, see `ClippedRelativeAttention`.

    The class token is the last token. As published, there is no dropout and `feature_redraw_interval` is 1000.
    """

    class_token = slice(-1, None)

    def __init__(self, in_features: int, num_classes: int, o: Options) -> None:
        fixed = {"ff_dropout": 0.0, "feature_redraw_interval": 1000}
        super().__init__(in_features, num_classes, Options(**vars(o) | fixed))

    @staticmethod
    def build_attention(o: Options) -> nn.Module:
        """Return the attention of one block."""
        return ClippedRelativeAttention(o.dim, o.heads, o.clipping_dist, o.key_stabilizer, o.class_position)

    def add_class_token(self, pixels: Tensor, height: int, width: int) -> tuple[Tensor, tuple[int, int]]:
        """Return the tokens (B, N, D), the class token last, and the size of the image."""
        class_token = self.class_query.to(pixels.dtype).expand(len(pixels), 1, -1)
        return torch.cat([pixels, class_token], dim=1), (height, width)


class ClippedRelativeAttention(nn.Module):
    """FAVOR+ in the first H//2 heads. In the others the keys are learnt vectors, one per clipped distance.

    As a key the class token is at distance C from every query. As a query it is one pixel below the bottom-left pixel
    (`class_position` corner, as published) or at distance C from every pixel (none).
    """

    projection_matrix: Tensor
    distance_projection_matrix: Tensor

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
            self.register_buffer("projection_matrix", draw_projection_matrix(self.head_dim))
        self.distances = nn.Parameter(torch.zeros(clipping_dist + 1, self.head_dim))
        self.register_buffer("distance_projection_matrix", draw_projection_matrix(self.head_dim))

    def forward(self, tokens: Tensor, size: tuple[int, int], query_slice: slice) -> Tensor:
        """Return the attention (B, Q, D) of the tokens in `query_slice` to all `tokens` (B, N, D).

        query_slice: all tokens, or only the class token.
        """
        query = split_heads(self.query(tokens[:, query_slice]), self.head_dim)
        value = split_heads(self.value(tokens), self.head_dim)
        heads = self.favor_heads
        key = split_heads(self.key(tokens), self.head_dim) if heads else None
        with torch.autocast(tokens.device.type, enabled=False):
            value = value.to(torch.promote_types(value.dtype, torch.float32))
            out = self.relative_heads(query[:, heads:].to(value.dtype), value[:, heads:], size)
            if key is not None:
                operands = Operand(query[:, :heads]), Operand(key)
                favor = favor_attention(*operands, value[:, :heads], self.projection_matrix, self.key_stabilizer)
                out = torch.cat([favor, out], dim=-1)
        return self.output(out)

    def relative_heads(self, query: Tensor, value: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the attention (B, Q, r·d) by clipped distance, for query (B, r, Q, d) and value (B, r, N, d).

        out_i = (Σ_{e<C} near_e(i) V_e(i) + far(i) V) / (the same with v = 1). far(i) is the weight phi(q_i)·phi(r_C),
        and V is the sum of v over all tokens. near_e(i) is the weight of distance e minus far(i), and V_e(i) is the sum
        of v over the pixels at distance e.
        """
        weights = feature_products(query, self.distances, self.distance_projection_matrix)  # (B, r, Q, C + 1)
        far, near = weights[..., -1:], weights[..., :-1] - weights[..., -1:]
        far_numerator, far_denominator = far * value.sum(-2, keepdim=True), far * value.shape[-2]
        numerator, denominator = self.class_rings(near[:, :, -1:], value, size)
        if query.shape[-2] > 1:
            near_pixels, pixels = near[:, :, :-1].unflatten(2, size), value[:, :, :-1].unflatten(2, size)
            counts = stacked_ring_sums(value.new_ones(*size, 1), near.shape[-1]).squeeze(-1).mT  # (h, w, C)
            numerator = torch.cat([weighted_ring_sum(near_pixels, pixels).flatten(2, 3), numerator], dim=2)
            pixel_denominator = (near_pixels * counts).sum(-1, keepdim=True).flatten(2, 3)
            denominator = torch.cat([pixel_denominator, denominator], dim=2)
        return ((far_numerator + numerator) / (far_denominator + denominator)).transpose(1, 2).flatten(2)

    def class_rings(self, near: Tensor, value: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return the class token's weighted sum over near pixels (B, r, 1, d) and its sum of weights (B, r, 1, 1)."""
        row, column = (torch.arange(length, device=value.device) for length in size)
        radii = near.shape[-1] if self.class_position == "corner" else 0
        distance = (size[0] - row[:, None] + column).flatten().clamp(max=radii)
        weights = pad(near[..., :radii], (0, 1))[..., distance]  # (B, r, 1, h·w), zero for far pixels
        return weights @ value[:, :, :-1], weights.sum(-1, keepdim=True)

    def redraw(self) -> None:
        """Draw a new projection matrix for the FAVOR+ heads; the relative heads keep theirs, as published."""
        if self.favor_heads:
            self.projection_matrix.copy_(draw_projection_matrix(self.head_dim))
