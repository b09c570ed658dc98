"""The fast operations against their naive counterparts, in values and in every gradient, float64."""

from contextlib import contextmanager

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from relative_performer.ops import favor_chunked, naive
from relative_performer.ops.dropout import Dropout
from relative_performer.ops.favor import favor_attention, feature_products
from relative_performer.ops.forms import plain_form
from relative_performer.ops.random_features import Operand, draw_projection_matrix
from relative_performer.ops.rings import weighted_ring_sum
from relative_performer.ops.rotary import rotary_attention


def assert_same(fast, slow, inputs: list[torch.Tensor]) -> None:
    """Compare two functions of `inputs` in their values and gradients."""
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    out, expected = fast(*leaves), slow(*leaves)
    torch.testing.assert_close(out, expected, rtol=1e-9, atol=1e-9)
    weights = torch.randn_like(expected)
    found, wanted = (torch.autograd.grad((result * weights).sum(), leaves) for result in (out, expected))
    torch.testing.assert_close(found, wanted, rtol=1e-7, atol=1e-9)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@contextmanager
def form(chunk: int | None, features: int = 0):
    """Use the form for a CPU with chunks of this many images, each with `features` values; None: the plain form."""
    if chunk is None:
        with plain_form():
            yield
    else:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(favor_chunked, "CACHED", chunk * features)
            yield


SIZE = st.integers(1, 5)
CHUNK = st.sampled_from([None, 1, 2, 3])


@given(images=SIZE, heads=SIZE, queries=SIZE, keys=SIZE, dim=st.integers(2, 5), shared=st.integers(0, 4),
       stabilizer=st.sampled_from(["batch", "head"]), chunk=CHUNK, seed=st.integers(0, 999))  # fmt: skip
def test_favor_attention(images, heads, queries, keys, dim, shared, stabilizer, chunk, seed):
    torch.manual_seed(seed)
    w = draw_projection_matrix(dim + shared).double()
    inputs = [random(images, heads, queries, dim), random(images, heads, keys, dim), random(images, heads, keys, 3)]
    inputs += [random(heads, queries, shared), random(1, keys, shared)] if shared else []

    def fast(query, key, value, *parts):
        operands = [Operand(x, part) for x, part in zip((query, key), parts or (None, None), strict=True)]
        return favor_attention(*operands, value, w, stabilizer)

    def slow(query, key, value, *parts):
        joined = [
            torch.cat([x, part.expand(*x.shape[:-1], -1)], dim=-1) if parts else x
            for x, part in zip((query, key), parts or (None, None), strict=True)
        ]
        return naive.attend(naive.favor_weights(*joined, w, stabilizer), value)

    with form(chunk, heads * keys * len(w)):
        assert_same(fast, slow, inputs)


@given(images=SIZE, heads=SIZE, pixels=SIZE, dim=st.integers(2, 5), stabilizer=st.sampled_from(["batch", "head"]),
       chunk=CHUNK, seed=st.integers(0, 999))  # fmt: skip
def test_rotary_attention(images, heads, pixels, dim, stabilizer, chunk, seed):
    torch.manual_seed(seed)
    w = draw_projection_matrix(dim, 2).double()[: 2 * dim - 2]
    inputs = [random(images, heads, pixels + 1, width) for width in (dim, dim, 3)] + [random(heads, pixels, dim - 1)]

    def fast(query, key, value, angles):
        return rotary_attention(query, key, value, torch.complex(angles.cos(), angles.sin()), w, stabilizer)

    def slow(query, key, value, angles):
        phi_q, phi_k = naive.query_features(query, w), naive.key_features(key, w, stabilizer == "batch")
        out = naive.rotary_weights(phi_q, phi_k, angles) @ value / (phi_q @ phi_k.mT).sum(-1, keepdim=True)
        return torch.cat(out.unbind(1), dim=-1)

    with form(chunk, heads * (pixels + 1) * len(w)):
        assert_same(fast, slow, inputs)


@given(images=SIZE, heads=SIZE, queries=SIZE, keys=SIZE, dim=st.integers(2, 5), chunk=CHUNK, seed=st.integers(0, 999))
def test_feature_products(images, heads, queries, keys, dim, chunk, seed):
    torch.manual_seed(seed)
    w = draw_projection_matrix(dim).double()

    def slow(query, key):
        return len(w) * naive.query_features(query, w) @ naive.key_features(key, w, batch_maximum=True).mT

    inputs = [random(images, heads, queries, dim), random(keys, dim)]
    with form(chunk, heads * queries * len(w)):
        assert_same(lambda query, key: feature_products(query, key, w), slow, inputs)


@given(height=SIZE, width=SIZE, radii=st.integers(1, 9), chunk=CHUNK, seed=st.integers(0, 999))
def test_ring_sums(height, width, radii, chunk, seed):
    torch.manual_seed(seed)
    inputs = [random(2, height, width, radii), random(2, height, width, 2)]

    def slow(weights, v):
        return torch.stack([naive.weighted_ring_sum(*image) for image in zip(weights, v, strict=True)])

    with form(chunk):
        assert_same(weighted_ring_sum, slow, inputs)


@given(p=st.floats(0, 0.9), seed=st.integers(0, 99))
def test_dropout_scales_the_kept_elements_so_that_the_mean_is_unchanged(p, seed):
    torch.manual_seed(seed)
    layer = Dropout(p)
    x = torch.ones(20_001, requires_grad=True)
    out = layer(x)
    assert len(set(out.tolist())) <= 2
    share = (out != 0).double().mean().item()
    assert abs(share - (1 - p)) < 6 * (p * (1 - p) / len(x)) ** 0.5 + 2**-16
    assert abs(out.max().item() - 1 / (1 - p)) < 1e-3
    out.sum().backward()
    torch.testing.assert_close(x.grad, out.detach())  # the gradient passes where the value did
    torch.testing.assert_close(layer.eval()(x), x)
