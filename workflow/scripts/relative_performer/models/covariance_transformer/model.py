"""Cross-covariance attention: attention over channels, and convolutions between neighbours.

El-Nouby et al., XCiT: Cross-Covariance Image Transformers (NeurIPS 2021, arXiv 2106.09681), section 3. Alias-Free ViT
(NeurIPS 2025, arXiv 2510.22673) uses it for shift equivariance.

B: images, h, w: height and width, N = h·w + 1: tokens, Q: queries, D: dim, H: heads, d = D/H.
"""

from types import SimpleNamespace as Options

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from relative_performer.models.attention import split_heads
from relative_performer.models.transformer import Block, ImageTransformer
from relative_performer.ops.dropout import Dropout

LEAST_NORM = 1e-12  # avoids a division by zero


class CovarianceTransformer(ImageTransformer):
    """A transformer whose attention is over channels; pixels see their neighbours through convolutions."""

    def __init__(self, in_features: int, num_classes: int, o: Options) -> None:
        super().__init__(in_features, num_classes, o)
        self.blocks = nn.ModuleList(
            CovarianceBlock(self.build_attention(o), o.dim, o.ff_dropout, o.circular) for _ in range(o.depth)
        )

    @staticmethod
    def build_attention(o: Options) -> nn.Module:
        """Return the attention of one block."""
        return CovarianceAttention(o.dim, o.heads, o.attn_dropout)

    def add_class_token(self, pixels: Tensor, height: int, width: int) -> tuple[Tensor, tuple[int, int]]:
        """Return the tokens (B, N, D), the class token first, and the size of the image."""
        return super().add_class_token(pixels, height, width)[0], (height, width)


class CovarianceBlock(Block):
    """x ← x + Attention(LayerNorm(x)), then x ← x + LocalMixing(LayerNorm(x)), then x ← x + FeedForward(LayerNorm(x)).

    The first two are of all tokens, since the class token reads the mixed pixels.
    """

    def __init__(self, attention: nn.Module, dim: int, ff_dropout: float, circular: bool) -> None:
        super().__init__(attention, dim, ff_dropout)
        self.mixing_norm = nn.LayerNorm(dim)
        self.mixing = LocalMixing(dim, circular)

    def forward(self, tokens: Tensor, size: tuple[int, int], query_slice: slice) -> Tensor:
        """Map tokens (B, N, D) to the tokens in `query_slice` (B, Q, D)."""
        x = tokens + self.attention(self.attention_norm(tokens))
        x = (x + self.mixing(self.mixing_norm(x[:, 1:]), size))[:, query_slice]
        return x + self.feed_forward(self.feed_forward_norm(x))


class CovarianceAttention(nn.Module):
    """out = V Aᵀ with A = softmax(τ Q̂ᵀ K̂) over the channels of the keys, for each head (equation 2 of XCiT).

    The columns of Q̂ and K̂ (N, d) have the norm 1: they are normalised over the tokens. τ is learnt.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.head_dim = dim // heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.output = nn.Linear(dim, dim)
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, N, D) to (B, N, D)."""
        query, key, value = (
            split_heads(affine(tokens), self.head_dim) for affine in (self.query, self.key, self.value)
        )
        with torch.autocast(tokens.device.type, enabled=False):
            query, key, value = (x.to(torch.promote_types(x.dtype, torch.float32)) for x in (query, key, value))
            norms = [x.norm(dim=-2, keepdim=True).clamp(min=LEAST_NORM) for x in (query, key)]  # (B, H, 1, d)
            cosines = query.mT @ key / (norms[0].mT * norms[1])  # (B, H, d, d)
            out = value @ (self.temperature * cosines).softmax(-1).mT
        return self.dropout(self.output(out.transpose(1, 2).flatten(2)))


class LocalMixing(nn.Module):
    """Depthwise 3×3 convolution, GELU, depthwise 3×3 convolution ("local patch interaction" in XCiT).

    The convolutions pad with zeros or, with `circular`, with the pixels of the opposite edge.
    """

    def __init__(self, dim: int, circular: bool) -> None:
        super().__init__()
        self.first, self.second = (
            nn.Conv2d(dim, dim, 3, padding=1, groups=dim, padding_mode="circular" if circular else "zeros")
            for _ in range(2)
        )

    def forward(self, pixels: Tensor, size: tuple[int, int]) -> Tensor:
        """Map pixels (B, h·w, D) to tokens (B, N, D): the mean of the mixed pixels for the class token, and these."""
        grid = pixels.unflatten(1, size).permute(0, 3, 1, 2)  # (B, D, h, w)
        mixed = self.second(gelu(self.first(grid))).permute(0, 2, 3, 1).flatten(1, 2)
        return torch.cat([mixed.mean(1, keepdim=True), mixed], dim=1)
