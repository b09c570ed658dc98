"""The attention maps agree with the attention that the models compute."""

import pytest
import torch

from relative_performer import build_model
from relative_performer.errors import UserError
from relative_performer.evaluation.attention_maps import attention_maps
from relative_performer.models.clipped_relative_performer.naive import distance_weights
from relative_performer.models.relative_performer.attention_map import positional_attention


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


def test_other_models_have_none():
    with pytest.raises(UserError, match="Performer has no relative positions"):
        attention_maps(build_model("Performer", in_features=1, dim=8, depth=1, heads=2), 2)
