"""FAVOR+: attention by positive random features, linear in the number of tokens.

B: images, H: heads, N: tokens, Q: queries, m: random features, d_k: width of queries and keys, d: width of values.

Everywhere phi lacks the factor m^(-1/2) of the paper, which cancels, and is written as a power of two, since exp2 costs
a CPU a third of exp: the directions carry the factor log2(e).
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

CACHED = 2**18  # features of so many numbers stay in a CPU core's cache
LN_2 = math.log(2)
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


def draw_features(key_dim: int, times: int = 1) -> Tensor:
    """Draw the random directions W (m, d_k), or `times` as many: orthogonal within blocks of d_k, of Gaussian lengths.

    No sign correction follows the QR decomposition, as published: the blocks are not exactly Haar-distributed.
    Drawn on the CPU, so that a seed gives the same W on every device.
    """
    m = times * n_features(key_dim)
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
        value = value.to(torch.promote_types(value.dtype, torch.float32))
        sides = (*_side(query, directions, value.dtype), *_side(key, directions, value.dtype))
        return _FavorAttention.apply(value, key_stabilizer == "head", *sides)


def near_weights(query: Tensor, key: Tensor, directions: Tensor) -> Tensor:
    """Return phi(q)·phi(k) (B, H, Q, K) of queries (B, H, Q, d_k) and keys (K, d_k), which all images and heads share.

    The keys are stabilised by one maximum over the whole tensor.
    """
    side = _side(Operand(query), directions, query.dtype)
    projected, half_norm = _Side(key, *side[1:]).project(slice(None))
    phi = (projected - (half_norm + projected.amax())).exp2() + EPSILON
    return _FeatureProduct.apply(phi, *side)


class _Side(NamedTuple):
    """Queries or keys, and what turns them into the exponents (to the base 2) of their features."""

    own: Tensor  # x (B, H, N, width)
    w: Tensor  # log2(e) · d_k^(-1/4) · the columns of W for x (m, width)
    shared: Tensor | None  # (H or 1, N, m), what the part that all images share adds to the projections
    shared_norm: Tensor | None  # (H or 1, N, 1), and to half the squared norms
    half: float  # log2(e) · d_k^(-1/2) / 2, which turns |x|² into half the squared norm

    def project(self, images: slice) -> tuple[Tensor, Tensor]:
        """Return the projections and half the squared norms of some images."""
        x = self.own[images]
        projected, half_norm = x @ self.w.T, self.half * x.square().sum(-1, keepdim=True)
        if self.shared is not None and self.shared_norm is not None:
            projected += self.shared
            half_norm += self.shared_norm
        return projected, half_norm


def _side(operand: Operand, directions: Tensor, dtype: torch.dtype) -> _Side:
    key_dim, width = directions.shape[1], operand.own.shape[-1]
    w = math.log2(math.e) * key_dim**-0.25 * directions.to(dtype)
    side = _Side(operand.own.to(dtype), w[:, :width], None, None, math.log2(math.e) * key_dim**-0.5 / 2)
    if operand.shared is None:
        return side
    shared = side._replace(own=operand.shared.to(dtype), w=w[:, width:]).project(slice(None))
    return side._replace(shared=shared[0], shared_norm=shared[1])


class _Grads:
    """The gradients of one _Side, filled image by image."""

    def __init__(self, side: _Side) -> None:
        self.side = side
        self.own = torch.empty_like(side.own)
        self.shared = None if side.shared is None else torch.zeros_like(side.shared)
        self.shared_norm = None if side.shared_norm is None else torch.zeros_like(side.shared_norm)

    def add(self, images: slice, projected: Tensor, minus_norm: Tensor) -> None:
        """Take the gradient of the projections and minus that of the half norms of some images."""
        x = self.side.own[images]
        self.own[images] = torch.addcmul(projected @ self.side.w, x, minus_norm, value=-2 * self.side.half)
        if self.shared is not None and self.shared_norm is not None:
            if len(x) == 1:  # a sum of one image would be a copy
                projected, minus_norm = projected[0], minus_norm[0]
            self.shared += projected.sum_to_size(self.shared.shape)
            self.shared_norm -= minus_norm.sum_to_size(self.shared_norm.shape)


def _attained(projected: Tensor, maximum: Tensor) -> Tensor:
    """1 where the maximum is attained, else 0; as numbers, which a CPU compares four times as fast as to bool."""
    return torch.eq(projected, maximum, out=torch.empty_like(projected))


def _query_features(query: _Side, images: slice) -> Tensor:
    """phi(q), stabilised by each query's own maximum."""
    projected, half_norm = query.project(images)
    return projected.sub_(half_norm + projected.amax(-1, keepdim=True)).exp2_().add_(EPSILON)


def _pull_queries(grads: _Grads, images: slice, pull: Tensor, factors: Tensor) -> Tensor:
    """Take the gradient of phi(q), which is pull @ factors.mT, to the queries, and return phi(q)."""
    projected, half_norm = grads.side.project(images)
    maximum = projected.amax(-1, keepdim=True)
    attained = _attained(projected, maximum)
    phi = projected.sub_(half_norm + maximum).exp2_()
    pulled = (pull @ (LN_2 * factors).mT).mul_(phi)
    row_sums = pulled.sum(-1, keepdim=True)
    pulled.addcmul_(attained, row_sums / attained.sum(-1, keepdim=True), value=-1)
    grads.add(images, pulled, row_sums)
    return phi.add_(EPSILON)


def _pull_keys(grads: _Grads, images: slice, pulled: Tensor, maximum: Tensor) -> tuple[Tensor, Tensor]:
    """Take the gradient of phi(k), `pulled` / log(2), to the keys; return phi(k) and its pull at the maximum, summed.

    Where each image and head has a maximum, its pull is taken too; where the batch has one, the caller has to.
    """
    projected, half_norm = grads.side.project(images)
    attained = _attained(projected, maximum) if maximum.ndim else None
    phi = projected.sub_(half_norm + maximum).exp2_()
    row_sums = pulled.mul_(phi).sum(-1, keepdim=True)
    total = row_sums.sum((-1, -2), keepdim=True)
    if attained is not None:
        pulled.addcmul_(attained, total / attained.sum((-1, -2), keepdim=True), value=-1)
    grads.add(images, pulled, row_sums)
    return phi.add_(EPSILON), total.sum()


class _FavorAttention(torch.autograd.Function):
    """Attention from queries and keys; features are recomputed in the backward pass and never kept.

    On the CPU the images pass in chunks whose features stay in the cache: one by one at the published size. Both
    stabilising maxima take part in the gradient. Products that are as wide as a head, and the column that the
    denominators need by itself, are faster than one product that is wider by a column.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor, per_head: bool, *sides: Any) -> Tensor:
        query, key = _Side(*sides[:5]), _Side(*sides[5:])
        chunks = _chunks(value, query.w.shape[0])
        sums, counts, maxima = [], [], []
        for images in chunks:
            projected, half_norm = key.project(images)
            maximum = projected.amax((-1, -2), keepdim=True) if per_head else projected.amax()
            phi = projected.sub_(half_norm + maximum).exp2_()
            sums.append(phi.mT @ value[images])  # (b, H, m, d)
            counts.append(phi.sum(-2).unsqueeze(-1))  # (b, H, m, 1)
            maxima.append(maximum)
        if not per_head:  # what was stabilised chunk by chunk is now by the whole batch
            top = torch.stack(maxima).amax()
            for i, maximum in enumerate(maxima):
                sums[i] *= (maximum - top).exp2()
                counts[i] *= (maximum - top).exp2()
        out, denominators = value.new_empty(len(value), query.own.shape[2], *value.shape[1::2]), []
        for i, images in enumerate(chunks):
            sums[i] += EPSILON * value[images].sum(-2, keepdim=True)
            counts[i] += EPSILON * value.shape[2]
            phi = _query_features(query, images).mul_(counts[i].mT)
            denominators.append(phi.sum(-1, keepdim=True))
            torch.div(phi @ (sums[i] / counts[i]), denominators[i], out=out[images].transpose(1, 2))
        out = out.flatten(2)
        ctx.save_for_backward(value, out, *query[:4], *key[:4], *sums, *counts, *denominators, *maxima)
        ctx.half, ctx.per_head = query.half, per_head
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        value, out, *rest = ctx.saved_tensors
        query, key = _Side._make([*rest[:4], ctx.half]), _Side._make([*rest[4:8], ctx.half])
        chunks = _chunks(value, query.w.shape[0])
        sums, counts, denominators, maxima = (rest[8 + i * len(chunks) : 8 + (i + 1) * len(chunks)] for i in range(4))
        tops = maxima if ctx.per_head else len(chunks) * [torch.stack(maxima).amax()]
        out, grad = (x.unflatten(-1, (value.shape[1], -1)).transpose(1, 2) for x in (out, grad))
        query_grads, key_grads, value_grad = _Grads(query), _Grads(key), torch.empty_like(value)
        total = value.new_zeros(())
        for i, images in enumerate(chunks):
            ratio = grad[images] / denominators[i]  # (b, H, Q, d)
            count_ratio = (ratio * out[images]).sum(-1, keepdim=True).neg_()
            pull, factors = torch.cat([ratio, count_ratio], dim=-1), torch.cat([sums[i], counts[i]], dim=-1)
            phi = _pull_queries(query_grads, images, pull, factors)
            sum_pull = phi.mT @ ratio  # (b, H, m, d)
            count_pull = phi.mul_(count_ratio).sum(-2).unsqueeze(-2)  # (b, H, 1, m)

            pulled = (value[images] @ (LN_2 * sum_pull).mT).add_(LN_2 * count_pull)
            phi, pull_at_maximum = _pull_keys(key_grads, images, pulled, tops[i])
            value_grad[images] = phi @ sum_pull
            total += pull_at_maximum
        if not ctx.per_head:
            # on a GPU, which would have to wait for the answer, there is one chunk
            attains = int(torch.stack(maxima).argmax()) if len(chunks) > 1 else 0
            _pull_at_maximum(key_grads, chunks[attains], total)
        own_grads = [(g.own, None, g.shared, g.shared_norm, None) for g in (query_grads, key_grads)]
        return (value_grad, None, *own_grads[0], *own_grads[1])


class _FeatureProduct(torch.autograd.Function):
    """phi(q)·k of queries and given features k (K, m); phi(q) is recomputed in the backward pass and never kept."""

    @staticmethod
    def forward(ctx: Any, factors: Tensor, *side: Any) -> Tensor:  # type: ignore[override]
        query = _Side(*side)
        out = factors.new_empty(*query.own.shape[:-1], len(factors))
        for images in _chunks(query.own, query.w.shape[0]):
            out[images] = _query_features(query, images) @ factors.T
        ctx.save_for_backward(factors, query.own, query.w)
        ctx.half = query.half
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        factors, own, w = ctx.saved_tensors
        query_grads, factor_grad = _Grads(_Side(own, w, None, None, ctx.half)), torch.zeros_like(factors)
        for images in _chunks(own, w.shape[0]):
            phi = _pull_queries(query_grads, images, grad[images], factors.mT)
            factor_grad += (grad[images].mT @ phi).sum((0, 1))
        return factor_grad, query_grads.own, None, None, None, None


def _chunks(tokens: Tensor, features: int) -> list[slice]:
    per_image = tokens.shape[1] * tokens.shape[2] * features
    step = len(tokens) if tokens.is_cuda else max(1, CACHED // per_image)
    return [slice(start, start + step) for start in range(0, len(tokens), step)]


def _pull_at_maximum(grads: _Grads, images: slice, total: Tensor) -> None:
    """Subtract the gradient of the maximum over the whole batch, which lies in `images`, where it is attained."""
    projected, _ = grads.side.project(images)
    image, head, token, feature = torch.unravel_index(projected.argmax(), projected.shape)
    grads.own[images][image, head, token] -= total * grads.side.w[feature]
    if grads.shared is not None:
        grads.shared[head % len(grads.shared), token, feature] -= total
