"""A Performer that knows nothing of the order of the pixels."""

from relative_performer.models.transformer import ImageTransformer


class NoposPerformer(ImageTransformer):
    """FAVOR+ attention without positions."""
