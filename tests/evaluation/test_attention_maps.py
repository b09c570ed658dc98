"""The attention maps agree with the attention that the models compute."""

import pytest
import torch

from relative_performer import build_model
from relative_performer.errors import UserError
from relative_performer.evaluation.attention_maps import attention_maps
from relative_performer.models.clipped_relative_performer.naive import distance_weights
from relative_performer.models.cos_performer.attention_map import attention_map as cos_attention_map
from relative_performer.models.cos_performer.naive import place_weights
from relative_performer.models.relative_performer.attention_map import positional_attention
from relative_performer.models.rotary_performer.attention_map import rotary_products
from relative_performer.models.rotary_performer.naive import angles
from relative_performer.ops.naive import key_features, query_features, rotary_weights


def test_strategy_1_is_the_positional_part_of_query_and_key():
    torch.manual_seed(0)
    model = build_model("RelativePerformer", in_features=1, dim=8, depth=1, heads=2, pos_scales=3).double()
    attention, side = model.blocks[0].attention, 7
    places = torch.nn.functional.pad(model.positions(side, side), (0, 0, 1, 0))
    query, key = attention.queries_and_keys(torch.zeros(1, side**2 + 1, 8).double(), places, slice(None))
    scores = (query.shared @ key.shared.mT / attention.projection_matrix.shape[1] ** 0.5).exp()
    centre = 1 + 3 * side + 3
    expected = scores[:, centre, 1:].unflatten(1, (side, side))
    torch.testing.assert_close(positional_attention(attention, model.positions.frequencies, 3), expected)


def test_strategy_2_is_the_attention_of_a_query_without_content():
    torch.manual_seed(0)
    model = build_model("ClippedRelativePerformer", in_features=1, dim=12, depth=2, heads=3, clipping_dist=2).double()
    attention, side = model.blocks[1].attention, 5
    torch.nn.init.normal_(attention.distances)
    state = attention.state_dict()
    query = attention.query.bias.view(1, 3, 1, 4)[:, 1:].expand(1, 2, side**2 + 1, 4)
    options = {"clipping_dist": 2, "class_position": "corner"}
    expected = distance_weights(options, state, query, (side, side))[0, :, side**2 // 2, :-1]
    table = attention_maps(model, 2)
    table = table[table["layer"] == 1]
    assert sorted(table["head"].unique()) == [1, 2]
    found = torch.tensor(table["weight"].to_numpy()).view(2, -1)
    torch.testing.assert_close(found, (expected / expected.mean(-1, keepdim=True)).detach())


@pytest.mark.parametrize("circular", [False, True])
def test_cosine_attention_is_the_weight_of_two_places(circular):
    model = build_model("CosPerformer", in_features=1, dim=8, depth=2, heads=2, circular=circular)
    expected = place_weights(7, 7, circular)[7 * 7 // 2]
    first, (*layers,) = cos_attention_map(model, 3)
    assert (first, len(layers)) == (0, 2)
    torch.testing.assert_close(layers[1], expected.view(7, 7).expand(2, -1, -1))


@pytest.mark.parametrize("circular", [False, True])
def test_rotary_attention_is_the_numerator_of_a_query_and_a_key_without_content(circular):
    torch.manual_seed(0)
    model = build_model("RotaryPerformer", in_features=1, dim=8, depth=2, heads=2, circular=circular).double()
    attention, side = model.blocks[1].attention, 7
    query, key = (affine.bias.view(2, 1, 4) for affine in (attention.query, attention.key))
    phi_q = query_features(query, attention.projection_matrix)[None].expand(-1, -1, 1 + side**2, -1)
    phi_k = key_features(key, attention.projection_matrix, True)[None].expand(-1, -1, 1 + side**2, -1)
    turns = angles((side, side), {"circular": circular}, {"frequencies": attention.frequencies})
    expected = rotary_weights(phi_q, phi_k, turns)[0, :, 1 + side**2 // 2, 1:].view(2, side, side)
    torch.testing.assert_close(rotary_products(attention, 3), expected)


def test_other_models_have_none():
    with pytest.raises(UserError, match="Performer has no relative positions"):
        attention_maps(build_model("Performer", in_features=1, dim=8, depth=1, heads=2), 2)
