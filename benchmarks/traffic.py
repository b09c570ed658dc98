"""Count what a training step moves on a GPU, operation by operation and after fusion by torch.compile. Needs no GPU."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from functorch.compile import make_boxed_func
from torch import nn
from torch._inductor.compile_fx import compile_fx, record_original_output_strides
from torch._inductor.debug import DebugContext
from torch._inductor.graph import GraphLowering
from torch._inductor.virtualized import V
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.functional import cross_entropy
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

from contestants import CONTESTANTS
from relative_performer import MODELS
from relative_performer.cli import ArgumentParser, run
from relative_performer.options import choice, positive_int
from relative_performer.training.gpu_specs import GPUS
from relative_performer.training.roofline import training_step

PERFORMERS = [name for name, model in MODELS.items() if model.published and not model.baseline]  # the paper's
EPILOG = """\
example:
  traffic.py --models Performer ClippedRelativePerformer --batch 22

The columns are
  GB, kernels        bytes that the operations of a step read and write, and their number (clipping and Adam included)
  GB compiled        bytes of forward and backward after fusion, as torch.compile counts them with its CPU backend
  peak GiB           peak memory of the step
  H100 ms            the least time on an H100 by its data sheet
Models have the published size: dimension 256, depth 6, 8 heads, 32x32 pixels.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    model = choice("model", PERFORMERS)
    parser.add_argument("--models", nargs="+", type=model, default=PERFORMERS, metavar="M", help="default: all")
    parser.add_argument("--batch", type=positive_int, default=22, metavar="B", help="images of a step (default 22)")
    parser.add_argument("--out", type=Path, metavar="CSV", help="also write the table to this file")
    options = parser.parse_args(arguments)
    places = [(name, bf16) for name in options.models for bf16 in (False, True)]
    rows = [count(name, bf16, options.batch) for name, bf16 in tqdm(places, unit="step", disable=None)]
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="%.1f"))
    if options.out:
        table.to_csv(options.out, index=False)


def count(name: str, bf16: bool, batch: int) -> dict[str, Any]:
    """Return the row of a model."""
    build = CONTESTANTS[name]
    step = training_step(build, (batch, 32, 32, 1), lookup=False, bf16=bf16)
    return {
        "model": name,
        "precision": "bf16" if bf16 else "float32",
        "GB": step.bytes / 1e9,
        "kernels": len(step.operations),
        "GB compiled": compiled_bytes(build, batch, bf16) / 1e9,
        "peak GiB": step.peak_bytes / 2**30,
        "H100 ms": 1000 * step.seconds(GPUS["H100"]),
    }


def compiled_bytes(build: Callable[[], nn.Module], batch: int, bf16: bool) -> int:
    """Return the bytes that forward and backward read and write after fusion."""
    counts: list[int] = []

    def lower(graph_module: Any, inputs: Any, **options: Any) -> Any:
        record_original_output_strides(graph_module)
        graph = GraphLowering(graph_module, example_inputs=inputs, is_backward=options.get("is_backward", False))
        with V.set_graph_handler(graph), V.set_debug_handler(DebugContext()):
            graph.run(*inputs)
            graph.init_wrapper_code()
            graph._update_scheduler()
            counts.append(graph.count_bytes()[0])
        return make_boxed_func(graph_module.forward)

    torch._dynamo.reset()
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = build().train()
        compiled = torch.compile(
            model.forward, backend=lambda graph, inputs: compile_fx(graph, inputs, inner_compile=lower)
        )
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = compiled(torch.rand(batch, 32, 32, 1))
        cross_entropy(logits.float(), torch.zeros(batch, dtype=torch.int64)).backward()
    return sum(counts)


if __name__ == "__main__":
    run(main)
