"""The models to compare, all of the same size: images (B, h, w, 1) float → logits (B, 10). N = h·w + 1: tokens."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from relative_performer import build_model

SIZE: dict[str, int] = {"dim": 256, "depth": 6, "heads": 8}
DROPOUT = 0.1


class ClassTokenClassifier(nn.Module):
    """Embeds pixels by an affine map, and classifies by a class token after an encoder of tokens (B, N, dim)."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.embedding = nn.Linear(1, SIZE["dim"])
        self.class_query = nn.Parameter(torch.randn(SIZE["dim"]))
        self.encoder = encoder
        self.head = nn.Linear(SIZE["dim"], 10)

    def forward(self, images: Tensor) -> Tensor:
        pixels = self.embedding(images.flatten(1, 2))
        tokens = torch.cat([self.class_query.expand(len(images), 1, -1), pixels], dim=1)
        return self.head(self.encoder(tokens)[:, 0])


def performer_pytorch() -> nn.Module:
    """Return the Performer of the package performer-pytorch, with its random features redrawn as often as ours."""
    from performer_pytorch import Performer

    width = SIZE["dim"] // SIZE["heads"]
    return ClassTokenClassifier(
        Performer(**SIZE, dim_head=width, feature_redraw_interval=1000, ff_dropout=DROPOUT, attn_dropout=DROPOUT)
    )


def torch_transformer() -> nn.Module:
    """Return torch's own encoder with exact attention, which is quadratic in the number of tokens."""
    dim, heads = SIZE["dim"], SIZE["heads"]
    layer = nn.TransformerEncoderLayer(dim, heads, 4 * dim, DROPOUT, "gelu", batch_first=True, norm_first=True)
    layer.self_attn.dropout = 0.0  # dropout of the attention weights would rule out the fast kernels
    return ClassTokenClassifier(nn.TransformerEncoder(layer, SIZE["depth"], enable_nested_tensor=False))


def ours(name: str, **options: int) -> Callable[[], nn.Module]:
    """Return a function that builds one of our models at the same size, with its published options."""
    return lambda: build_model(name, in_features=1, **SIZE, **options)


PEER = "performer-pytorch"
CONTESTANTS: dict[str, Callable[[], nn.Module]] = {
    PEER: performer_pytorch,
    "torch transformer": torch_transformer,
    "Performer": ours("Performer"),
    "NoposPerformer": ours("NoposPerformer"),
    "RelativePerformer": ours("RelativePerformer", pos_scales=4),
    "ClippedRelativePerformer": ours("ClippedRelativePerformer", clipping_dist=8),
    "CosPerformer": ours("CosPerformer"),
    "CovarianceTransformer": ours("CovarianceTransformer"),
    "RotaryPerformer": ours("RotaryPerformer"),
}
