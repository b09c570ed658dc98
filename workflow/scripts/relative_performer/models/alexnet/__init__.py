"""AlexNet: a baseline of the paper, a small convolutional network."""

from relative_performer.models.declaration import Model

MODEL = Model(
    package=__name__,
    name="AlexNet",
    order=4,
    network="model:AlexNet",
    baseline=True,
    largest_image=(32, 32),
    color="#E69F00",
    linestyle=(0, (4, 1, 1, 1, 1, 1)),
    marker=">",
    published={"learning_rate": "0.0002", "batch_size": "32", "test_checkpoint": "last"},
)
