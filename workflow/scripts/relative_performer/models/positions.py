"""Positional encodings of the pixels of an image. h, w: height and width, E: numbers per axis, S: pairs (sin, cos)."""

import torch
from torch import Tensor, nn


class SinusoidalPositions(nn.Module):
    """Sinusoids of the row and of the column of every pixel, concatenated: (h·w, 2E).

    The row or column p = 0, 1, … is encoded as [sin w₁p, cos w₁p, sin w₂p, cos w₂p, …]. Rows and columns share the E/2
    learnable frequencies w, which start at period^(-2i/E).
    """

    def __init__(self, per_axis: int, period: float) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(period ** (-torch.arange(0, per_axis, 2) / per_axis))

    def forward(self, height: int, width: int) -> Tensor:
        numbers = torch.arange(max(height, width), device=self.frequencies.device)
        angles = numbers[:, None] * self.frequencies  # (max(h, w), E/2)
        encodings = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)  # (max(h, w), E)
        rows = encodings[:height, None].expand(height, width, -1)
        columns = encodings[None, :width].expand(height, width, -1)
        return torch.cat([rows, columns], dim=-1).flatten(0, 1)


def rotate(positions: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Multiply each pair (sin, cos) of `positions` (…, 2S) by [[a, b], [−b, a]]; a and b are (…, S).

    The dot product with an unrotated position then depends only on the difference of the two positions.
    """
    sin, cos = positions[..., 0::2], positions[..., 1::2]
    return torch.stack([sin * a - cos * b, sin * b + cos * a], dim=-1).flatten(-2)
