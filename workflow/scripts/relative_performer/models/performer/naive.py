"""Performer from the formulas."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from relative_performer.models import naive


def naive_logits(options: Mapping[str, Any], state: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Return the logits (B, classes) in eval mode."""
    pixels = naive.embed(options, state, images) + naive.sinusoids(state, *images.shape[1:3])
    return naive.transformer(options, state, naive.with_class_token_first(state, pixels), naive.attention)
