"""The common part of the Performers: pixels as tokens, a learnt class token, pre-norm blocks.

B: images, h, w: height and width, c: channels, N = h·w + 1: tokens, Q: queries, D: dim.
"""

from types import SimpleNamespace as Options
from typing import Any, cast

import torch
from torch import Tensor, nn

from relative_performer.models.attention import FavorAttention
from relative_performer.models.embeddings import build_embedding
from relative_performer.models.feed_forward import FeedForward

ALL = slice(None)


class ImageTransformer(nn.Module):
    """A transformer over pixels, which classifies an image by its class token. `o` holds the model's options.

    A subclass chooses the attention (`build_attention`) and where positions enter (`add_class_token`).

    In training, `feature_redraw_interval` forward calls pass without a redraw of the random features, and the next call
    redraws them. The period is therefore one call longer than the interval. A model without this option is never
    redrawn.
    """

    class_token = slice(0, 1)

    def __init__(self, in_features: int, num_classes: int, o: Options) -> None:
        super().__init__()
        self.feature_redraw_interval: int | None = vars(o).get("feature_redraw_interval")
        self.calls_since_redraw = 0
        # a hook, so that a compiled forward has no count, whose every value would be compiled anew
        self.register_forward_pre_hook(ImageTransformer.count_call)
        self.embedding = build_embedding(o.embedding_type, in_features, o.dim)
        self.class_query = nn.Parameter(torch.randn(o.dim))
        self.blocks = nn.ModuleList(Block(self.build_attention(o), o.dim, o.ff_dropout) for _ in range(o.depth))
        self.head = nn.Linear(o.dim, num_classes)

    @staticmethod
    def build_attention(o: Options) -> nn.Module:
        """Return the attention of one block."""
        return FavorAttention(o.dim, o.heads, o.attn_dropout, o.no_projection, o.key_stabilizer)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, h, w, c) to logits (B, classes); raises ValueError for another number of dimensions."""
        if images.ndim != 4:
            raise ValueError(f"images must be (B, h, w, c), not {tuple(images.shape)}")
        height, width = images.shape[1:3]
        pixels = self.embedding(images).flatten(1, 2)  # (B, h·w, D)
        tokens, position = self.add_class_token(pixels, height, width)  # (B, N, D)
        for block in self.blocks[:-1]:
            tokens = block(tokens, position, ALL)
        # only the class token is read, so the last block computes only this token
        return self.head(self.blocks[-1](tokens, position, self.class_token).squeeze(1))

    def add_class_token(self, pixels: Tensor, height: int, width: int) -> tuple[Tensor, Any]:
        """Return the tokens (B, N, D), the class token among them, and the position argument of the attention."""
        class_token = self.class_query.to(pixels.dtype).expand(len(pixels), 1, -1)
        return torch.cat([class_token, pixels], dim=1), None

    def count_call(self, inputs: object = None) -> None:
        """Count a call of the model in training, and redraw the random features when they are due."""
        if not self.training or self.feature_redraw_interval is None:
            return
        if self.calls_since_redraw < self.feature_redraw_interval:
            self.calls_since_redraw += 1
            return
        self.calls_since_redraw = 0
        for block in cast(list[Block], self.blocks):
            block.attention.redraw()

    # extra state instead of a buffer: reading a buffer on a GPU would synchronise in every call
    def get_extra_state(self) -> Tensor:
        """Return the count of calls, as part of the state dict."""
        return torch.tensor(self.calls_since_redraw)

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the count of calls."""
        self.calls_since_redraw = int(state)


class Block(nn.Module):
    """x ← x + Attention(LayerNorm(x)), then x ← x + FeedForward(LayerNorm(x)), for the tokens in `query_slice`."""

    def __init__(self, attention: nn.Module, dim: int, ff_dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention: Any = attention
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim, ff_dropout)

    def forward(self, tokens: Tensor, position: Any, query_slice: slice) -> Tensor:
        """Map tokens (B, N, D) to the tokens in `query_slice` (B, Q, D)."""
        x = tokens[:, query_slice] + self.attention(self.attention_norm(tokens), position, query_slice)
        return x + self.feed_forward(self.feed_forward_norm(x))
