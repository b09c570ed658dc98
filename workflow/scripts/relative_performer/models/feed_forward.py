"""The feed-forward layers of a block. B: images, Q: tokens, D: dim."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from relative_performer.ops.dropout import Dropout, drop_mask, scale
from relative_performer.ops.forms import is_plain

DROPPED = -1e30


class FeedForward(nn.Module):
    """Affine D → 4D, exact GELU, dropout, affine 4D → D.

    On the CPU the images are processed one by one, so that the values between the two maps stay in the cache. The
    backward pass recomputes the GELU instead of saving its result.
    """

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.inner = nn.Linear(dim, 4 * dim)
        self.outer = nn.Linear(4 * dim, dim)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, Q, D) to (B, Q, D)."""
        if is_plain(x):
            return self.outer(self.dropout(gelu(self.inner(x))))
        weights = [self.inner.weight, self.inner.bias, self.outer.weight, self.outer.bias]
        if torch.is_autocast_enabled("cpu"):
            x, *weights = (tensor.to(torch.get_autocast_dtype("cpu")) for tensor in (x, *weights))
        return _FeedForward.apply(x, *weights, self.dropout.p if self.training else 0.0)


class _FeedForward(torch.autograd.Function):
    """Elements that dropout sets to zero are DROPPED before the GELU, where it and its derivative are exactly zero."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, inner: Tensor, inner_bias: Tensor, outer: Tensor, outer_bias: Tensor, p: float
    ) -> Tensor:
        hidden, out = x.new_empty(*x.shape[:-1], len(inner)), torch.empty_like(x)
        outer = outer * scale(p)  # scaling the weights is cheaper than scaling the activations
        for i in range(len(x)):
            bias = torch.add(inner_bias, drop_mask(p, hidden[i]), alpha=DROPPED, out=hidden[i]) if p else inner_bias
            torch.addmm(bias, x[i], inner.T, out=hidden[i])
            torch.addmm(outer_bias, gelu(hidden[i]), outer.T, out=out[i])
        ctx.save_for_backward(x, inner, outer, hidden)
        ctx.p = p
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, inner, outer, hidden = ctx.saved_tensors
        grad, grad_x = grad.contiguous(), torch.empty_like(x)
        dtype = torch.promote_types(x.dtype, torch.float32)
        grad_inner, grad_outer = (torch.zeros_like(weight, dtype=dtype) for weight in (inner, outer))
        grad_inner_bias = grad_inner.new_zeros(len(inner))
        for i in range(len(x)):
            grad_outer += grad[i].T @ gelu(hidden[i])
            grad_hidden = torch.ops.aten.gelu_backward(grad[i] @ outer, hidden[i])
            grad_inner += grad_hidden.T @ x[i]
            grad_inner_bias += grad_hidden.sum(0)
            torch.mm(grad_hidden, inner, out=grad_x[i])
        grads = grad_inner, grad_inner_bias, grad_outer.mul_(scale(ctx.p)), grad.sum((0, 1))
        return grad_x, *(total.to(x.dtype) for total in grads), None
