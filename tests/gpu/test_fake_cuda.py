"""Training steps on fake CUDA tensors, which have no values: mixing devices or reading a value raises an error.

Reading a value makes the CPU wait for a GPU. On purpose, training reads only the loss, every 50 steps, and the metrics
of an epoch.
"""

import pytest
import torch
from engine import backward
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.functional import cross_entropy

from relative_performer import build_model
from relative_performer.models import MODELS

needs_cuda_build = pytest.mark.skipif(torch.version.cuda is None, reason="torch has no CUDA build")


def test_the_walk_has_the_gradients_of_the_engine():
    model = build_model("ClippedRelativePerformer", in_features=1, dim=8, depth=2, heads=2).double()
    images = torch.rand(2, 4, 5, 1, dtype=torch.float64)
    gradients = []
    for walk in (backward, torch.Tensor.backward):
        walk(cross_entropy(model(images), torch.tensor([1, 2])))
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
        model.zero_grad()
    torch.testing.assert_close(*gradients)


@pytest.fixture
def autocast():
    """A function that switches autocast to bf16 on CUDA, which switches itself off without a driver."""
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    yield lambda enabled: torch.set_autocast_enabled("cuda", enabled)
    torch.set_autocast_enabled("cuda", False)


def cases(name: str) -> list[dict[str, object]]:
    """Return the defaults, and every other value of every option that changes the computation."""
    varied = ("key_stabilizer", "embedding_type", "no_projection", "class_position", "circular", "content_rel_attn")
    options = [option for option in MODELS[name].options if option.name in varied]
    values = {option.name: option.kind if isinstance(option.kind, tuple) else (False, True) for option in options}
    return [{}, *({key: value} for key in values for value in values[key][1:])]


@needs_cuda_build
@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_a_step_mixes_no_devices_and_reads_no_value(name, bf16, autocast):
    side, size = (32, {}) if MODELS[name].baseline else (6, {"dim": 16, "depth": 2, "heads": 2})
    for own in cases(name):
        with FakeTensorMode():
            with torch.device("cuda"):
                model = build_model(name, in_features=1, **size, **own).train()
                images, labels = torch.rand(4, side, side, 1), torch.randint(10, (4,))
                if own.get("embedding_type") == "lookup":
                    images = images.to(torch.uint8)
            optimizer = torch.optim.Adam(model.parameters(), capturable=True, foreach=False)
            for _ in range(2):  # accumulated
                autocast(bf16)
                logits = model(images)
                autocast(False)
                backward(cross_entropy(logits.float(), labels) / 2)
            for module in model.modules():
                if hasattr(module, "redraw"):
                    module.redraw()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            gradients = [parameter.grad for parameter in model.parameters() if parameter.requires_grad]
            assert all(gradient is not None and gradient.is_cuda for gradient in gradients)
