"""RotaryPerformer: FAVOR+ attention with rotated features, a later answer to the paper."""

from relative_performer.models.declaration import Model
from relative_performer.models.options import (
    CIRCULAR,
    DROPOUT,
    FEATURE_REDRAW_INTERVAL,
    KEY_STABILIZER,
    TRANSFORMER,
    check_heads,
)

MODEL = Model(
    package=__name__,
    name="RotaryPerformer",
    order=3,  # before the baselines, in the order of names
    network="model:RotaryPerformer",
    naive="naive:naive_logits",
    options=(*TRANSFORMER, *DROPOUT, KEY_STABILIZER, FEATURE_REDRAW_INTERVAL, CIRCULAR),
    check=check_heads,
    positions="relative",
    attention_map="attention_map:attention_map",
    label="Performer (Rotary)",
    color="#332288",
    linestyle=(0, (8, 2, 2, 2)),
    marker="D",
)
