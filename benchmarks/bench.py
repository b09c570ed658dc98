"""Measure training steps of our models and of the alternatives that a user would choose."""

import argparse
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import torch
from tqdm import tqdm

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "workflow" / "scripts"))

from contestants import CONTESTANTS  # noqa: E402
from relative_performer.cli import ArgumentParser, run  # noqa: E402
from relative_performer.files import write_csv  # noqa: E402
from relative_performer.models import MODELS  # noqa: E402
from relative_performer.options import positive_int  # noqa: E402

EPILOG = """\
examples:
  bench.py --out results/benchmarks
  bench.py --out results/benchmarks --sides 32 --batches 8 --rounds 5        the first table of docs/speed.md
  bench.py --out results/benchmarks --precisions float32 tf32 bf16 --compile no yes         on a GPU

A step consists of forward pass, loss, backward pass, gradient clipping and fused Adam. In every round each contestant
runs in a new process, whose first step is not counted. The results are medians over rounds. Our models run with the
memory allocator settings that the Snakefile gives to the jobs of the pipeline, the others with the default settings. A
size is skipped if it would exceed the time limit or the memory, extrapolated from the next smaller size. Its row then
gives the reason. steps.csv has a row per contestant, precision and size. machine.csv has the machine and its rate of
matrix products.
"""
# as the Snakefile sets them for the jobs of the pipeline
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
KEY = ["contestant", "precision", "compile", "side", "batch"]


def main() -> None:
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the two CSV files")
    parser.add_argument("--sides", type=positive_int, nargs="+", default=[16, 32, 48, 64, 96], metavar="N")
    parser.add_argument("--batches", type=positive_int, nargs="+", default=[1, 8, 32], metavar="N")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), metavar="NAME")
    parser.add_argument("--precisions", nargs="+", choices=("float32", "tf32", "bf16"), default=["float32", "bf16"])
    parser.add_argument("--compile", nargs="+", choices=("no", "yes"), default=["no"])
    parser.add_argument("--rounds", type=positive_int, default=3, metavar="N")
    parser.add_argument("--limit_s", type=positive_int, default=30, metavar="S", help="longest step (default 30 s)")
    parser.add_argument("--threads", type=positive_int, default=os.cpu_count(), metavar="N", help="CPU threads")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(options.threads)
    write_csv(options.out / "machine.csv", machine(device, options))
    rows: list[dict[str, Any]] = []
    sizes = sorted(itertools.product(options.sides, options.batches), key=lambda size: size[0] ** 2 * size[1])
    for side, batch in tqdm(sizes, desc="sizes", disable=None):
        rows += measure(side, batch, device, options, rows)
        write_csv(options.out / "steps.csv", pd.DataFrame(rows))  # after each size, in case the benchmark is killed


def measure(
    side: int, batch: int, device: str, options: argparse.Namespace, earlier: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return a row for every contestant, precision and compile mode at one size."""
    contests = list(itertools.product(options.contestants, options.precisions, options.compile))
    work = side**2 * batch
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    steps: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for contest in contests:
        row = dict(zip(KEY, (*contest, side, batch), strict=True)) | {"tokens": side**2 + 1}
        before = [r for r in earlier if [r[name] for name in KEY[:3]] == list(contest)]
        row["skipped"] = reason_to_skip(before[-1], work, options.limit_s, device) if before else ""
        rows[contest], steps[contest] = row, []
    for _ in range(options.rounds):
        for contest in contests:
            if not rows[contest]["skipped"]:
                try:
                    steps[contest].append(one_process(*contest, side, batch, device, options.threads))
                except subprocess.CalledProcessError as error:
                    rows[contest]["skipped"] = f"failed: {error.stderr.strip().splitlines()[-1][:120]}"
    return [row | summary(steps[contest], batch) for contest, row in rows.items()]


def reason_to_skip(before: dict[str, Any], work: int, limit_s: int, device: str) -> str:
    """Return why a size is too large, extrapolated linearly from the next smaller one; an empty text if it is not."""
    if before["skipped"]:
        return str(before["skipped"])
    growth = work / (before["side"] ** 2 * before["batch"])
    if before["seconds"] * growth > limit_s:
        return f"a step would take more than {limit_s} s"
    memory = torch.cuda.mem_get_info()[1] if device == "cuda" else psutil.virtual_memory().total
    if before["peak_bytes"] * growth > 0.85 * memory:
        return f"needs more than {0.85 * memory / 2**30:.0f} GiB"
    return ""


def one_process(
    contestant: str, precision: str, compiled: str, side: int, batch: int, device: str, threads: int
) -> dict[str, Any]:
    """Return seconds, peak bytes and FLOP (None if compiled) of a step in a new process."""
    command = [sys.executable, str(HERE / "stepper.py"), contestant, "--side", str(side), "--batch", str(batch)]
    command += ["--device", device, "--precision", precision, "--threads", str(threads)]
    command += ["--compile"] * (compiled == "yes")
    peers = os.pathsep.join([str(HERE / "peers"), str(HERE.parent / "workflow" / "scripts")])
    lines = "step\n" if compiled == "yes" else "count\n"
    done = subprocess.run(
        command, input=lines + "step\nstep\n", capture_output=True, text=True, check=True,
        env=os.environ | (ALLOCATOR if contestant in MODELS else {}) | {"PYTHONPATH": peers},
    )  # fmt: skip
    first, *steps = map(json.loads, done.stdout.splitlines())
    return {
        "seconds": min(step["seconds"] for step in steps),
        "peak_bytes": steps[-1]["bytes"],
        "flop": first["flop"],
    }


def summary(steps: list[dict[str, Any]], batch: int) -> dict[str, Any]:
    """Return the medians over rounds; an empty dict for a skipped size."""
    if not steps:
        return {}
    median = pd.DataFrame(steps).astype(float).median()
    return {
        "rounds": len(steps),
        "seconds": median["seconds"],
        "seconds_per_image": median["seconds"] / batch,
        "images_per_second": batch / median["seconds"],
        "peak_bytes": median["peak_bytes"],
        "gflop_per_image": median["flop"] / batch / 1e9,
        "gflop_per_second": median["flop"] / median["seconds"] / 1e9,
    }


def machine(device: str, options: argparse.Namespace) -> pd.DataFrame:
    """Return the machine and its rate of large matrix products by precision, one row each."""
    name = torch.cuda.get_device_name() if device == "cuda" else cpu_name()
    rates = {precision: matrix_rate(device, precision) for precision in options.precisions}
    rows = [[name, options.threads, torch.__version__, precision, rate] for precision, rate in rates.items()]
    return pd.DataFrame(rows, columns=["machine", "threads", "torch", "precision", "gflop_per_second"])


def cpu_name() -> str:
    """Return the name of the processor in /proc/cpuinfo, or CPU if there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), "CPU")


def matrix_rate(device: str, precision: str, size: int = 4096) -> float:
    """Return the rate of the fastest of six products of square matrices, in GFLOP/s."""
    import time

    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    a = torch.randn(size, size, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)

    def seconds() -> float:
        started = time.perf_counter()
        a @ a
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    return 2 * size**3 / min(seconds() for _ in range(6)) / 1e9


if __name__ == "__main__":
    run(main)
