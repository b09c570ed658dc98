"""Rotary positions in linear attention, after Su et al., RoFormer (arXiv 2104.09864), section 3.3.

The frequencies are two-dimensional and learnt: Heo et al., Rotary Position Embedding for Vision Transformer (ECCV
2024, arXiv 2403.13298), "RoPE-Mixed".

B: images, h, w: height and width, N = h·w + 1: tokens, Q: queries, D: dim, H: heads, d = D/H,
m: random features (an even number).
"""

import math
from types import SimpleNamespace as Options
from typing import cast

import torch
from torch import Tensor, nn

from relative_performer.models.attention import FavorAttention, split_heads
from relative_performer.models.transformer import ImageTransformer
from relative_performer.ops.favor import favor_attention
from relative_performer.ops.random_features import Operand, draw_projection_matrix, n_features
from relative_performer.ops.rotary import rotary_attention

SLOWEST = 0.1  # radians per pixel; the fastest frequency is 1; both as in RoPE-Mixed


class RotaryPerformer(ImageTransformer):
    """A Performer that rotates the random features of queries and keys by their places, see `RotaryAttention`."""

    def __init__(self, in_features: int, num_classes: int, o: Options) -> None:
        super().__init__(in_features, num_classes, o)
        # the last block computes only the class token, which nothing rotates
        cast(RotaryAttention, self.blocks[-1].attention).frequencies.requires_grad_(False)

    @staticmethod
    def build_attention(o: Options) -> nn.Module:
        """Return the attention of one block."""
        return RotaryAttention(o.dim, o.heads, o.attn_dropout, o.key_stabilizer, o.circular)

    def add_class_token(self, pixels: Tensor, height: int, width: int) -> tuple[Tensor, tuple[int, int]]:
        """Return the tokens (B, N, D), the class token first, and the size of the image."""
        return super().add_class_token(pixels, height, width)[0], (height, width)


class RotaryAttention(FavorAttention):
    """FAVOR+ attention in which two pixels i and j have the weight (R_i phi(q_i))·(R_j phi(k_j)).

    R_i rotates pair r of the features by the angle ω_r · (row, column) of pixel i, so that the weight depends on the
    places only through their difference, whatever the random features are. The class token has no place: it is not
    rotated, and as a query or a key it meets features that are not rotated. The denominator is not rotated either, so
    that it is positive.

    With `circular`, ω is rounded to multiples of 2π/h and 2π/w and is not learnt.
    """

    def __init__(self, dim: int, heads: int, dropout: float, key_stabilizer: str, circular: bool) -> None:
        super().__init__(dim, heads, dropout, no_projection=False, key_stabilizer=key_stabilizer)
        self.projection_matrix = draw_even_projection_matrix(self.head_dim)
        self.circular = circular
        self.frequencies = nn.Parameter(draw_frequencies(heads, len(self.projection_matrix) // 2), not circular)

    def forward(  # type: ignore[override]
        self, tokens: Tensor, size: tuple[int, int], query_slice: slice
    ) -> Tensor:
        """Return the attention (B, Q, D) of the tokens in `query_slice` to all `tokens` (B, N, D).

        query_slice: all tokens, or only the class token.
        """
        query = split_heads(self.query(tokens[:, query_slice]), self.head_dim)
        key, value = (split_heads(affine(tokens), self.head_dim) for affine in (self.key, self.value))
        shared = self.projection_matrix, self.key_stabilizer
        if query.shape[2] == 1:  # the class token, which is not rotated
            out = favor_attention(Operand(query), Operand(key), value, *shared)
        else:
            out = rotary_attention(query, key, value, self.rotation(*size), *shared)
        return self.dropout(self.output(out))

    def rotation(self, height: int, width: int) -> Tensor:
        """Return e^(iω·p) for every pixel p, complex (H, h·w, m/2)."""
        frequencies = self.rounded(height, width) if self.circular else self.frequencies
        # a model that is measured with several times as many features has the same frequencies several times
        frequencies = frequencies.repeat(1, len(self.projection_matrix) // 2 // frequencies.shape[1], 1)
        rows, columns = (
            waves(frequencies[:, None, :, axis], length) for axis, length in enumerate((height, width))
        )  # (H, h, m/2), (H, w, m/2)
        return (rows[:, :, None] * columns[:, None]).flatten(1, 2)

    def rounded(self, height: int, width: int) -> Tensor:
        """Return the frequencies (H, m/2, 2), rounded to multiples of 2π/h and 2π/w."""
        lowest = 2 * math.pi / self.frequencies.new_tensor([height, width])
        return (self.frequencies / lowest).round() * lowest

    def redraw(self) -> None:
        """Draw a new projection matrix."""
        self.projection_matrix.copy_(draw_even_projection_matrix(self.head_dim))


def waves(frequencies: Tensor, length: int) -> Tensor:
    """Return e^(iωp) for p = 0, …, length − 1, complex (H, length, m/2), of frequencies (H, 1, m/2)."""
    angles = frequencies * torch.arange(length, device=frequencies.device)[:, None]
    return torch.complex(angles.cos(), angles.sin())


def draw_frequencies(heads: int, pairs: int) -> Tensor:
    """Draw frequencies (H, m/2, 2): magnitudes from 1 to SLOWEST, equally spaced in logarithm, in random directions."""
    magnitudes = SLOWEST ** (torch.arange(pairs) / pairs)
    directions = 2 * math.pi * torch.rand(heads, pairs)
    return magnitudes[:, None] * torch.stack([directions.cos(), directions.sin()], dim=-1)


def draw_even_projection_matrix(key_dim: int) -> Tensor:
    """Draw W (m, d_k), where m is the number of random features of FAVOR+, rounded up to an even number."""
    m = n_features(key_dim)
    return draw_projection_matrix(key_dim, 1 + m % 2)[: m + m % 2]
