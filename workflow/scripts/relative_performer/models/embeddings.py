"""Content embeddings, applied to every pixel: (B, h, w, c) → (B, h, w, D)."""

import torch
from torch import Tensor, nn


def build_embedding(embedding_type: str, in_features: int, dim: int) -> nn.Module:
    """Return the embedding of pixels with `in_features` channels into `dim` numbers.

    `linear` and `MLP` read float pixels, `lookup` reads uint8 pixels.

    Raises ValueError for an unknown `embedding_type`.
    """
    if embedding_type == "linear":
        return nn.Linear(in_features, dim)
    if embedding_type == "MLP":
        return nn.Sequential(nn.Linear(in_features, 4 * dim), nn.ReLU(), nn.Linear(4 * dim, dim))
    if embedding_type == "lookup":
        return LookupEmbedding(in_features, dim)
    raise ValueError(f"unknown embedding_type {embedding_type!r}: choose from linear, MLP, lookup")


class LookupEmbedding(nn.Module):
    """A table of 256 rows for each channel; the rows of a pixel's channels are concatenated.

    `dim` is divided among the c channels as equally as possible: the first `dim mod c` tables are one number wider.
    """

    def __init__(self, in_features: int, dim: int) -> None:
        super().__init__()
        width, wider = divmod(dim, in_features)
        self.channels = nn.ModuleList(nn.Embedding(256, width + (c < wider)) for c in range(in_features))

    def forward(self, images: Tensor) -> Tensor:
        """Embed uint8 images (B, h, w, c); raises TypeError for other types."""
        if images.dtype != torch.uint8:
            raise TypeError(f"the lookup embedding reads uint8 pixels, not {images.dtype}")
        rows = images.int()
        return torch.cat([table(rows[..., c]) for c, table in enumerate(self.channels)], dim=-1)
