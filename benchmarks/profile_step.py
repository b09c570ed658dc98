"""Say where the time of a training step goes on the CPU, by kind of operation, in percent."""

import sys
from collections import defaultdict
from pathlib import Path

import pandas as pd
import torch
from torch.nn.functional import cross_entropy
from torch.profiler import ProfilerActivity, profile

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

from contestants import CONTESTANTS
from relative_performer.cli import ArgumentParser, run
from relative_performer.models import MODELS
from relative_performer.options import positive_int
from relative_performer.training.devices import configure_cpu

EPILOG = """\
example:
  profile_step.py --models Performer ClippedRelativePerformer

One step of a model of the published size at 32×32 pixels in float32, after one that is not counted. Operations are
those that torch's profiler names. Its own cost, some microseconds per operation, is part of the numbers.
"""
KINDS = {
    "products": ("mm", "addmm", "bmm", "baddbmm"),
    "arithmetic by element": ("add", "add_", "sub", "sub_", "mul", "mul_", "div", "div_", "addcmul", "addcmul_"),
    "copies and fills": ("copy_", "fill_", "cat", "constant_pad_nd"),
    "sums and maxima": ("sum", "amax", "argmax"),
    "powers of 2 and squares": ("exp2", "exp2_", "pow"),
    "GELU": ("gelu", "gelu_backward"),
    "random numbers and comparisons": ("random_", "eq", "lt", "ge"),
    "layer norm": ("native_layer_norm", "native_layer_norm_backward"),
}  # fmt: skip
OTHER = "the rest, Python and dispatch"


def main() -> None:
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    names = [name for name in CONTESTANTS if name in MODELS]
    parser.add_argument("--models", nargs="+", choices=names, default=names[:4], metavar="NAME")
    parser.add_argument("--batch", type=positive_int, default=8, metavar="N", help="images (default 8)")
    options = parser.parse_args()
    configure_cpu(1)
    table = pd.DataFrame({name: shares(name, options.batch) for name in options.models})
    print(table.round().astype(int).to_string())


def shares(name: str, batch: int) -> dict[str, float]:
    """Return the percentages of the time of a training step by kind."""
    torch.manual_seed(0)
    model = CONTESTANTS[name]().train()
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    images, labels = torch.rand(batch, 32, 32, 1), torch.arange(batch) % 10
    for _ in range(2):
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            cross_entropy(model(images), labels).backward()
            optimizer.step()
            optimizer.zero_grad()
    kind_of = {f"aten::{operation}": kind for kind, operations in KINDS.items() for operation in operations}
    times: defaultdict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        times[kind_of.get(event.key, OTHER)] += event.self_cpu_time_total
    return {kind: 100 * times[kind] / sum(times.values()) for kind in (*KINDS, OTHER)}


if __name__ == "__main__":
    run(main)
