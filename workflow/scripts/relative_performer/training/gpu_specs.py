"""Data sheets of GPUs, from which the least time of a training step follows."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """The data sheet of a GPU: dense rates, without sparsity, and bfloat16 products that accumulate in float32."""

    name: str
    gigabytes: float
    """Memory, in units of 10^9 bytes."""
    gigabytes_per_second: float
    """Bandwidth of the memory."""
    teraflops: Mapping[str, float]
    """Peak rate, in 10^12 floating-point operations per second, by precision."""


GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("H100", 80, 3350, {"float32": 66.9, "bfloat16": 989}),  # SXM
        Gpu("A100", 80, 2039, {"float32": 19.5, "bfloat16": 312}),  # SXM, 80 GB
        Gpu("L4", 24, 300, {"float32": 30.3, "bfloat16": 121}),
        Gpu("RTX4090", 24, 1008, {"float32": 82.6, "bfloat16": 165}),
        Gpu("RTX3060", 12, 360, {"float32": 12.7, "bfloat16": 25.5}),
    )
}
