"""RelativePerformer: strategy 1 of the paper, relative positions by a constrained projection."""

from relative_performer.models.declaration import Model
from relative_performer.models.options import DROPOUT, FAVOR, KEY_STABILIZER, PUBLISHED, TRANSFORMER, check_heads
from relative_performer.options import Option, integer

MODEL = Model(
    package=__name__,
    name="RelativePerformer",
    order=2,
    network="model:RelativePerformer",
    naive="naive:naive_logits",
    options=(
        *(*TRANSFORMER, *DROPOUT, KEY_STABILIZER, *FAVOR),
        Option("pos_scales", integer(1, 1024), 4, "frequencies of the relative positions, per axis"),
        Option(
            "content_rel_attn",
            bool,
            False,
            "a second positional part of queries and keys, rotated by angles that depend on the query's content",
        ),
    ),
    check=check_heads,
    positions="relative",
    attention_map="attention_map:attention_map",
    label="Performer (Rel. S1)",
    color="#D55E00",
    linestyle="--",
    marker="s",
    authors_parameters=(
        (r"\.to_q\.(alpha|beta)$", r".\1"),
        (r"\.(?:to_q|query)\.content_to_rel_matrix\.", ".content_rotation."),
    ),
    published=PUBLISHED,
)
