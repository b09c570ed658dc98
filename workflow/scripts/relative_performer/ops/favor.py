"""FAVOR+: softmax attention by positive random features, linear in the number of tokens.

Choromanski et al., Rethinking Attention with Performers, ICLR 2021 (arXiv 2009.14794).

B: images, H: heads, N: keys, Q: queries, m: random features, d_k: width of queries and keys, d: width of values.

The features phi omit the paper's factor m^(-1/2), which cancels in the attention. They are computed with exp2, which on
a CPU takes a third of the time of exp: projections and squared norms carry a factor log2(e).
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

CACHED = 2**18  # feature values that fit in the cache of a CPU core
LN_2 = math.log(2)
EPSILON = 1e-4  # added to every feature; without it the published logits change by up to 4


class Operand(NamedTuple):
    """Queries or keys, in two parts whose widths add up to d_k. The shared part is projected only once per batch."""

    per_image: Tensor  # (B, H, N, width)
    shared: Tensor | None = None  # (H or 1, N, width)


def n_features(key_dim: int) -> int:
    """Return the number m of random features for queries and keys of width `key_dim`."""
    return int(key_dim * math.log(key_dim))


def draw_projection_matrix(key_dim: int, times: int = 1) -> Tensor:
    """Draw W (times · m, d_k), orthogonal in blocks of d_k rows, with the norms of Gaussian vectors.

    No sign correction follows the QR decomposition, as published: the blocks are not exactly Haar-distributed.
    W is drawn on the CPU, so that a seed gives the same W on every device.
    """
    m = times * n_features(key_dim)
    blocks = [torch.linalg.qr(torch.randn(key_dim, key_dim)).Q.T for _ in range(math.ceil(m / key_dim))]
    norms = torch.randn(m, key_dim).norm(dim=1, keepdim=True)
    return norms * torch.cat(blocks)[:m]


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
        projections = (*_project(query, projection_matrix, value.dtype), *_project(key, projection_matrix, value.dtype))
        return _FavorAttention.apply(value, key_stabilizer == "head", *projections)


def feature_products(query: Tensor, key: Tensor, projection_matrix: Tensor) -> Tensor:
    """Return phi(q)·phi(k) (B, H, Q, K) of queries (B, H, Q, d_k) and keys (K, d_k) that images and heads share.

    The keys are stabilised by one maximum over the whole tensor.
    """
    projection = _project(Operand(query), projection_matrix, query.dtype)
    projected, half_norm = Projection(key, *projection[1:]).project(slice(None))
    key_features = (projected - (half_norm + projected.amax())).exp2() + EPSILON
    return _FeatureProducts.apply(key_features, *projection)


class Projection(NamedTuple):
    """Queries or keys x, and the terms of the exponents W x − |x|²/2 of their features, scaled for exp2."""

    per_image: Tensor  # (B, H, N, width)
    w: Tensor  # (m, width): log2(e) · d_k^(-1/4) · the columns of W for the part per image
    shared: Tensor | None  # (H or 1, N, m): the shared part's contribution to the projections
    shared_norm: Tensor | None  # (H or 1, N, 1): its contribution to half the squared norms
    half: float  # log2(e) · d_k^(-1/2) / 2, which turns |x|² into half the squared norm

    def project(self, images: slice) -> tuple[Tensor, Tensor]:
        """Return the projections (b, H, N, m) and half the squared norms (b, H, N, 1) of `images`."""
        x = self.per_image[images]
        projected, half_norm = x @ self.w.T, self.half * x.square().sum(-1, keepdim=True)
        if self.shared is not None and self.shared_norm is not None:
            projected += self.shared
            half_norm += self.shared_norm
        return projected, half_norm


def _project(operand: Operand, projection_matrix: Tensor, dtype: torch.dtype) -> Projection:
    key_dim, width = projection_matrix.shape[1], operand.per_image.shape[-1]
    w = math.log2(math.e) * key_dim**-0.25 * projection_matrix.to(dtype)
    half = math.log2(math.e) * key_dim**-0.5 / 2
    projection = Projection(operand.per_image.to(dtype), w[:, :width], None, None, half)
    if operand.shared is None:
        return projection
    shared = projection._replace(per_image=operand.shared.to(dtype), w=w[:, width:]).project(slice(None))
    return projection._replace(shared=shared[0], shared_norm=shared[1])


class _ProjectionGrad:
    """The gradients of a Projection, filled image by image."""

    def __init__(self, projection: Projection) -> None:
        self.projection = projection
        self.per_image = torch.empty_like(projection.per_image)
        self.shared = None if projection.shared is None else torch.zeros_like(projection.shared)
        self.shared_norm = None if projection.shared_norm is None else torch.zeros_like(projection.shared_norm)

    def add(self, images: slice, grad_projected: Tensor, minus_grad_norm: Tensor) -> None:
        """Add the gradients of `images`. `minus_grad_norm` is the negated gradient of half their squared norms."""
        x = self.projection.per_image[images]
        self.per_image[images] = torch.addcmul(
            grad_projected @ self.projection.w, x, minus_grad_norm, value=-2 * self.projection.half
        )
        if self.shared is not None and self.shared_norm is not None:
            if len(x) == 1:  # a sum over one image would be a copy
                grad_projected, minus_grad_norm = grad_projected[0], minus_grad_norm[0]
            self.shared += grad_projected.sum_to_size(self.shared.shape)
            self.shared_norm -= minus_grad_norm.sum_to_size(self.shared_norm.shape)


def _is_maximum(projected: Tensor, maximum: Tensor) -> Tensor:
    """Return 1 where `projected` is the maximum, else 0, as floats: a CPU takes four times as long for bool."""
    return torch.eq(projected, maximum, out=torch.empty_like(projected))


def _query_features(query: Projection, images: slice) -> Tensor:
    """Return phi(q) (b, H, Q, m), stabilised by each query's own maximum."""
    projected, half_norm = query.project(images)
    return projected.sub_(half_norm + projected.amax(-1, keepdim=True)).exp2_().add_(EPSILON)


def _query_features_backward(grads: _ProjectionGrad, images: slice, left: Tensor, right: Tensor) -> Tensor:
    """Add the gradient left @ right.mT of phi(q) to `grads`, and return phi(q)."""
    projected, half_norm = grads.projection.project(images)
    maximum = projected.amax(-1, keepdim=True)
    is_maximum = _is_maximum(projected, maximum)
    phi = projected.sub_(half_norm + maximum).exp2_()
    grad_projected = (left @ (LN_2 * right).mT).mul_(phi)
    row_sums = grad_projected.sum(-1, keepdim=True)
    grad_projected.addcmul_(is_maximum, row_sums / is_maximum.sum(-1, keepdim=True), value=-1)
    grads.add(images, grad_projected, row_sums)
    return phi.add_(EPSILON)


def _key_features_backward(
    grads: _ProjectionGrad, images: slice, grad_phi: Tensor, maximum: Tensor
) -> tuple[Tensor, Tensor]:
    """Add the gradient of phi(k) to `grads`, and return phi(k) and the negated gradient of the maximum.

    `grad_phi` is the gradient of phi(k) times log(2). A maximum per image and head gets its gradient here. A
    batch-wide maximum gets its gradient in `_batch_maximum_backward`.
    """
    projected, half_norm = grads.projection.project(images)
    is_maximum = _is_maximum(projected, maximum) if maximum.ndim else None
    phi = projected.sub_(half_norm + maximum).exp2_()
    row_sums = grad_phi.mul_(phi).sum(-1, keepdim=True)
    total = row_sums.sum((-1, -2), keepdim=True)
    if is_maximum is not None:
        grad_phi.addcmul_(is_maximum, total / is_maximum.sum((-1, -2), keepdim=True), value=-1)
    grads.add(images, grad_phi, row_sums)
    return phi.add_(EPSILON), total.sum()


def _batch_maximum_backward(grads: _ProjectionGrad, images: slice, total: Tensor) -> None:
    """Subtract the gradient of the batch-wide maximum at the projection in `images` that is the maximum."""
    projected, _ = grads.projection.project(images)
    image, head, token, feature = torch.unravel_index(projected.argmax(), projected.shape)
    grads.per_image[images][image, head, token] -= total * grads.projection.w[feature]
    if grads.shared is not None:
        grads.shared[head % len(grads.shared), token, feature] -= total


class _FavorAttention(torch.autograd.Function):
    """Attention from queries and keys. The backward pass recomputes the features instead of saving them.

    On the CPU the images are processed in chunks whose features fit in the cache; at the published size a chunk is one
    image. The gradient includes the stabilising maxima of queries and keys. Numerators and denominators are computed by
    separate products, which is faster than one product with an additional column.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor, per_head: bool, *projections: Any) -> Tensor:
        query, key = Projection(*projections[:5]), Projection(*projections[5:])
        chunks = _chunks(value, query.w.shape[0])
        sums, counts, maxima = [], [], []
        for images in chunks:
            projected, half_norm = key.project(images)
            maximum = projected.amax((-1, -2), keepdim=True) if per_head else projected.amax()
            phi = projected.sub_(half_norm + maximum).exp2_()
            sums.append(phi.mT @ value[images])  # (b, H, m, d)
            counts.append(phi.sum(-2).unsqueeze(-1))  # (b, H, m, 1)
            maxima.append(maximum)
        if not per_head:  # rescale from the maximum of each chunk to the maximum over the batch
            batch_maximum = torch.stack(maxima).amax()
            for i, maximum in enumerate(maxima):
                sums[i] *= (maximum - batch_maximum).exp2()
                counts[i] *= (maximum - batch_maximum).exp2()
        out, denominators = value.new_empty(len(value), query.per_image.shape[2], *value.shape[1::2]), []
        for i, images in enumerate(chunks):
            sums[i] += EPSILON * value[images].sum(-2, keepdim=True)
            counts[i] += EPSILON * value.shape[2]
            phi = _query_features(query, images).mul_(counts[i].mT)  # (b, H, Q, m)
            denominators.append(phi.sum(-1, keepdim=True))
            torch.div(phi @ (sums[i] / counts[i]), denominators[i], out=out[images].transpose(1, 2))
        out = out.flatten(2)
        ctx.save_for_backward(value, out, *query[:4], *key[:4], *sums, *counts, *denominators, *maxima)
        ctx.half, ctx.per_head = query.half, per_head
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        value, out, *rest = ctx.saved_tensors
        query, key = Projection._make([*rest[:4], ctx.half]), Projection._make([*rest[4:8], ctx.half])
        chunks = _chunks(value, query.w.shape[0])
        sums, counts, denominators, maxima = (rest[8 + i * len(chunks) : 8 + (i + 1) * len(chunks)] for i in range(4))
        key_maxima = maxima if ctx.per_head else len(chunks) * [torch.stack(maxima).amax()]
        out, grad = (x.unflatten(-1, (value.shape[1], -1)).transpose(1, 2) for x in (out, grad))
        grad_query, grad_key, grad_value = _ProjectionGrad(query), _ProjectionGrad(key), torch.empty_like(value)
        total = value.new_zeros(())
        for i, images in enumerate(chunks):
            grad_numerator = grad[images] / denominators[i]  # (b, H, Q, d)
            grad_denominator = (grad_numerator * out[images]).sum(-1, keepdim=True).neg_()  # (b, H, Q, 1)
            left = torch.cat([grad_numerator, grad_denominator], dim=-1)
            right = torch.cat([sums[i], counts[i]], dim=-1)
            phi = _query_features_backward(grad_query, images, left, right)
            grad_sums = phi.mT @ grad_numerator  # (b, H, m, d)
            grad_counts = phi.mul_(grad_denominator).sum(-2).unsqueeze(-2)  # (b, H, 1, m)

            grad_phi = (value[images] @ (LN_2 * grad_sums).mT).add_(LN_2 * grad_counts)
            phi, minus_grad_maximum = _key_features_backward(grad_key, images, grad_phi, key_maxima[i])
            grad_value[images] = phi @ grad_sums
            total += minus_grad_maximum
        if not ctx.per_head:
            # on a GPU there is only one chunk, and reading the index would synchronise
            with_maximum = int(torch.stack(maxima).argmax()) if len(chunks) > 1 else 0
            _batch_maximum_backward(grad_key, chunks[with_maximum], total)
        grads = [(g.per_image, None, g.shared, g.shared_norm, None) for g in (grad_query, grad_key)]
        return (grad_value, None, *grads[0], *grads[1])


class _FeatureProducts(torch.autograd.Function):
    """phi(q)·phi(k) of queries and given features phi(k) (K, m). The backward pass recomputes phi(q)."""

    @staticmethod
    def forward(ctx: Any, key_features: Tensor, *projection: Any) -> Tensor:  # type: ignore[override]
        query = Projection(*projection)
        out = key_features.new_empty(*query.per_image.shape[:-1], len(key_features))
        for images in _chunks(query.per_image, query.w.shape[0]):
            out[images] = _query_features(query, images) @ key_features.T
        ctx.save_for_backward(key_features, query.per_image, query.w)
        ctx.half = query.half
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        key_features, per_image, w = ctx.saved_tensors
        grad_query = _ProjectionGrad(Projection(per_image, w, None, None, ctx.half))
        grad_key_features = torch.zeros_like(key_features)
        for images in _chunks(per_image, w.shape[0]):
            phi = _query_features_backward(grad_query, images, grad[images], key_features.mT)
            grad_key_features += (grad[images].mT @ phi).sum((0, 1))
        return grad_key_features, grad_query.per_image, None, None, None, None


def _chunks(tokens: Tensor, features: int) -> list[slice]:
    per_image = tokens.shape[1] * tokens.shape[2] * features
    step = len(tokens) if tokens.is_cuda else max(1, CACHED // per_image)
    return [slice(start, start + step) for start in range(0, len(tokens), step)]
