"""Dropout whose random numbers cost a CPU a fifth of torch's, which draws one double for every element."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

LEVELS = 2**16


class Dropout(nn.Module):
    """Sets elements to zero with probability `p` in training, and scales the others so that the mean stays.

    On the CPU `p` is rounded to a multiple of 2^-16.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.p):
            return x
        return dropout(x, self.p) if x.is_cuda else _Dropout.apply(x, *draw_kept(x.shape, self.p))


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: Tensor, scale: float) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(kept)
        ctx.scale = scale
        return (x * kept).mul_(scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return (grad * ctx.saved_tensors[0]).mul_(ctx.scale), None, None


def draw_kept(shape: torch.Size, p: float) -> tuple[Tensor, float]:
    """Draw which elements stay (bool, on the CPU), and return it with the factor that keeps the mean."""
    dropped = round(p * LEVELS)
    bits = torch.empty(-(-shape.numel() // 4), dtype=torch.int64).random_(-(2**63), None)  # 4 numbers of 16 bits each
    kept = bits.view(torch.int16)[: shape.numel()] >= dropped - LEVELS // 2
    return kept.view(shape), LEVELS / (LEVELS - dropped)
