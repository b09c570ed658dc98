"""Strategy 1 of Horn et al. (2021): queries and keys carry positions, by a constrained projection.

B: images, h, w: height and width, N = h·w + 1: tokens, Q: queries, D: dim, H: heads, S: pairs (sin, cos) of a position.
"""

from types import SimpleNamespace as Options

import torch
from torch import Tensor, nn

from relative_performer.models.attention import FavorAttention
from relative_performer.models.positions import SinusoidalPositions, rotate
from relative_performer.models.transformer import ImageTransformer
from relative_performer.ops.random_features import Operand


class RelativePerformer(ImageTransformer):
    """A Performer whose queries and keys carry relative positions, see `RelativeAttention`."""

    def __init__(self, in_features: int, num_classes: int, o: Options) -> None:
        super().__init__(in_features, num_classes, o)
        self.positions = SinusoidalPositions(2 * o.pos_scales, period=64)

    @staticmethod
    def build_attention(o: Options) -> nn.Module:
        """Return the attention of one block."""
        shared = (o.dim, o.heads, o.attn_dropout, o.no_projection, o.key_stabilizer)
        return RelativeAttention(*shared, o.pos_scales, o.content_rel_attn)

    def add_class_token(self, pixels: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Return the tokens (B, N, D) and their positions (N, 2S); the class token's position is all zeros."""
        tokens, _ = super().add_class_token(pixels, height, width)
        return tokens, nn.functional.pad(self.positions(height, width), (0, 0, 1, 0))


class RelativeAttention(FavorAttention):
    """q = [W_q x ; p R], k = [W_k x ; p]: each head rotates the position of the query, but not of the key.

    R multiplies pair j of head i by [[a, b], [−b, a]] with learnt a = alpha[i·S + j] and b = beta[i·S + j]. With
    `content_rel_attn` queries and keys have a second positional part. Its a and b are affine functions of the query's
    content: q = [W_q x ; p R(x) ; p R], k = [W_k x ; p ; p].
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

    def queries_and_keys(self, tokens: Tensor, position: Tensor | None, query_slice: slice) -> tuple[Operand, Operand]:
        """Return queries and keys with their positional parts; position: (N, 2S)."""
        assert position is not None
        (query, _), (key, _) = super().queries_and_keys(tokens, position, query_slice)
        pairs = position.shape[-1] // 2
        alpha, beta = (x.view(-1, 1, pairs) for x in (self.alpha, self.beta))  # (H, 1, S)
        rotated = rotate(position[query_slice], alpha, beta)  # (H, Q, 2S)
        if self.content_rotation is None:
            return Operand(query, rotated), Operand(key, position[None])
        a_and_b = self.content_rotation(tokens[:, query_slice]).unflatten(-1, (-1, pairs, 2)).transpose(1, 2)
        by_content = rotate(position[query_slice], a_and_b[..., 0], a_and_b[..., 1])  # (B, H, Q, 2S)
        query = torch.cat([query, by_content.to(query.dtype)], dim=-1)
        return Operand(query, rotated), Operand(key, position.repeat(1, 2)[None])
