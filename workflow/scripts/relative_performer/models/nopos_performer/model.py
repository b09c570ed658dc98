"""A Performer without positions, which is invariant to the order of the pixels."""

from relative_performer.models.transformer import ImageTransformer


class NoposPerformer(ImageTransformer):
    """FAVOR+ attention without positions."""
