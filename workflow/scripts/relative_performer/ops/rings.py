"""Sums over rings of pixels, in time and memory linear in the number of pixels.

The ring of radius e around a pixel is the set of pixels at Manhattan distance exactly e. Tensors are (…, h, w, width).
Positions outside the image count as zero.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from relative_performer.ops.forms import is_plain


def weighted_ring_sum(weights: Tensor, v: Tensor) -> Tensor:
    """Return Σ_e weights_e(i) · Σ_{|i−j|₁ = e} v_j for e < C: (B, …, h, w, d).

    weights: (B, …, h, w, C). v: (B, …, h, w, d).
    """
    if not is_plain(v):
        return _WeightedRingSum.apply(weights, v)
    return (weights.mT.unsqueeze(-1) * stacked_ring_sums(v, weights.shape[-1])).sum(-3)


def stacked_ring_sums(v: Tensor, radii: int) -> Tensor:
    """Return the sums of `v` (…, h, w, d) over the rings of radius 0, 1, …, radii − 1: (…, h, radii, w, d).

    In row y' a ring around a pixel of row y has the columns at distance e − |y − y'|. So two products with constant
    matrices of zeros and ones suffice: along columns, then along rows.
    """
    height, width = v.shape[-3:-1]
    rows, columns, e = (torch.arange(length, device=v.device) for length in (height, width, radii))
    in_row = (columns[:, None] - columns).abs() == e[:, None, None]  # (radii, w, w)
    by_distance = in_row.flatten(0, 1).to(v.dtype) @ v  # (…, h, radii · w, d)
    in_ring = (rows[:, None, None, None] - rows[:, None]).abs() == e[:, None, None] - e  # (h, radii, h, radii)
    matrix = in_ring.flatten(2).flatten(0, 1).to(v.dtype)
    sums = matrix @ by_distance.unflatten(-2, (radii, width)).flatten(-2).flatten(-3, -2)  # (…, h · radii, w · d)
    return sums.unflatten(-2, (height, radii)).unflatten(-1, (width, v.shape[-1]))


class _WeightedRingSum(torch.autograd.Function):
    """The form for a CPU: image by image, one ring after the other. The backward pass recomputes the ring sums."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, v: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(weights, v)
        out = torch.zeros_like(v)
        for weights_i, v_i, out_i in zip(weights, v, out, strict=True):
            for e, ring in enumerate(ring_sums(v_i, weights.shape[-1])):
                out_i.addcmul_(weights_i[..., e, None], ring)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        weights, v = ctx.saved_tensors
        grad_weights, grad_v = torch.empty_like(weights), torch.empty_like(v)
        for i, (weights_i, v_i, grad_i) in enumerate(zip(weights, v, grad, strict=True)):
            for e, ring in enumerate(ring_sums(v_i, weights.shape[-1])):
                torch.sum(grad_i * ring, -1, out=grad_weights[i, ..., e])
            grad_v[i] = _ring_sums_transposed(weights_i, grad_i)
        return grad_weights, grad_v


def ring_sums(v: Tensor, radii: int) -> Iterator[Tensor]:
    """Yield the sum of `v` (…, h, w, d) over the ring of each radius 0, 1, …, radii − 1 around every pixel.

    A ring consists of an upper half, which includes the pixel's own row, and a lower half below it. The upper half of
    radius e consists of the two pixels of the own row at distance e and, one row up, the upper half of radius e − 1.
    The lower half is built in the same way. A ring therefore takes four additions. Zeros around the image save the
    copies that its border would need.
    """
    width, padded = v.shape[-2], pad(v, (0, 0, radii, radii))
    upper, lower = pad(v, (0, 0, 0, 0, 1, 0)), pad(v, (0, 0, 0, 0, 0, 1))
    next_upper, next_lower = torch.zeros_like(upper), torch.zeros_like(lower)
    yield v
    for e in range(1, radii):
        row = padded.narrow(-2, radii - e, width) + padded.narrow(-2, radii + e, width)
        torch.add(row, upper[..., :-1, :, :], out=next_upper[..., 1:, :, :])
        yield next_upper[..., 1:, :, :] + lower[..., 1:, :, :]
        torch.add(row, lower[..., 1:, :, :], out=next_lower[..., :-1, :, :])
        upper, next_upper, lower, next_lower = next_upper, upper, next_lower, lower


def _ring_sums_transposed(weights: Tensor, grad: Tensor) -> Tensor:
    """Return Σ_e of the ring sums of weights_e · grad, by the recurrence of `ring_sums` in reverse."""
    radii, width = weights.shape[-1], grad.shape[-2]
    out = pad(grad.new_zeros(grad.shape), (0, 0, radii, radii))
    below, above = (0, 0, 0, 0, 0, 1), (0, 0, 0, 0, 1, 0)
    upper, next_upper = (pad(torch.zeros_like(grad), below) for _ in range(2))
    lower, next_lower = (pad(torch.zeros_like(grad), above) for _ in range(2))
    for e in range(radii - 1, -1, -1):
        ring = weights[..., e, None] * grad
        new_upper = torch.add(ring, upper[..., 1:, :, :], out=next_upper[..., :-1, :, :])
        row = new_upper + lower[..., :-1, :, :]
        out.narrow(-2, radii - e, width).add_(row)
        if e:
            out.narrow(-2, radii + e, width).add_(row)
        torch.add(ring, lower[..., :-1, :, :], out=next_lower[..., 1:, :, :])
        upper, next_upper, lower, next_lower = next_upper, upper, next_lower, lower
    return out.narrow(-2, radii, width)
