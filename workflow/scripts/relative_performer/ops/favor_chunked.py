"""FAVOR+ on a CPU: images in chunks whose features fit in its caches, and a backward pass that recomputes the features.

B: images, b: images of a chunk, H: heads, N: keys, Q: queries, m: random features, d_k: width of queries and keys,
d: width of values.

The features are computed with exp2, which on a CPU takes a third of the time of exp: projections and squared norms
carry a factor log2(e).
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from relative_performer.ops.random_features import EPSILON, Operand

CACHED = 2**18  # feature values that fit in the cache of a CPU core
LN_2 = math.log(2)


def favor_attention(
    query: Operand, key: Operand, value: Tensor, projection_matrix: Tensor, key_stabilizer: str
) -> Tensor:
    """Return the attention (B, Q, H·d), as `favor.favor_attention` does."""
    projections = (*project(query, projection_matrix, value.dtype), *project(key, projection_matrix, value.dtype))
    return _FavorAttention.apply(value, key_stabilizer == "head", *projections)


def feature_products(query: Tensor, key: Tensor, projection_matrix: Tensor) -> Tensor:
    """Return phi(q)·phi(k) (B, H, Q, K), as `favor.feature_products` does."""
    projection = project(Operand(query), projection_matrix, query.dtype)
    projected, half_norm = projection._replace(per_image=key).project(slice(None))
    key_features = (projected - (half_norm + projected.amax())).exp2() + EPSILON
    return _FeatureProducts.apply(key_features, *projection)


class Projection(NamedTuple):
    """Queries or keys x, and the terms of the exponents W x − |x|²/2 of their features, scaled for exp2."""

    per_image: Tensor  # (B, H, N, width)
    shared: Tensor | None  # (H or 1, N, the rest of d_k)
    w: Tensor  # (m, d_k): log2(e) · d_k^(-1/4) · W
    half: float  # log2(e) · d_k^(-1/2) / 2, which turns |x|² into half the squared norm

    def x(self, images: slice) -> Tensor:
        """Return both parts of the queries or keys of `images` (b, H, N, d_k)."""
        x = self.per_image[images]
        return x if self.shared is None else torch.cat([x, self.shared.expand(*x.shape[:-1], -1)], dim=-1)

    def project(self, images: slice) -> tuple[Tensor, Tensor]:
        """Return the projections (b, H, N, m) and half the squared norms (b, H, N, 1) of `images`."""
        x = self.x(images)
        return x @ self.w.T, self.half * x.square().sum(-1, keepdim=True)


def project(operand: Operand, projection_matrix: Tensor, dtype: torch.dtype) -> Projection:
    key_dim = projection_matrix.shape[1]
    w = math.log2(math.e) * key_dim**-0.25 * projection_matrix.to(dtype)
    shared = None if operand.shared is None else operand.shared.to(dtype)
    return Projection(operand.per_image.to(dtype), shared, w, math.log2(math.e) * key_dim**-0.5 / 2)


class ProjectionGrad:
    """The gradients of a Projection, filled image by image."""

    def __init__(self, projection: Projection) -> None:
        self.projection = projection
        self.per_image = torch.empty_like(projection.per_image)
        self.shared = None if projection.shared is None else torch.zeros_like(projection.shared)

    def add(self, images: slice, grad_projected: Tensor, minus_grad_norm: Tensor) -> None:
        """Add the gradients of `images`. `minus_grad_norm` is the negated gradient of half their squared norms."""
        width, x = self.per_image.shape[-1], self.projection.x(images)
        grad = torch.addcmul(grad_projected @ self.projection.w, x, minus_grad_norm, value=-2 * self.projection.half)
        self.per_image[images] = grad[..., :width]
        if self.shared is not None:
            self.shared += grad[..., width:].sum_to_size(self.shared.shape)

    def subtract_at_maximum(self, images: slice, total: Tensor) -> None:
        """Subtract `total` from the gradient of the projection in `images` that is the largest."""
        projected, _ = self.projection.project(images)
        image, head, token, feature = torch.unravel_index(projected.argmax(), projected.shape)
        width, grad = self.per_image.shape[-1], total * self.projection.w[feature]
        self.per_image[images][image, head, token] -= grad[:width]
        if self.shared is not None:
            self.shared[head % len(self.shared), token] -= grad[width:]


def _is_maximum(projected: Tensor, maximum: Tensor) -> Tensor:
    """Return 1 where `projected` is the maximum, else 0, as floats: a CPU takes four times as long for bool."""
    return torch.eq(projected, maximum, out=torch.empty_like(projected))


def _query_features(query: Projection, images: slice) -> Tensor:
    """Return phi(q) (b, H, Q, m), stabilised by each query's own maximum."""
    projected, half_norm = query.project(images)
    return projected.sub_(half_norm + projected.amax(-1, keepdim=True)).exp2_().add_(EPSILON)


def _query_features_backward(grads: ProjectionGrad, images: slice, left: Tensor, right: Tensor) -> Tensor:
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
    grads: ProjectionGrad, images: slice, grad_phi: Tensor, maximum: Tensor
) -> tuple[Tensor, Tensor]:
    """Add the gradient of phi(k) to `grads`, and return phi(k) and the negated gradient of the maximum.

    `grad_phi` is the gradient of phi(k) times log(2). A maximum per image and head gets its gradient here. A
    batch-wide maximum gets its gradient in `ProjectionGrad.subtract_at_maximum`.
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


class _FavorAttention(torch.autograd.Function):
    """Attention from queries and keys. The backward pass recomputes the features instead of saving them.

    At the published size a chunk is one image. The gradient includes the stabilising maxima of queries and keys.
    Numerators and denominators are computed by separate products, which is faster than one product with an additional
    column.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor, per_head: bool, *projections: Any) -> Tensor:
        query, key = Projection(*projections[:4]), Projection(*projections[4:])
        chunks = split_images(value, query.w.shape[0])
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
        ctx.save_for_backward(value, out, *query[:3], *key[:3], *sums, *counts, *denominators, *maxima)
        ctx.half, ctx.per_head = query.half, per_head
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        value, out, *rest = ctx.saved_tensors
        query, key = (Projection._make([*operand, ctx.half]) for operand in (rest[:3], rest[3:6]))
        chunks = split_images(value, query.w.shape[0])
        sums, counts, denominators, maxima = (rest[6 + i * len(chunks) : 6 + (i + 1) * len(chunks)] for i in range(4))
        key_maxima = maxima if ctx.per_head else len(chunks) * [torch.stack(maxima).amax()]
        out, grad = (x.unflatten(-1, (value.shape[1], -1)).transpose(1, 2) for x in (out, grad))
        grad_query, grad_key, grad_value = ProjectionGrad(query), ProjectionGrad(key), torch.empty_like(value)
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
            with_maximum = int(torch.stack(maxima).argmax())
            grad_key.subtract_at_maximum(chunks[with_maximum], total)
        grads = [(g.per_image, g.shared, None, None) for g in (grad_query, grad_key)]
        return (grad_value, None, *grads[0], *grads[1])


class _FeatureProducts(torch.autograd.Function):
    """phi(q)·phi(k) of queries and given features phi(k) (K, m). The backward pass recomputes phi(q)."""

    @staticmethod
    def forward(ctx: Any, key_features: Tensor, *projection: Any) -> Tensor:  # type: ignore[override]
        query = Projection(*projection)
        out = key_features.new_empty(*query.per_image.shape[:-1], len(key_features))
        for images in split_images(query.per_image, query.w.shape[0]):
            out[images] = _query_features(query, images) @ key_features.T
        ctx.save_for_backward(key_features, query.per_image, query.w)
        ctx.half = query.half
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        key_features, per_image, w = ctx.saved_tensors
        grad_query = ProjectionGrad(Projection(per_image, None, w, ctx.half))
        grad_key_features = torch.zeros_like(key_features)
        for images in split_images(per_image, w.shape[0]):
            phi = _query_features_backward(grad_query, images, grad[images], key_features.mT)
            grad_key_features += (grad[images].mT @ phi).sum((0, 1))
        return grad_key_features, grad_query.per_image, None, None, None


def split_images(tokens: Tensor, features: int) -> list[slice]:
    """Return chunks of the images of `tokens` (B, H, N, width) whose random features fit in the cache."""
    per_image = tokens.shape[1] * tokens.shape[2] * features
    step = max(1, CACHED // per_image)
    return [slice(start, start + step) for start in range(0, len(tokens), step)]
