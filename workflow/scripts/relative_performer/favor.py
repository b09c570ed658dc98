"""FAVOR+: attention by positive random features, linear in the number of tokens.

B: images, H: heads, N: tokens, Q: queries, m: random features, d_k: width of queries and keys, d: width of values.

Everywhere phi lacks the factor m^(-1/2) of the paper, which cancels.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

CACHED = 2**18  # features of so many numbers stay in a CPU core's cache
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
        dtype = torch.promote_types(value.dtype, torch.float32)
        scale = directions.shape[1] ** -0.25
        sides = [*_side(query, directions.to(dtype), scale), *_side(key, directions.to(dtype), scale)]
        return _FavorAttention.apply(value.to(dtype), scale, key_stabilizer == "head", *sides)


def _side(operand: Operand, directions: Tensor, scale: float) -> "_Side":
    width = operand.own.shape[-1]
    own, w = operand.own.to(directions.dtype), directions[:, :width]
    if operand.shared is None:
        return _Side(own, w, None, None)
    return _Side(own, w, *project(scale * operand.shared.to(directions.dtype), directions[:, width:]))


def query_features(query: Tensor, directions: Tensor) -> Tensor:
    """phi(q) (…, Q, m), stabilised by each query's own maximum."""
    projected, half_norm = project(query * directions.shape[1] ** -0.25, directions)
    return (projected - (half_norm + projected.amax(-1, keepdim=True))).exp() + EPSILON


def key_features(key: Tensor, directions: Tensor) -> Tensor:
    """phi(k) (…, N, m), stabilised by one maximum over the whole tensor."""
    projected, half_norm = project(key * directions.shape[1] ** -0.25, directions)
    return (projected - (half_norm + projected.amax())).exp() + EPSILON


def project(x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """Return W x (…, N, m) and |x|²/2 (…, N, 1)."""
    return x @ w.T, x.square().sum(-1, keepdim=True) / 2


class _Side(NamedTuple):
    """Queries or keys, the columns of W for their own part, and what the shared part adds to projections and norms."""

    own: Tensor  # (B, H, N, width)
    w: Tensor  # (m, width)
    shared: Tensor | None  # (H or 1, N, m)
    shared_norm: Tensor | None  # (H or 1, N, 1)

    def project(self, images: slice, scale: float) -> tuple[Tensor, Tensor, Tensor]:
        """Return the scaled x of some images, s W x and s²|x|²/2."""
        x = scale * self.own[images]
        projected, half_norm = project(x, self.w)
        if self.shared is not None and self.shared_norm is not None:
            projected += self.shared
            half_norm += self.shared_norm
        return x, projected, half_norm


class _Grads:
    """The gradients of one _Side, filled image by image."""

    def __init__(self, side: _Side) -> None:
        self.w = side.w
        self.own = torch.empty_like(side.own)
        self.shared = None if side.shared is None else torch.zeros_like(side.shared)
        self.shared_norm = None if side.shared_norm is None else torch.zeros_like(side.shared_norm)

    def add(self, images: slice, x: Tensor, scale: float, projected: Tensor, minus_norm: Tensor) -> None:
        """Take the gradient of the projections and minus that of the half norms of some images."""
        self.own[images] = torch.addcmul(projected @ self.w, x, minus_norm, value=-1).mul_(scale)
        if self.shared is not None and self.shared_norm is not None:
            self.shared += projected.sum(0).sum_to_size(self.shared.shape)
            self.shared_norm -= minus_norm.sum(0).sum_to_size(self.shared_norm.shape)


class _FavorAttention(torch.autograd.Function):
    """Attention from scaled queries and keys; features are recomputed in the backward pass and never kept.

    On the CPU the images pass in chunks whose features stay in the cache: one by one at the published size. The value
    gets a column of ones, whose attention is the denominator. Both stabilising maxima take part in the gradient.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor, scale: float, per_head: bool, *sides: Any) -> Tensor:
        query, key = _Side(*sides[:4]), _Side(*sides[4:])
        chunks = _chunks(value, query.w.shape[0])
        sums, maxima = [], []
        for images in chunks:
            _, projected, half_norm = key.project(images, scale)
            maximum = projected.amax((-1, -2), keepdim=True) if per_head else projected.amax()
            phi = projected.sub_(half_norm + maximum).exp_()
            sums.append(phi.mT @ _with_ones(value[images]))  # (b, H, m, d + 1)
            maxima.append(maximum)
        if not per_head:  # what was stabilised chunk by chunk is now by the whole batch
            top = torch.stack(maxima).amax()
            sums = [x * (maximum - top).exp() for x, maximum in zip(sums, maxima, strict=True)]
        out, denominators = value.new_empty(len(value), query.own.shape[2], *value.shape[1::2]), []
        for i, images in enumerate(chunks):
            sums[i] += EPSILON * _with_ones(value[images]).sum(-2, keepdim=True)
            _, projected, half_norm = query.project(images, scale)
            phi = projected.sub_(half_norm + projected.amax(-1, keepdim=True)).exp_().add_(EPSILON)
            result = phi @ sums[i]  # (b, H, Q, d + 1)
            torch.div(result[..., :-1], result[..., -1:], out=out[images].transpose(1, 2))
            denominators.append(result[..., -1:])
        out = out.flatten(2)
        ctx.save_for_backward(value, out, *sides, *sums, *denominators, *maxima)
        ctx.scale, ctx.per_head = scale, per_head
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        value, out, *rest = ctx.saved_tensors
        query, key = _Side(*rest[:4]), _Side(*rest[4:8])
        chunks = _chunks(value, query.w.shape[0])
        sums, denominators, maxima = (rest[8 + i * len(chunks) : 8 + (i + 1) * len(chunks)] for i in range(3))
        tops = maxima if ctx.per_head else len(chunks) * [torch.stack(maxima).amax()]
        out, grad = (x.unflatten(-1, (value.shape[1], -1)).transpose(1, 2) for x in (out, grad))
        query_grads, key_grads, value_grad = _Grads(query), _Grads(key), torch.empty_like(value)
        total = value.new_zeros(())
        for i, images in enumerate(chunks):
            ratio = grad[images] / denominators[i]
            pull = torch.cat([ratio, -(ratio * out[images]).sum(-1, keepdim=True)], dim=-1)  # (b, H, Q, d + 1)

            x, projected, half_norm = query.project(images, ctx.scale)
            largest = projected.argmax(-1, keepdim=True)
            phi = projected.sub_(half_norm + projected.gather(-1, largest)).exp_()
            pulled = (pull @ sums[i].mT).mul_(phi)
            row_sums = pulled.sum(-1, keepdim=True)
            pulled.scatter_add_(-1, largest, -row_sums)
            query_grads.add(images, x, ctx.scale, pulled, row_sums)
            sum_pull = phi.add_(EPSILON).mT @ pull  # (b, H, m, d + 1)

            x, projected, half_norm = key.project(images, ctx.scale)
            largest = projected.flatten(-2).argmax(-1, keepdim=True) if ctx.per_head else largest
            phi = projected.sub_(half_norm + tops[i]).exp_()
            pulled = (_with_ones(value[images]) @ sum_pull.mT).mul_(phi)
            row_sums = pulled.sum(-1, keepdim=True)
            if ctx.per_head:
                pulled.flatten(-2).scatter_add_(-1, largest, -row_sums.sum(-2))
            else:
                total += row_sums.sum()
            key_grads.add(images, x, ctx.scale, pulled, row_sums)
            value_grad[images] = phi.add_(EPSILON) @ sum_pull[..., :-1]
        if not ctx.per_head:
            _pull_at_maximum(key, key_grads, chunks[int(torch.stack(maxima).argmax())], ctx.scale, total)
        own_grads = [(g.own, None, g.shared, g.shared_norm) for g in (query_grads, key_grads)]
        return (value_grad, None, None, *own_grads[0], *own_grads[1])


def _chunks(value: Tensor, features: int) -> list[slice]:
    per_image = value.shape[1] * value.shape[2] * features
    step = len(value) if value.is_cuda else max(1, CACHED // per_image)
    return [slice(start, start + step) for start in range(0, len(value), step)]


def _with_ones(v: Tensor) -> Tensor:
    return torch.cat([v, v.new_ones(*v.shape[:-1], 1)], dim=-1)


def _pull_at_maximum(key: _Side, grads: _Grads, images: slice, scale: float, total: Tensor) -> None:
    """Subtract the gradient of the maximum over the whole batch, which lies in `images`, where it is attained."""
    _, projected, _ = key.project(images, scale)
    image, head, token, feature = torch.unravel_index(projected.argmax(), projected.shape)
    grads.own[images][image, head, token] -= scale * total * key.w[feature]
    if grads.shared is not None:
        grads.shared[head % len(grads.shared), token, feature] -= total
