"""What a training step does on a GPU, counted without one: bytes, kernels, work, memory, and the least time.

The step runs on fake tensors, which have shapes and no values, in the plain form that GPUs use. The least time of an
operation is the larger of its bytes over the bandwidth and its work over the peak rate (Williams et al., Roofline,
Communications of the ACM 52, 2009). Launches and waits come on top.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.nn.functional import cross_entropy, layer_norm
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from relative_performer.ops.forms import plain_form
from relative_performer.training.gpu_specs import Gpu

aten = torch.ops.aten
# operations without a kernel, in addition to views
NO_KERNEL = {aten.detach, aten.empty, aten.empty_like, aten.new_empty, aten._unsafe_view, torch.ops.prim.device}


@dataclass
class Operation:
    """An operation that starts a kernel: its name, the bytes of its inputs and outputs, its work and its precision."""

    name: str
    bytes: int
    flop: int
    precision: str

    def seconds(self, gpu: Gpu) -> float:
        """Return the least time on a GPU."""
        return max(self.bytes / (1e9 * gpu.gigabytes_per_second), self.flop / (1e12 * gpu.teraflops[self.precision]))


@dataclass
class Step:
    """A step of a model: its operations, and its peak memory in bytes, weights and the state of Adam included."""

    operations: list[Operation]
    peak_bytes: int = 0

    @property
    def bytes(self) -> int:
        """The bytes that all operations read and write."""
        return sum(operation.bytes for operation in self.operations)

    @property
    def flop(self) -> int:
        """The floating-point operations of all products and convolutions."""
        return sum(operation.flop for operation in self.operations)

    def seconds(self, gpu: Gpu) -> float:
        """Return the least time on a GPU."""
        return sum(operation.seconds(gpu) for operation in self.operations)


def training_step(build: Callable[[], nn.Module], shape: tuple[int, ...], lookup: bool, bf16: bool) -> Step:
    """Return the step of training the model that `build` makes, on images of this shape (B, h, w, c), with Adam.

    lookup: whether the model takes uint8 images. bf16: whether products are in bfloat16.
    """
    with FakeTensorMode(), plain_form():
        model, images, labels = build().train(), _images(shape, lookup), torch.zeros(shape[0], dtype=torch.int64)
        optimizer = torch.optim.Adam(model.parameters(), fused=True)
        for parameter in model.parameters():  # the first step makes the state
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        optimizer.zero_grad()
        memory = MemTracker()
        memory.track_external(model, optimizer, images)
        with memory, _Recorder() as recorder:
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16), _LayerNormInFloat32():
                logits = model(images)
            cross_entropy(logits.float(), labels).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
        (peak,) = memory.get_tracker_snapshot("peak").values()
    return Step(recorder.operations, int(peak["Total"]))


def gradient_step(build: Callable[[], nn.Module], shape: tuple[int, ...], lookup: bool) -> Step:
    """Return the forward and backward pass alone, in float32, without a peak memory."""
    with FakeTensorMode(), plain_form():
        model, images, labels = build().train(), _images(shape, lookup), torch.zeros(shape[0], dtype=torch.int64)
        with _Recorder() as recorder:
            cross_entropy(model(images), labels).backward()
    return Step(recorder.operations)


def inference_step(build: Callable[[], nn.Module], shape: tuple[int, ...], lookup: bool) -> Step:
    """Return the step of computing the logits of images of this shape (B, h, w, c), in float32."""
    with FakeTensorMode(), plain_form(), torch.no_grad():
        model, images = build().eval(), _images(shape, lookup)
        with _Recorder() as recorder:
            model(images)
    return Step(recorder.operations)


def _images(shape: tuple[int, ...], lookup: bool) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.uint8 if lookup else torch.float32)


class _LayerNormInFloat32(TorchFunctionMode):
    """Passes float32 to layer norms, as autocast does on a GPU, but not on a CPU."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is layer_norm:
            args = (args[0].float(), *args[1:])
        return func(*args, **(kwargs or {}))


class _Recorder(TorchDispatchMode):
    """Records every operation that starts a kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[Operation] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        packet = func._overloadpacket
        if func.is_view or packet in NO_KERNEL:
            return out
        tensors = [x for x in tree_leaves((args, kwargs, out)) if isinstance(x, torch.Tensor)]
        size = sum(x.numel() * x.element_size() for x in tensors)
        flop = flop_registry[packet](*args, **kwargs, out_val=out) if packet in flop_registry else 0
        in_bf16 = any(x.dtype == torch.bfloat16 for x in tensors)
        self.operations.append(Operation(str(packet), size, flop, "bfloat16" if in_bf16 else "float32"))
        return out
