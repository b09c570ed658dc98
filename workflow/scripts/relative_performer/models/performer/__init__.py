"""Performer: FAVOR+ attention with absolute positions."""

from collections.abc import Mapping
from typing import Any

from relative_performer.models.declaration import Model
from relative_performer.models.options import DROPOUT, FAVOR, KEY_STABILIZER, PUBLISHED, TRANSFORMER, check_heads


def check(options: Mapping[str, Any]) -> None:
    """Raise ValueError for sizes that do not fit together."""
    check_heads(options)
    if options["dim"] % 4:
        raise ValueError(f"dim {options['dim']} is not divisible by 4, as the absolute positions of Performer require")


MODEL = Model(
    package=__name__,
    name="Performer",
    order=0,
    network="model:Performer",
    naive="naive:naive_logits",
    options=(*TRANSFORMER, *DROPOUT, KEY_STABILIZER, *FAVOR),
    check=check,
    positions="absolute",
    label="Performer (Abs.)",
    color="#0072B2",
    linestyle="-",
    marker="o",
    published=PUBLISHED,
)
