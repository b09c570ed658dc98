"""VGG16: a baseline of the paper, torchvision's network without batch normalisation."""

from relative_performer.models.declaration import Model

MODEL = Model(
    package=__name__,
    name="VGG16",
    order=5,
    network="model:VGG16",
    baseline=True,
    largest_image=(32, 32),
    color="#000000",
    linestyle=(0, (10, 2)),
    marker="p",
    published={"learning_rate": "0.0002", "batch_size": "32", "test_checkpoint": "last"},
)
