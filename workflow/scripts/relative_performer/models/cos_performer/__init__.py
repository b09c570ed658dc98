"""CosPerformer: linear attention weighted by cosines of distances, a later answer to the paper."""

from relative_performer.models.declaration import Model
from relative_performer.models.options import CIRCULAR, DROPOUT, TRANSFORMER, check_dim

MODEL = Model(
    package=__name__,
    name="CosPerformer",
    order=3,  # before the baselines, in the order of names
    network="model:CosPerformer",
    naive="naive:naive_logits",
    options=(*TRANSFORMER, *DROPOUT, CIRCULAR),
    check=check_dim,
    positions="relative",
    attention_map="attention_map:attention_map",
    label="Cosine attention",
    color="#CC79A7",
    linestyle=(0, (3, 1, 1, 1)),
    marker="<",
)
