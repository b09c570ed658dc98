"""LinformerViT: a baseline of the paper, a vision transformer with Linformer attention."""

from relative_performer.models.declaration import Model

MODEL = Model(
    package=__name__,
    name="LinformerViT",
    order=7,
    network="model:LinformerViT",
    baseline=True,
    largest_image=(32, 32),
    label="ViT (Linformer)",
    color="#661100",
    linestyle=(0, (6, 1, 2, 1)),
    marker="*",
    published={"learning_rate": "3e-05", "batch_size": "32", "test_checkpoint": "last"},
)
