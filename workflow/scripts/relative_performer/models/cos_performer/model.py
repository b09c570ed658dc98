"""Linear attention weighted by cosines of distances.

Qin et al., cosFormer: Rethinking Softmax in Attention (ICLR 2022, arXiv 2202.08791), section "cos-based re-weighting
mechanism". In two dimensions: Sun et al., Vicinity Vision Transformer (arXiv 2206.10552), section "Vicinity attention".

B: images, h, w: height and width, P = h·w: pixels, N = P + 1: tokens, Q: queries, D: dim, H: heads, d = D/H,
F: features of a place.
"""

import math
from types import SimpleNamespace as Options

import torch
from torch import Tensor, nn

from relative_performer.models.attention import split_heads
from relative_performer.models.transformer import ImageTransformer
from relative_performer.ops.dropout import Dropout

EPSILON = 1e-4  # added to the denominators, which may be zero


class CosPerformer(ImageTransformer):
    """A transformer with linear attention whose weights fall with distance, see `CosAttention`."""

    def __init__(self, in_features: int, num_classes: int, o: Options) -> None:
        super().__init__(in_features, num_classes, o)
        self.circular = o.circular

    @staticmethod
    def build_attention(o: Options) -> nn.Module:
        """Return the attention of one block."""
        return CosAttention(o.dim, o.heads, o.attn_dropout)

    def add_class_token(self, pixels: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Return the tokens (B, N, D), the class token first, and the features of the places (P, F)."""
        places = place_features(height, width, self.circular, pixels.device)
        return super().add_class_token(pixels, height, width)[0], places


class CosAttention(nn.Module):
    """Attention with the weight phi(q_i)·phi(k_j) cos(a_i − a_j) cos(b_i − b_j) for two pixels; phi is ReLU.

    a = π·row/2h and b = π·column/2w. With `circular` the cosines are 1 + cos 2π(row_i − row_j)/h and the same of
    columns. The class token has no place: pairs with it have the weight phi(q_i)·phi(k_j).
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, dim // heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.output = nn.Linear(dim, dim)
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Tensor, places: Tensor, query_slice: slice) -> Tensor:
        """Return the attention (B, Q, D) of the tokens in `query_slice` to all `tokens` (B, N, D).

        places: (P, F). query_slice: all tokens, or only the class token.
        """
        query = split_heads(self.query(tokens[:, query_slice]), self.head_dim)
        key, value = (split_heads(affine(tokens), self.head_dim) for affine in (self.key, self.value))
        with torch.autocast(tokens.device.type, enabled=False):
            dtype = torch.promote_types(value.dtype, torch.float32)
            phi_q, phi_k = (x.to(dtype).relu() for x in (query, key))
            value = nn.functional.pad(value.to(dtype), (0, 1), value=1)  # the last column sums the weights
            sums = attend(phi_q[:, :, :1], phi_k, value)  # (B, H, 1, d + 1)
            if phi_q.shape[2] > 1:
                sums = torch.cat([sums, attend_from_pixels(phi_q[:, :, 1:], phi_k, value, places)], dim=2)
            out = sums[..., :-1] / (sums[..., -1:] + EPSILON)
        return self.dropout(self.output(out.transpose(1, 2).flatten(2)))


def attend(phi_q: Tensor, phi_k: Tensor, value: Tensor) -> Tensor:
    """Return Σ_j phi(q_i)·phi(k_j) v_j (B, H, Q, width)."""
    return phi_q @ (phi_k.mT @ value)


def attend_from_pixels(phi_q: Tensor, phi_k: Tensor, value: Tensor, places: Tensor) -> Tensor:
    """Return the weighted sums (B, H, P, width) of values (B, H, N, width), over pixels and the class token.

    phi_q: (B, H, P, d). phi_k: (B, H, N, d). places: (P, F).
    """
    placed_q, placed_k = (  # (B, H, P, F·d)
        (places.to(phi.dtype)[..., None] * phi[:, :, :, None]).flatten(-2) for phi in (phi_q, phi_k[:, :, 1:])
    )
    return attend(placed_q, placed_k, value[:, :, 1:]) + phi_q @ phi_k[:, :, :1].mT * value[:, :, :1]


def place_features(height: int, width: int, circular: bool, device: torch.device | None = None) -> Tensor:
    """Return features (P, F) of every pixel, whose products are the weights of pairs of pixels, float64.

    cos(a_i − a_j) = (cos a_i, sin a_i)·(cos a_j, sin a_j), and 1 + cos(a_i − a_j) has a third feature, 1. The features
    of a pixel are the products of a feature of its row and a feature of its column: F is 4, or 9 with `circular`.
    """
    axes = []
    for length in (height, width):
        angles = torch.arange(length, device=device).double() * ((2 if circular else 0.5) * math.pi / length)
        features = [angles.cos(), angles.sin()] + circular * [torch.ones_like(angles)]
        axes.append(torch.stack(features, dim=-1))
    return torch.einsum("rf,cg->rcfg", *axes).flatten(2).flatten(0, 1)
