"""The four Performers: pixels as tokens, a learnt class query, pre-norm blocks. See `build_model`.

B: images, n: side, c: channels, N = n² + 1: tokens, D: dim.
"""

from types import SimpleNamespace as Options
from typing import Any, cast

import torch
from torch import Tensor, nn

from relative_performer.attention import ClippedRelativeAttention, FavorAttention, RelativeAttention
from relative_performer.embeddings import build_embedding
from relative_performer.feed_forward import FeedForward
from relative_performer.names import BASELINES
from relative_performer.options import check_model, model_options
from relative_performer.positions import SinusoidalPositions

ALL = slice(None)


def build_model(name: str, *, in_features: int, num_classes: int = 10, **chosen: Any) -> nn.Module:
    """Return the model `name` with the command line's defaults for the options not in `chosen`.

    It maps images (B, n, n, c), float or uint8 for the lookup embedding, to logits (B, num_classes). n is 32 for the
    baselines.

    Raises ValueError for an unknown name or value, TypeError for an option that the model does not have.
    """
    options = model_options(check_model(name), chosen)
    if name in BASELINES:
        # only now: torchvision takes a second to import, which a test of a Performer need not wait for
        from relative_performer.baselines import build_baseline

        return build_baseline(name, in_features, num_classes)
    return PERFORMERS[name](in_features, num_classes, Options(**options))


class ImageTransformer(nn.Module):
    """What the Performers share. Subclasses choose the attention and place the tokens. `o` holds the model's options.

    The random features are redrawn in training: each forward call counts, and the call that finds the count at
    `feature_redraw_interval` redraws and starts again, so that the period is one call more than the interval.
    """

    class_token = slice(0, 1)

    def __init__(self, in_features: int, num_classes: int, o: Options) -> None:
        super().__init__()
        self.feature_redraw_interval = o.feature_redraw_interval
        self.calls_since_redraw = 0
        self.embedding = build_embedding(o.embedding_type, in_features, o.dim)
        self.class_query = nn.Parameter(torch.randn(o.dim))
        self.blocks = nn.ModuleList(Block(self.build_attention(o), o.dim, o.ff_dropout) for _ in range(o.depth))
        self.head = nn.Linear(o.dim, num_classes)

    @staticmethod
    def build_attention(o: Options) -> nn.Module:
        """Return one block's attention."""
        return FavorAttention(o.dim, o.heads, o.attn_dropout, o.no_projection, o.key_stabilizer)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, n, n, c) to logits (B, classes); raises ValueError for images that are not square."""
        if images.ndim != 4 or images.shape[1] != images.shape[2]:
            raise ValueError(f"images must be (B, n, n, c) and square, not {tuple(images.shape)}")
        if self.training:
            self.count_call()
        pixels = self.embedding(images).flatten(1, 2)
        tokens, positions = self.place(pixels, side=images.shape[1])
        for block in self.blocks[:-1]:
            tokens = block(tokens, positions, ALL)
        return self.head(self.blocks[-1](tokens, positions, self.class_token).squeeze(1))

    def place(self, pixels: Tensor, side: int) -> tuple[Tensor, Any]:
        """Add the class token to the pixels (B, n², D); return the tokens and what the attention needs of places."""
        class_token = self.class_query.to(pixels.dtype).expand(len(pixels), 1, -1)
        return torch.cat([class_token, pixels], dim=1), None

    def count_call(self) -> None:
        """Count a training call, and redraw the random features when it is time."""
        if self.calls_since_redraw < self.feature_redraw_interval:
            self.calls_since_redraw += 1
            return
        self.calls_since_redraw = 0
        for block in cast(list[Block], self.blocks):
            block.attention.redraw()

    # the count is state, but as a buffer on a GPU every call would have to wait to read it
    def get_extra_state(self) -> Tensor:
        """The count of calls, as part of the state dict."""
        return torch.tensor(self.calls_since_redraw)

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the count of calls."""
        self.calls_since_redraw = int(state)


class Block(nn.Module):
    """x ← x + Attention(LayerNorm(x)), then x ← x + FeedForward(LayerNorm(x)), for the tokens in `asked` alone."""

    def __init__(self, attention: nn.Module, dim: int, ff_dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention: Any = attention
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim, ff_dropout)

    def forward(self, tokens: Tensor, positions: Any, asked: slice) -> Tensor:
        x = tokens[:, asked] + self.attention(self.attention_norm(tokens), positions, asked)
        return x + self.feed_forward(self.feed_forward_norm(x))


class NoposPerformer(ImageTransformer):
    """FAVOR+ attention without any position."""


class Performer(ImageTransformer):
    """FAVOR+ attention with an absolute position added to each pixel's embedding; the class token has none."""

    def __init__(self, in_features: int, num_classes: int, o: Options) -> None:
        super().__init__(in_features, num_classes, o)
        self.positions = SinusoidalPositions(o.dim // 2, period=32 * 1000)

    def place(self, pixels: Tensor, side: int) -> tuple[Tensor, None]:
        """Add the positions to the pixels' embeddings."""
        return super().place(pixels + self.positions(side), side)


class RelativePerformer(ImageTransformer):
    """Strategy 1, constrained projection: queries and keys carry positions, see `RelativeAttention`."""

    def __init__(self, in_features: int, num_classes: int, o: Options) -> None:
        super().__init__(in_features, num_classes, o)
        self.positions = SinusoidalPositions(2 * o.pos_scales, period=64)

    @staticmethod
    def build_attention(o: Options) -> nn.Module:
        """Return one block's attention."""
        shared = (o.dim, o.heads, o.attn_dropout, o.no_projection, o.key_stabilizer)
        return RelativeAttention(*shared, o.pos_scales, o.content_rel_attn)

    def place(self, pixels: Tensor, side: int) -> tuple[Tensor, Tensor]:
        """Return the tokens and their positions (N, 4·pos_scales); the class token's is all zeros."""
        tokens, _ = super().place(pixels, side)
        return tokens, nn.functional.pad(self.positions(side), (0, 0, 1, 0))


class ClippedRelativePerformer(ImageTransformer):
    """Strategy 2, clipped distances, see `ClippedRelativeAttention`. The class token is the last.

    As published there is no dropout, and the random features are redrawn every 1000 calls.
    """

    class_token = slice(-1, None)

    def __init__(self, in_features: int, num_classes: int, o: Options) -> None:
        fixed = {"ff_dropout": 0.0, "feature_redraw_interval": 1000}
        super().__init__(in_features, num_classes, Options(**vars(o) | fixed))

    @staticmethod
    def build_attention(o: Options) -> nn.Module:
        """Return one block's attention."""
        return ClippedRelativeAttention(o.dim, o.heads, o.clipping_dist, o.key_stabilizer, o.class_position)

    def place(self, pixels: Tensor, side: int) -> tuple[Tensor, int]:
        """Return the tokens, the class token last, and the side."""
        class_token = self.class_query.to(pixels.dtype).expand(len(pixels), 1, -1)
        return torch.cat([pixels, class_token], dim=1), side


PERFORMERS = {
    model.__name__: model for model in (Performer, NoposPerformer, RelativePerformer, ClippedRelativePerformer)
}
