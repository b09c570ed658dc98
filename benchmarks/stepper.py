"""Run training steps of one contestant for every line on stdin, their number or "count", and write a line of JSON."""

import argparse
import contextlib
import json
import resource
import sys
import time

import torch
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from contestants import CONTESTANTS
from relative_performer.models import MODELS
from relative_performer.training.devices import configure_cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contestant", choices=CONTESTANTS)
    parser.add_argument("--side", type=int, required=True, help="pixels")
    parser.add_argument("--batch", type=int, required=True, help="images")
    parser.add_argument("--device", required=True)
    parser.add_argument("--precision", choices=("float32", "tf32", "bf16"), required=True)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    if arguments.contestant in MODELS:
        configure_cpu(arguments.threads)
    else:
        torch.set_num_threads(arguments.threads)
    torch.set_float32_matmul_precision("high" if arguments.precision == "tf32" else "highest")
    torch.manual_seed(0)
    device = torch.device(arguments.device)
    model = CONTESTANTS[arguments.contestant]().to(device).train()
    if arguments.compile:
        model.forward = torch.compile(model.forward)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-5, betas=(0.9, 0.98), fused=True)
    images = torch.rand(arguments.batch, arguments.side, arguments.side, 1, device=device)
    labels = torch.arange(arguments.batch, device=device) % 10
    bf16 = arguments.precision == "bf16"

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16) if bf16 else contextlib.nullcontext():
            loss = cross_entropy(model(images).float(), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        optimizer.zero_grad()

    for line in sys.stdin:
        counter = FlopCounterMode(display=False) if line.strip() == "count" else None
        steps = 1 if counter else int(line)
        started = time.perf_counter()
        with counter or contextlib.nullcontext():
            for _ in range(steps):
                step()
            if device.type == "cuda":
                torch.cuda.synchronize()
        seconds = (time.perf_counter() - started) / steps
        flop = counter.get_total_flops() if counter else None
        print(json.dumps({"seconds": seconds, "bytes": peak_bytes(device), "flop": flop}), flush=True)


def peak_bytes(device: torch.device) -> int:
    """Return the peak memory of the process, on the GPU if it uses one."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
