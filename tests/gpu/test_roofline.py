"""The counts of a training step, and the least time on a GPU that follows from them."""

import torch
from torch import nn

from relative_performer import build_model
from relative_performer.training.gpu_specs import Gpu
from relative_performer.training.roofline import Operation, inference_step, training_step

GPU = Gpu("G", 1, 1000, {"float32": 1, "bfloat16": 10})


class Affine(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 10, bias=False)

    def forward(self, images):
        return self.layer(images.flatten(1))


def test_an_operation_takes_the_larger_of_its_bytes_and_its_work():
    assert Operation("copy", 10**9, 0, "float32").seconds(GPU) == 1e-3
    assert Operation("mm", 10**9, 10**12, "float32").seconds(GPU) == 1
    assert Operation("mm", 10**9, 10**12, "bfloat16").seconds(GPU) == 0.1


def test_a_product_has_its_bytes_and_its_work():
    step = inference_step(Affine, (3, 2, 2, 1), lookup=False)
    (product,) = (operation for operation in step.operations if operation.name == "aten.mm")
    assert (product.bytes, product.flop) == (4 * (3 * 4 + 4 * 10 + 3 * 10), 2 * 3 * 4 * 10)
    trained = training_step(Affine, (3, 2, 2, 1), lookup=False, bf16=True)
    assert trained.flop == 2 * step.flop  # the images need no gradient
    assert {operation.precision for operation in trained.operations if operation.flop} == {"bfloat16"}


def test_counts_grow_with_the_batch_and_kernels_do_not():
    def steps(bf16):
        return [
            training_step(
                lambda: build_model("ClippedRelativePerformer", in_features=1, dim=32, depth=2, heads=4),
                (batch, 16, 16, 1),
                lookup=False,
                bf16=bf16,
            )
            for batch in (4, 8)
        ]

    small, large = steps(False)
    assert len(small.operations) == len(large.operations)
    assert 1.8 < large.bytes / small.bytes < 2
    assert 1.8 < large.peak_bytes / small.peak_bytes < 2
    assert 1.9 < large.flop / small.flop <= 2
    assert steps(True)[1].bytes < large.bytes


def test_layer_norms_are_in_float32_as_autocast_has_them_on_a_gpu():
    def build():
        return nn.Sequential(nn.Flatten(), nn.Linear(4, 10), nn.LayerNorm(10))

    step = training_step(build, (3, 2, 2, 1), lookup=False, bf16=True)
    norms = [operation for operation in step.operations if "layer_norm" in operation.name]
    assert len(norms) == 2  # forward and backward
    assert {norm.precision for norm in norms} == {"float32"}


def test_counting_draws_no_random_numbers():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    training_step(Affine, (3, 2, 2, 1), lookup=False, bf16=False)
    assert torch.equal(torch.rand(3), expected)
