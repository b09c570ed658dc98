"""Performer (Choromanski et al., 2021) over pixels, the paper's model with absolute positions."""

from types import SimpleNamespace as Options

from torch import Tensor

from relative_performer.models.positions import SinusoidalPositions
from relative_performer.models.transformer import ImageTransformer


class Performer(ImageTransformer):
    """FAVOR+ attention, with an absolute position added to each pixel's embedding; the class token has none."""

    def __init__(self, in_features: int, num_classes: int, o: Options) -> None:
        super().__init__(in_features, num_classes, o)
        self.positions = SinusoidalPositions(o.dim // 2, period=32 * 1000)

    def add_class_token(self, pixels: Tensor, height: int, width: int) -> tuple[Tensor, None]:
        """Add the positions to the pixels (B, h·w, D), and return the tokens (B, N, D)."""
        return super().add_class_token(pixels + self.positions(height, width), height, width)
