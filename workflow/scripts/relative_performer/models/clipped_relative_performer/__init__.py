"""ClippedRelativePerformer: strategy 2 of the paper, relative positions by clipped distances."""

from dataclasses import replace

from relative_performer.models.declaration import Model
from relative_performer.models.options import DROPOUT, KEY_STABILIZER, PUBLISHED, TRANSFORMER, check_heads
from relative_performer.options import Option, integer

MODEL = Model(
    package=__name__,
    name="ClippedRelativePerformer",
    order=3,
    network="model:ClippedRelativePerformer",
    naive="naive:naive_logits",
    options=(
        *TRANSFORMER,
        *(replace(option, help="accepted and ignored, as published: this model has no dropout") for option in DROPOUT),
        KEY_STABILIZER,
        Option("clipping_dist", integer(1, 62), 8, "Manhattan distance from which on pixels count as equally far"),
        Option(
            "class_position",
            ("corner", "none"),
            "corner",
            "place of the class token as a query: below the bottom-left pixel (as published), or far from all pixels",
        ),
    ),
    check=check_heads,
    positions="relative",
    attention_map="attention_map:attention_map",
    label="Performer (Rel. S2)",
    color="#009E73",
    linestyle="-.",
    marker="^",
    authors_parameters=(
        (r"\.relative_attention\.projection_matrix$", ".distance_projection_matrix"),
        (r"\.rpe$", ".distances"),
    ),
    published=PUBLISHED,
)
