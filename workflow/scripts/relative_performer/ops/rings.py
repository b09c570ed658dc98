"""Sums over rings of pixels, in time linear in the numbers of pixels and of distances.

The ring of radius e around a pixel is the set of pixels at Manhattan distance exactly e. Tensors are (…, h, w, width).
Positions outside the image count as zero.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


class WeightedRingSum(torch.autograd.Function):
    """Σ_e weights_e(i) · Σ_{|i−j|₁ = e} v_j for e < C. The backward pass recomputes the ring sums.

    weights: (…, h, w, C). v: (…, h, w, d). Result: (…, h, w, d).
    """

    @staticmethod
    def forward(ctx: Any, weights: Tensor, v: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(weights, v)
        out = torch.zeros_like(v)
        for e, ring in enumerate(ring_sums(v, weights.shape[-1])):
            out.addcmul_(weights[..., e, None], ring)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        weights, v = ctx.saved_tensors
        rings = ring_sums(v, weights.shape[-1])
        grad_weights = torch.stack([(grad * ring).sum(-1) for ring in rings], dim=-1)
        return grad_weights, _ring_sums_transposed(weights, grad)


def ring_sums(v: Tensor, radii: int) -> Iterator[Tensor]:
    """Yield the sum of `v` (…, h, w, d) over the ring of each radius 0, 1, …, radii − 1 around every pixel.

    A ring consists of an upper half, which includes the pixel's own row, and a lower half below it. The upper half of
    radius e consists of the two pixels of the own row at distance e and, one row up, the upper half of radius e − 1.
    The lower half is built in the same way. A ring therefore takes four additions.
    """
    upper = lower = v
    yield v
    for e in range(1, radii):
        row = torch.zeros_like(v)
        row[..., e:, :] += v[..., :-e, :]
        row[..., :-e, :] += v[..., e:, :]
        new_upper = row.clone()
        new_upper[..., 1:, :, :] += upper[..., :-1, :, :]
        ring = new_upper.clone()
        ring[..., :-1, :, :] += lower[..., 1:, :, :]
        yield ring
        row[..., :-1, :, :] += lower[..., 1:, :, :]
        upper, lower = new_upper, row


def _ring_sums_transposed(weights: Tensor, grad: Tensor) -> Tensor:
    """Return Σ_e of the ring sums of weights_e · grad, by the recurrence of `ring_sums` in reverse."""
    out = torch.zeros_like(grad)
    upper, lower = torch.zeros_like(grad), torch.zeros_like(grad)
    for e in range(weights.shape[-1] - 1, -1, -1):
        ring = weights[..., e, None] * grad
        new_upper = ring.clone()
        new_upper[..., :-1, :, :] += upper[..., 1:, :, :]
        row = new_upper + lower
        if e:
            out[..., :-e, :] += row[..., e:, :]
            out[..., e:, :] += row[..., :-e, :]
        else:
            out += row
        new_lower = torch.zeros_like(grad)
        new_lower[..., 1:, :, :] = ring[..., :-1, :, :] + lower[..., :-1, :, :]
        upper, lower = new_upper, new_lower
    return out
