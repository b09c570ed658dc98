"""Rotary attention on a CPU: images in chunks, and a backward pass that recomputes the features.

B: images, b: images of a chunk, H: heads, N: tokens, P = N − 1: pixels, m: random features (an even number),
d_k: width of queries and keys, d: width of values. The class token is the first token.
"""

from typing import Any

import torch
from torch import Tensor

from relative_performer.ops.favor_chunked import (
    LN_2,
    Projection,
    ProjectionGrad,
    project,
    split_images,
)
from relative_performer.ops.random_features import EPSILON, Operand


def rotary_attention(
    query: Tensor, key: Tensor, value: Tensor, rotation: Tensor, projection_matrix: Tensor, key_stabilizer: str
) -> Tensor:
    """Return the attention (B, N, H·d), as `rotary.rotary_attention` does."""
    projections = [project(Operand(x), projection_matrix, value.dtype) for x in (query, key)]
    return _RotaryAttention.apply(value, rotation, key_stabilizer == "head", *projections[0], *projections[1])


def pairs(features: Tensor) -> Tensor:
    """Return a view of features (…, m) as complex numbers (…, m/2)."""
    return torch.view_as_complex(features.unflatten(-1, (-1, 2)))


class _RotaryAttention(torch.autograd.Function):
    """Rotary attention of queries and keys, as `favor_chunked` does it.

    All chunks use the same buffers: a CPU takes several times as long to write to memory that is not in its cache.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor, rotation: Tensor, per_head: bool, *projections: Any) -> Tensor:
        query, key = Projection(*projections[:4]), Projection(*projections[4:])
        chunks = split_images(value, query.w.shape[0])
        buffers = value.new_empty(2, *value[chunks[0]].shape[:-1], query.w.shape[0])  # phi_q, phi_k
        maxima = [_projected(key, images, buffers[0]).amax((-1, -2), keepdim=True) for images in chunks]
        if not per_head:
            maxima = [maximum.amax() for maximum in maxima]
        out = value.new_empty(len(value), value.shape[2], *value.shape[1::2])  # (B, N, H, d)
        sums, columns, products = [], [], []
        for images, maximum in zip(chunks, _shared(maxima), strict=True):
            v, numerator = value[images], out[images].transpose(1, 2)
            phi_q = _exponentials(query, images, buffers[0]).add_(EPSILON)
            phi_k = _exponentials(key, images, buffers[1], maximum).add_(EPSILON)
            columns.append(torch.cat([phi_k.sum(-2, keepdim=True), phi_k[:, :, :1]], dim=-2))  # (b, H, 2, m)
            products.append(phi_q @ columns[-1].mT)  # denominator, and weight of the class token: (b, H, N, 2)
            numerator[:, :, :1] = (phi_q[:, :, :1] @ phi_k.mT) @ v
            rotated_q, rotated_k = (_rotate(x, rotation, x) for x in (phi_q, phi_k))  # (b, H, P, m)
            sums.append(rotated_k.mT @ v[:, :, 1:])  # (b, H, m, d)
            numerator[:, :, 1:] = (rotated_q @ sums[-1]).addcmul_(products[-1][:, :, 1:, 1:], v[:, :, :1])
            numerator /= products[-1][..., :1]
        ctx.save_for_backward(
            value, rotation, out, query.per_image, key.per_image, query.w, *sums, *columns, *products, *maxima
        )
        ctx.half = query.half
        return out.flatten(2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        value, rotation, out, *rest = ctx.saved_tensors
        query, key = (Projection(x, None, rest[2], ctx.half) for x in rest[:2])
        chunks = split_images(value, query.w.shape[0])
        sums, columns, products, maxima = (rest[3 + i * len(chunks) : 3 + (i + 1) * len(chunks)] for i in range(4))
        grad, out = grad.unflatten(-1, out.shape[2:]).transpose(1, 2), out.transpose(1, 2)
        grad_query, grad_key, grad_value = ProjectionGrad(query), ProjectionGrad(key), torch.empty_like(value)
        # rotations and a quarter turn, which are the derivative of the rotations by their angles; rotations back
        rotation, back = 1j * rotation, rotation.conj().resolve_conj()
        grad_angles = value.new_zeros(*rotation.shape, 2).flatten(-2) if ctx.needs_input_grad[1] else None  # (H, P, m)
        buffers, total = value.new_empty(4, *value[chunks[0]].shape[:-1], query.w.shape[0]), value.new_zeros(())
        for i, (images, maximum) in enumerate(zip(chunks, _shared(maxima), strict=True)):
            v, grad_numerator = value[images], grad[images] / products[i][..., :1]  # (b, H, N, d)
            grad_pixels = grad_numerator[:, :, 1:]
            exp_q, exp_k = _exponentials(query, images, buffers[0]), _exponentials(key, images, buffers[1], maximum)
            phi, rotated = buffers[2:, : len(v)]
            grad_products = torch.zeros_like(products[i])  # (b, H, N, 2)
            torch.sum(grad_numerator * out[images], -1, out=grad_products[..., 0]).neg_()
            grad_products[:, :, 1:, 1:] = grad_pixels @ v[:, :, :1].mT
            grad_weights = grad_numerator[:, :, :1] @ v.mT  # of the class token as the query: (b, H, 1, N)

            torch.add(exp_q, EPSILON, out=phi)
            quarter_sums = _rotate(phi, rotation, rotated).mT @ grad_pixels  # (b, H, m, d)
            real, imaginary = quarter_sums[..., ::2, :], quarter_sums[..., 1::2, :]
            grad_sums = torch.stack([imaginary, -real], dim=-2).flatten(-3, -2)  # without the quarter turn
            grad_columns = grad_products.mT @ phi  # (b, H, 2, m)
            class_query = phi[:, :, :1].clone()
            grad_phi = _pixels_backward(grad_numerator, sums[i], rotated, back, grad_angles, phi)
            grad_phi[:, :, :1] = grad_weights @ exp_k + EPSILON * grad_weights.sum(-1, keepdim=True)
            _add_product(grad_phi, grad_products, columns[i])
            _features_backward(grad_query, images, exp_q, grad_phi, None, rotated)

            torch.add(exp_k, EPSILON, out=phi)
            grad_v = (class_query @ phi.mT).mT * grad_numerator[:, :, :1]
            grad_v[:, :, :1] += products[i][:, :, 1:, 1:].mT @ grad_pixels
            grad_v[:, :, 1:] += _rotate(phi, rotation, rotated) @ quarter_sums
            grad_value[images] = grad_v
            grad_phi = _pixels_backward(v, grad_sums, rotated, back, grad_angles, phi)
            grad_phi[:, :, :1] = grad_columns[:, :, 1:]
            left = torch.cat([torch.ones_like(grad_weights), grad_weights], dim=-2).mT  # (b, H, N, 2)
            _add_product(grad_phi, left, torch.cat([grad_columns[:, :, :1], class_query], dim=-2))
            total += _features_backward(grad_key, images, exp_k, grad_phi, maximum, rotated)
        if maxima[0].ndim == 0:
            with_maximum = int(torch.stack(maxima).argmax())
            grad_key.subtract_at_maximum(chunks[with_maximum], total)
        # numbers of modulus 1 change only by their angles
        grad_rotation = None if grad_angles is None else rotation * grad_angles.unflatten(-1, (-1, 2)).sum(-1)
        return grad_value, grad_rotation, None, *(x for g in (grad_query, grad_key) for x in (g.per_image, *3 * [None]))


def _shared(maxima: list[Tensor]) -> list[Tensor]:
    """Return the maxima of the chunks, per image and head, or their maximum for each chunk if they are batch-wide."""
    return maxima if maxima[0].ndim else len(maxima) * [torch.stack(maxima).amax()]


def _projected(x: Projection, images: slice, buffer: Tensor) -> Tensor:
    """Return the projections (b, H, N, m), in `buffer`."""
    per_image = x.per_image[images].flatten(0, 1)
    out = buffer[: len(x.per_image[images])]
    torch.bmm(per_image, x.w.T.expand(len(per_image), -1, -1), out=out.flatten(0, 1))
    return out


def _exponentials(x: Projection, images: slice, buffer: Tensor, maximum: Tensor | None = None) -> Tensor:
    """Return phi without EPSILON (b, H, N, m), in `buffer`. None: every query has its own maximum."""
    projected = _projected(x, images, buffer)
    half_norm = x.half * x.per_image[images].square().sum(-1, keepdim=True)
    if maximum is None:
        maximum = projected.amax(-1, keepdim=True)
    return projected.sub_(half_norm + maximum).exp2_()


def _rotate(features: Tensor, rotation: Tensor, out: Tensor) -> Tensor:
    """Return the rotated features of the pixels (b, H, P, m), a part of `out` (b, H, N, m)."""
    torch.mul(pairs(features)[:, :, 1:], rotation, out=pairs(out)[:, :, 1:])
    return out[:, :, 1:]


def _pixels_backward(
    left: Tensor, right: Tensor, rotated: Tensor, back: Tensor, grad_angles: Tensor | None, out: Tensor
) -> Tensor:
    """Return the gradient of phi through pairs of pixels, in `out`. That of the rotated features is left @ right.mT.

    rotated: the derivative of the rotated features by their angles (b, H, N, m). Its product with the gradient is added
    to `grad_angles` (H, P, m); the sum over a pair of features is the gradient of their angle.
    """
    torch.bmm(left.flatten(0, 1), right.mT.flatten(0, 1), out=out.flatten(0, 1))
    if grad_angles is not None:
        for grad, image in zip(out[:, :, 1:], rotated[:, :, 1:], strict=True):
            grad_angles.addcmul_(grad, image)
    pairs(out)[:, :, 1:].mul_(back)
    return out


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add left @ right to `total` (b, H, N, m)."""
    total.flatten(0, 1).baddbmm_(left.flatten(0, 1), right.flatten(0, 1))


def _features_backward(
    grads: ProjectionGrad, images: slice, exponentials: Tensor, grad_phi: Tensor, maximum: Tensor | None, out: Tensor
) -> Tensor:
    """Add the gradient of phi to `grads`, and return the negated gradient of a maximum over the batch.

    maximum: as in `_exponentials`. out: a buffer for 1 where a projection is the maximum, else 0.
    """
    grad_projected = grad_phi.mul_(exponentials).mul_(LN_2)
    row_sums = grad_projected.sum(-1, keepdim=True)
    if maximum is None:  # within a query the largest exponential is that of the largest projection
        torch.eq(exponentials, exponentials.amax(-1, keepdim=True), out=out)
        grad_projected.addcmul_(out, row_sums / out.sum(-1, keepdim=True), value=-1)
    elif maximum.ndim:
        _projected(grads.projection, images, out).eq_(maximum)
        share = row_sums.sum((-1, -2), keepdim=True) / out.sum((-1, -2), keepdim=True)
        grad_projected.addcmul_(out, share, value=-1)
    grads.add(images, grad_projected, row_sums)
    return row_sums.sum()
