"""FAVOR+: attention by positive random features, linear in the number of tokens.

B: images, H: heads, N: tokens, Q: queries, m: random features, d_k: width of queries and keys, d: width of values.

Everywhere phi lacks the factor m^(-1/2) of the paper, which cancels.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

EPSILON = 1e-4  # added to every feature; without it the published logits move by up to 4


class Operand(NamedTuple):
    """Queries or keys: what differs between images (B, H, N, width) and what all share (H or 1, N, width).

    The widths add up to d_k. The shared part is projected once and not for every image.
    """

    own: Tensor
    shared: Tensor | None = None


def n_features(key_dim: int) -> int:
    """Number m of random features for queries and keys of width `key_dim`."""
    return int(key_dim * math.log(key_dim))


def draw_features(key_dim: int) -> Tensor:
    """Draw the random directions W (m, d_k): orthogonal within blocks of d_k, as long as Gaussian vectors.

    No sign correction follows the QR decomposition, as published: the blocks are not exactly Haar-distributed.
    Drawn on the CPU, so that a seed gives the same W on every device.
    """
    m = n_features(key_dim)
    blocks = [torch.linalg.qr(torch.randn(key_dim, key_dim)).Q.T for _ in range(math.ceil(m / key_dim))]
    lengths = torch.randn(m, key_dim).norm(dim=1, keepdim=True)
    return lengths * torch.cat(blocks)[:m]


def favor_attention(query: Operand, key: Operand, value: Tensor, directions: Tensor, key_stabilizer: str) -> Tensor:
    """Attend with random features: (B, Q, H·d).

    value: (B, H, N, d). directions: W (m, d_k). key_stabilizer: `batch` subtracts the maximum of the keys' projections
    over the whole tensor, as published, which makes an image's attention depend, by way of EPSILON, on the other
    images; `head` subtracts the maximum per image and head.
    """
    with torch.autocast(value.device.type, enabled=False):
        dtype = torch.promote_types(value.dtype, torch.float32)
        scale = directions.shape[1] ** -0.25
        w = directions.to(dtype)
        parts: list[Any] = []
        for operand in (query, key):
            width = operand.own.shape[-1]
            shared = (None, None)
            if operand.shared is not None:
                shared = project(scale * operand.shared.to(dtype), w[:, width:])
            parts.append((operand.own.to(dtype), w[:, :width], *shared))
        return _FavorAttention.apply(*parts[0], *parts[1], value.to(dtype), scale, key_stabilizer == "head")


def query_features(query: Tensor, directions: Tensor) -> Tensor:
    """phi(q) (…, Q, m), stabilised by each query's own maximum."""
    projected, half_norm = project(query * directions.shape[1] ** -0.25, directions)
    return (projected - (half_norm + projected.amax(-1, keepdim=True))).exp() + EPSILON


def key_features(key: Tensor, directions: Tensor) -> Tensor:
    """phi(k) (…, N, m), stabilised by one maximum over the whole tensor."""
    projected, half_norm = project(key * directions.shape[1] ** -0.25, directions)
    return (projected - (half_norm + projected.amax())).exp() + EPSILON


def project(
    x: Tensor, w: Tensor, shared: Tensor | None = None, shared_norm: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return W x (…, N, m) and |x|²/2 (…, N, 1), and add what the part shared by all images contributes."""
    projected, half_norm = x @ w.T, x.square().sum(-1, keepdim=True) / 2
    if shared is None:
        return projected, half_norm
    return projected.add_(shared), half_norm.add_(shared_norm)


class _FavorAttention(torch.autograd.Function):
    """Attention of scaled queries and keys, features recomputed in the backward pass, and never kept.

    On the CPU the images pass one by one, so that a chunk's features stay in the cache. The value gets a column of
    ones, whose attention is the denominator. Both maxima take part in the gradient.
    """

    @staticmethod
    def forward(ctx, q, w_q, q_shared, q_norm, k, w_k, k_shared, k_norm, value, scale, per_head):  # type: ignore[override]
        batch, heads, queries, _ = q.shape
        width = value.shape[-1]
        step = batch if value.is_cuda else 1
        sums, maxima = [], []
        for x, v in zip(k.split(step), value.split(step), strict=True):
            projected, half_norm = project(scale * x, w_k, k_shared, k_norm)
            maximum = projected.amax((-1, -2), keepdim=True) if per_head else projected.amax()
            phi = projected.sub_(half_norm + maximum).exp_()
            sums.append(phi.mT @ _with_ones(v))
            maxima.append(maximum)
        top = None if per_head else torch.stack(maxima).amax()
        out, denominators = value.new_empty(batch, queries, heads, width), []
        for i, (x, v) in enumerate(zip(q.split(step), value.split(step), strict=True)):
            if top is not None:
                sums[i] *= (maxima[i] - top).exp()
            sums[i] += EPSILON * _with_ones(v).sum(-2, keepdim=True)
            projected, half_norm = project(scale * x, w_q, q_shared, q_norm)
            phi = projected.sub_(half_norm + projected.amax(-1, keepdim=True)).exp_().add_(EPSILON)
            result = phi @ sums[i]  # (b, H, Q, d + 1)
            torch.div(result[..., :-1], result[..., -1:], out=out[i * step : (i + 1) * step].transpose(1, 2))
            denominators.append(result[..., -1:])
        out = out.flatten(2)
        ctx.save_for_backward(
            q, w_q, q_shared, q_norm, k, w_k, k_shared, k_norm, value, out, *sums, *denominators, *maxima
        )
        ctx.scale, ctx.per_head, ctx.step = scale, per_head, step
        return out

    @staticmethod
    def backward(ctx, grad):  # type: ignore[override]
        q, w_q, q_shared, q_norm, k, w_k, k_shared, k_norm, value, out, *rest = ctx.saved_tensors
        step, scale, heads = ctx.step, ctx.scale, q.shape[1]
        chunks = len(rest) // 3
        sums, denominators, maxima = rest[:chunks], rest[chunks : 2 * chunks], rest[2 * chunks :]
        grad, out = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (grad, out))
        grad_q, grad_k, grad_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(value)
        shared_grads = [None if x is None else torch.zeros_like(x) for x in (q_shared, q_norm, k_shared, k_norm)]
        top = maxima if ctx.per_head else chunks * [torch.stack(maxima).amax()]
        total = 0
        for i in range(chunks):
            rows = slice(i * step, (i + 1) * step)
            # numerator and denominator
            ratio = grad[rows] / denominators[i]
            pull = torch.cat([ratio, -(ratio * out[rows]).sum(-1, keepdim=True)], dim=-1)  # (b, H, Q, d + 1)
            # queries
            x = scale * q[rows]
            projected, half_norm = project(x, w_q, q_shared, q_norm)
            largest = projected.argmax(-1, keepdim=True)
            phi = projected.sub_(half_norm + projected.gather(-1, largest)).exp_()
            pulled = (pull @ sums[i].mT).mul_(phi)
            sum_pull = phi.add_(EPSILON).mT @ pull  # (b, H, m, d + 1)
            row_sums = pulled.sum(-1, keepdim=True)
            pulled.scatter_add_(-1, largest, -row_sums)
            grad_q[rows] = torch.addcmul(pulled @ w_q, x, row_sums, value=-1).mul_(scale)
            _add_shared(shared_grads[0], shared_grads[1], pulled, row_sums)
            # keys and values
            x = scale * k[rows]
            projected, half_norm = project(x, w_k, k_shared, k_norm)
            largest = projected.flatten(-2).argmax(-1, keepdim=True) if ctx.per_head else None
            phi = projected.sub_(half_norm + top[i]).exp_()
            pulled = (_with_ones(value[rows]) @ sum_pull.mT).mul_(phi)
            grad_v[rows] = phi.add_(EPSILON) @ sum_pull[..., :-1]
            row_sums = pulled.sum(-1, keepdim=True)
            if largest is not None:
                pulled.flatten(-2).scatter_add_(-1, largest, -row_sums.sum((-1, -2))[..., None])
            total = total + row_sums.sum()
            grad_k[rows] = torch.addcmul(pulled @ w_k, x, row_sums, value=-1).mul_(scale)
            _add_shared(shared_grads[2], shared_grads[3], pulled, row_sums)
        if not ctx.per_head:
            chunk = int(torch.stack(maxima).argmax()) if chunks > 1 else 0
            rows = slice(chunk * step, (chunk + 1) * step)
            projected, _ = project(scale * k[rows], w_k, k_shared, k_norm)
            image, head, token, feature = torch.unravel_index(projected.argmax(), projected.shape)
            grad_k[chunk * step + image, head, token] -= scale * total * w_k[feature]
            if shared_grads[2] is not None:
                shared_grads[2][head % len(shared_grads[2]), token, feature] -= total
        return (grad_q, None, *shared_grads[:2], grad_k, None, *shared_grads[2:], grad_v, None, None)


def _with_ones(v: Tensor) -> Tensor:
    return torch.cat([v, v.new_ones(*v.shape[:-1], 1)], dim=-1)


def _add_shared(grad: Tensor | None, norm_grad: Tensor | None, pulled: Tensor, row_sums: Tensor) -> None:
    """Add a chunk's gradient of the projections and half norms to those of the shared part."""
    if grad is not None and norm_grad is not None:
        grad += pulled.sum(0).sum_to_size(grad.shape)
        norm_grad -= row_sums.sum(0).sum_to_size(norm_grad.shape)
