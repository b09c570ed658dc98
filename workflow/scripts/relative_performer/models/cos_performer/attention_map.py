"""The attention over relative positions of a CosPerformer, which is fixed."""

from typing import cast

from torch import Tensor

from relative_performer.models.cos_performer.model import CosAttention, CosPerformer, place_features


def attention_map(model: CosPerformer, radius: int) -> tuple[int, list[Tensor]]:
    """Return the first head, 0, and a map (H, n, n) for every layer; n = 2·radius + 1.

    A map is the weight of two pixels apart from phi(q)·phi(k), in images of n × n pixels. All heads have the same map.
    The last block computes only the class token, which does not use it.
    """
    side = 2 * radius + 1
    places = place_features(side, side, model.circular)  # (n·n, F)
    weights = (places @ places[len(places) // 2]).view(side, side)
    heads = cast(CosAttention, model.blocks[0].attention).heads
    return 0, len(model.blocks) * [weights.expand(heads, -1, -1)]
