"""The feed-forward layers. B: images, Q: tokens, D: dim."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from relative_performer.dropout import Dropout, draw_bits, kept, scale


class FeedForward(nn.Module):
    """Affine D → 4D, exact GELU, dropout, affine 4D → D.

    On the CPU the images pass one by one, so that what lies between the two maps stays in the cache, and the backward
    pass applies the GELU again instead of keeping its result.
    """

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.inner = nn.Linear(dim, 4 * dim)
        self.outer = nn.Linear(4 * dim, dim)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, Q, D) to (B, Q, D)."""
        if x.is_cuda:
            return self.outer(self.dropout(gelu(self.inner(x))))
        weights = [self.inner.weight, self.inner.bias, self.outer.weight, self.outer.bias]
        if torch.is_autocast_enabled("cpu"):
            x, *weights = (tensor.to(torch.get_autocast_dtype("cpu")) for tensor in (x, *weights))
        return _FeedForward.apply(x, *weights, self.dropout.p if self.training else 0.0)


class _FeedForward(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, inner: Tensor, inner_bias: Tensor, outer: Tensor, outer_bias: Tensor, p: float
    ) -> Tensor:
        hidden, out = x.new_empty(*x.shape[:-1], len(inner)), torch.empty_like(x)
        bits = draw_bits(hidden.shape) if p else None
        outer = outer * scale(p)  # here the factor costs least
        for i in range(len(x)):
            torch.addmm(inner_bias, x[i], inner.T, out=hidden[i])
            activated = gelu(hidden[i])
            if bits is not None:
                activated *= kept(bits[i], p, x.dtype)
            torch.addmm(outer_bias, activated, outer.T, out=out[i])
        ctx.save_for_backward(x, inner, outer, hidden, bits)
        ctx.p = p
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, inner, outer, hidden, bits = ctx.saved_tensors
        grad, x_grad = grad.contiguous(), torch.empty_like(x)
        summed = torch.promote_types(x.dtype, torch.float32)
        inner_grad, outer_grad = (torch.zeros_like(weight, dtype=summed) for weight in (inner, outer))
        bias_grad = inner_grad.new_zeros(len(inner))
        for i in range(len(x)):
            activated, pulled = gelu(hidden[i]), grad[i] @ outer
            if bits is not None:
                stays = kept(bits[i], ctx.p, x.dtype)
                activated *= stays
                pulled *= stays
            outer_grad += grad[i].T @ activated
            pulled = torch.ops.aten.gelu_backward(pulled, hidden[i])
            inner_grad += pulled.T @ x[i]
            bias_grad += pulled.sum(0)
            torch.mm(pulled, inner, out=x_grad[i])
        sums = inner_grad, bias_grad, outer_grad.mul_(scale(ctx.p)), grad.sum((0, 1))
        return x_grad, *(total.to(x.dtype) for total in sums), None
