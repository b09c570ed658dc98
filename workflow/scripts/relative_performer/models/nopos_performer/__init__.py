"""NoposPerformer: FAVOR+ attention without positions."""

from relative_performer.models.declaration import Model
from relative_performer.models.options import DROPOUT, FAVOR, KEY_STABILIZER, PUBLISHED, TRANSFORMER, check_heads

MODEL = Model(
    package=__name__,
    name="NoposPerformer",
    order=1,
    network="model:NoposPerformer",
    naive="naive:naive_logits",
    options=(*TRANSFORMER, *DROPOUT, KEY_STABILIZER, *FAVOR),
    check=check_heads,
    label="Performer (No pos.)",
    color="#555555",
    linestyle=":",
    marker="X",
    published=PUBLISHED,
)
