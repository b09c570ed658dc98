"""The later answers to the paper are equivariant up to the border of the image: exact statements in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import RIVALS
from relative_performer import build_model
from relative_performer.models.cos_performer import model as cos_performer
from relative_performer.models.rotary_performer import model as rotary_performer
from relative_performer.ops import naive

EXACT = 1e-12


def build(name, seed=0, **options):
    """Return a model with random weights and, if it has any, new random features."""
    torch.manual_seed(seed)
    model = build_model(name, in_features=2, dim=12, heads=2, **{"depth": 2} | options).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    for block in model.blocks:
        if name == "RotaryPerformer":
            torch.nn.init.normal_(block.attention.frequencies, std=3)
            block.attention.redraw()
    return model


def change(model, images, moved):
    return (model(moved) - model(images)).abs().max().item()


SIZE = st.integers(1, 9)


@settings(max_examples=60)
@given(name=st.sampled_from(RIVALS), height=SIZE, width=SIZE, shift=st.tuples(SIZE, SIZE), seed=st.integers(0, 999))
def test_circular_shifts_change_nothing_with_circular(name, height, width, shift, seed):
    model = build(name, seed, circular=True)
    images = torch.rand(2, height, width, 2, dtype=torch.float64)
    assert change(model, images, images.roll(shift, (1, 2))) < EXACT


@pytest.mark.parametrize("name", RIVALS)
def test_circular_shifts_change_the_logits_without_circular(name):
    images = torch.rand(2, 6, 7, 2, dtype=torch.float64)
    assert change(build(name), images, images.roll((2, 3), (1, 2))) > 1e-5


@pytest.mark.parametrize(("rows", "columns"), [(0, 5), (3, 0), (4, 2)])
@pytest.mark.parametrize("name", ["RotaryPerformer", "CosPerformer"])
def test_the_place_in_a_canvas_changes_nothing_without_the_pixels_around(name, rows, columns, monkeypatch):
    """Positions enter through their differences alone: of a canvas of 8 × 9 pixels only 4 × 4 are tokens."""
    model, images = build(name), torch.rand(2, 4, 4, 2, dtype=torch.float64)
    rotation, place_features = rotary_performer.RotaryAttention.rotation, cos_performer.place_features

    def logits(row, column):
        def crop(canvas):
            return canvas.unflatten(-2, (8, 9))[..., row : row + 4, column : column + 4, :].flatten(-3, -2)

        replaced = {
            (rotary_performer.RotaryAttention, "rotation"): lambda attention, *_: crop(rotation(attention, 8, 9)),
            (cos_performer, "place_features"): lambda *_: crop(place_features(8, 9, False)),
        }
        for (owner, attribute), function in replaced.items():
            monkeypatch.setattr(owner, attribute, function)
        return model(images)

    assert (logits(rows, columns) - logits(0, 0)).abs().max() < EXACT


@pytest.mark.parametrize(("class_angle", "apart"), [(None, True), (0.0, False), (0.7, False)])
def test_a_class_token_that_is_rotated_or_meets_rotated_keys_sees_places(class_angle, apart, monkeypatch):
    def rotary_attention(query, key, value, rotation, w, stabilizer):
        phi_q, phi_k = naive.query_features(query, w), naive.key_features(key, w, stabilizer == "batch")
        angles = rotation.angle()
        if apart:
            weights = naive.rotary_weights(phi_q, phi_k, angles)
        else:  # the class token as one more pixel, and an additional class token which is removed again
            angles = torch.cat([torch.full_like(angles[:, :1], class_angle), angles], dim=1)
            phi = (torch.cat([x[:, :, :1], x], dim=2) for x in (phi_q, phi_k))
            weights = naive.rotary_weights(*phi, angles)[:, :, 1:, 1:]
        out = weights @ value / (phi_q @ phi_k.mT).sum(-1, keepdim=True)
        return out.transpose(1, 2).flatten(2)

    monkeypatch.setattr(rotary_performer, "rotary_attention", rotary_attention)
    images = torch.rand(2, 6, 7, 2, dtype=torch.float64)
    found = change(build("RotaryPerformer", circular=True), images, images.roll((2, 3), (1, 2)))
    assert found < EXACT if apart else found > 1e-4


def test_a_class_token_with_a_place_in_cosine_attention_sees_places(monkeypatch):
    def attend_from_pixels(phi_q, phi_k, value, places):
        return attend(phi_q, phi_k[:, :, 1:], value[:, :, 1:], places, places) + attend(
            phi_q, phi_k[:, :, :1], value[:, :, :1], places, places[:1]
        )

    def attend(phi_q, phi_k, value, places_q, places_k):
        return (places_q @ places_k.mT * (phi_q @ phi_k.mT)) @ value

    monkeypatch.setattr(cos_performer, "attend_from_pixels", attend_from_pixels)
    images = torch.rand(2, 6, 7, 2, dtype=torch.float64)
    assert change(build("CosPerformer", circular=True), images, images.roll((2, 3), (1, 2))) > 1e-4


@pytest.mark.parametrize("depth", [1, 2])
def test_content_away_from_the_border_may_move_in_covariance_transformer(depth):
    """A block has two convolutions, so that the content and the border each reach 2·depth pixels far."""
    reach = 4 * depth
    model = build("CovarianceTransformer", depth=depth)
    images = torch.zeros(2, 2 * reach + 6, 2 * reach + 5, 2, dtype=torch.float64)
    images[:, reach : reach + 4, reach : reach + 3] = torch.rand(2, 4, 3, 2, dtype=torch.float64)
    assert change(model, images, images.roll((2, 1), (1, 2))) < EXACT
    assert change(model, images, images.roll((reach + 2, 0), (1, 2))) > 1e-6  # at the border


@pytest.mark.parametrize("circular", [False, True])
@pytest.mark.parametrize("name", RIVALS)
def test_bf16_changes_little(name, circular):
    model = build(name, circular=circular).float()
    images = torch.rand(3, 6, 5, 2)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(images)
    rounded.float().sum().backward()
    torch.testing.assert_close(rounded.float(), model(images), rtol=0.1, atol=0.1)
