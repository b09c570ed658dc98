"""FAVOR+: softmax attention by positive random features, linear in the number of tokens.

Choromanski et al., Rethinking Attention with Performers, ICLR 2021 (arXiv 2009.14794).

B: images, H: heads, N: keys, Q: queries, m: random features, d_k: width of queries and keys, d: width of values.

The features phi omit the paper's factor m^(-1/2), which cancels in the attention. `favor_chunked` has the form for a
CPU.
"""

from typing import Any

import torch
from torch import Tensor

from relative_performer.ops import favor_chunked
from relative_performer.ops.forms import is_plain
from relative_performer.ops.random_features import EPSILON, Operand

START = {"query": -1, "head": -2, "batch": 0}  # the first of the dimensions over which a maximum is taken


def favor_attention(
    query: Operand, key: Operand, value: Tensor, projection_matrix: Tensor, key_stabilizer: str
) -> Tensor:
    """Return phi(q)·(Σ phi(k) vᵀ) / (phi(q)·Σ phi(k)), heads concatenated: (B, Q, H·d).

    value: (B, H, N, d). projection_matrix: W (m, d_k). key_stabilizer: `batch` subtracts one maximum over
    the whole tensor from the keys' projections, as published. Because of EPSILON, an image's attention then depends on
    the other images of the batch. `head` subtracts a maximum per image and head.
    """
    with torch.autocast(value.device.type, enabled=False):
        value = value.to(torch.promote_types(value.dtype, torch.float32))
        if not is_plain(value):
            return favor_chunked.favor_attention(query, key, value, projection_matrix, key_stabilizer)
        value = torch.nn.functional.pad(value, (0, 1), value=1)  # the last column sums the weights
        phi_q = exponentials(query, projection_matrix, value.dtype, "query")
        phi_k = exponentials(key, projection_matrix, value.dtype, key_stabilizer)
        sums = phi_k.mT @ value + EPSILON * value.sum(-2, keepdim=True)  # (B, H, m, d + 1)
        out = phi_q @ sums + EPSILON * sums.sum(-2, keepdim=True)  # (B, H, Q, d + 1)
        return (out[..., :-1] / out[..., -1:]).transpose(1, 2).flatten(2)


def feature_products(query: Tensor, key: Tensor, projection_matrix: Tensor) -> Tensor:
    """Return phi(q)·phi(k) (B, H, Q, K) of queries (B, H, Q, d_k) and keys (K, d_k) that images and heads share.

    The keys are stabilised by one maximum over the whole tensor.
    """
    if not is_plain(query):
        return favor_chunked.feature_products(query, key, projection_matrix)
    phi_q = exponentials(Operand(query), projection_matrix, query.dtype, "query")
    phi_k = exponentials(Operand(key), projection_matrix, query.dtype, "batch") + EPSILON
    return phi_q @ phi_k.mT + EPSILON * phi_k.sum(-1)


def exponentials(operand: Operand, projection_matrix: Tensor, dtype: torch.dtype, stabilizer: str) -> Tensor:
    """Return phi without EPSILON: exp(W x − |x|²/2 − the maximum of W x), of queries or keys x.

    stabilizer: what the maximum is over: the features of a `query`, all keys of a `head` or of the `batch`.
    """
    width, scale = operand.per_image.shape[-1], projection_matrix.shape[1] ** -0.25
    w = scale * projection_matrix.to(dtype)
    x = operand.per_image.to(dtype)
    projected, half_norm = x @ w[:, :width].T, scale**2 / 2 * x.square().sum(-1, keepdim=True)
    if operand.shared is not None:
        x = operand.shared.to(dtype)
        projected = projected + x @ w[:, width:].T
        half_norm = half_norm + scale**2 / 2 * x.square().sum(-1, keepdim=True)
    return _Exponentials.apply(projected, half_norm, stabilizer)


class _Exponentials(torch.autograd.Function):
    """exp(projected − half_norm − maximum of projected). The gradient includes the maximum.

    Its backward pass changes the gradient only where the maximum is; that of `amax` reads and writes all of it again.
    """

    @staticmethod
    def forward(ctx: Any, projected: Tensor, half_norm: Tensor, stabilizer: str) -> Tensor:  # type: ignore[override]
        ctx.start = START[stabilizer]
        maximum, index = projected.flatten(ctx.start).max(-1)
        exps = (projected - (half_norm + maximum[(..., *-ctx.start * (None,))])).exp_()
        ctx.save_for_backward(exps, index)
        return exps

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        exps, index = ctx.saved_tensors
        grad = (grad * exps).contiguous()
        row_sums = grad.sum(-1, keepdim=True)
        total = row_sums.flatten(ctx.start).sum(-1)
        grad.flatten(ctx.start).scatter_add_(-1, index.unsqueeze(-1), -total.unsqueeze(-1))
        return grad, -row_sums, None
