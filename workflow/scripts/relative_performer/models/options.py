"""Options that several models have."""

from collections.abc import Mapping
from typing import Any

from relative_performer.options import Option, integer, positive_int, probability

EMBEDDINGS = ("linear", "MLP", "lookup")

TRANSFORMER = (
    Option("embedding_type", EMBEDDINGS, "linear", "embedding of a pixel"),
    Option("dim", integer(1, 16384), 128, "width of a token"),
    Option("depth", integer(1, 1024), 4, "number of blocks"),
    Option("heads", integer(1, 1024), 4, "attention heads per block"),
)
DROPOUT = (
    Option("attn_dropout", probability, 0.1, "dropout after attention"),
    Option("ff_dropout", probability, 0.1, "dropout in the feed-forward layers"),
)
KEY_STABILIZER = Option(
    "key_stabilizer",
    ("batch", "head"),
    "batch",
    "maximum that is subtracted from the keys' exponents: over the batch (as published), or per image and head",
)
FEATURE_REDRAW_INTERVAL = Option(
    "feature_redraw_interval",
    positive_int,
    1000,
    "training steps without a redraw of the random features; the next step redraws them",
)
FAVOR = (
    FEATURE_REDRAW_INTERVAL,
    Option("no_projection", bool, False, "exact softmax attention instead of random features"),
)
CIRCULAR = Option(
    "circular", bool, False, "opposite edges of the image are neighbours, so that circular shifts change nothing"
)
# option values of the published Performers that the published tables do not give
PUBLISHED = {
    "attn_dropout": "0.1", "ff_dropout": "0.1", "key_stabilizer": "batch", "class_position": "corner",
    "no_projection": "false", "patience": "20", "test_checkpoint": "best", "gradient_clip_norm": "0.5",
    "beta2": "0.98", "precision": "32-true", "accumulate_grad_batches": "1",
}  # fmt: skip


def check_dim(options: Mapping[str, Any]) -> None:
    """Raise ValueError unless `dim` divides into heads."""
    dim, heads = options["dim"], options["heads"]
    if dim % heads:
        raise ValueError(f"dim {dim} is not divisible by heads {heads}")


def check_heads(options: Mapping[str, Any]) -> None:
    """Raise ValueError unless `dim` divides into heads that have random features."""
    check_dim(options)
    dim, heads = options["dim"], options["heads"]
    if dim < 2 * heads:
        raise ValueError(f"dim {dim} over {heads} heads leaves a width of 1, which has no random features")
