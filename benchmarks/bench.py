"""Measure training steps of our models and of the alternatives that a user would choose."""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import torch
from tqdm import tqdm

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "workflow" / "scripts"))

from contestants import CONTESTANTS, PEER  # noqa: E402
from relative_performer.cli import ArgumentParser, run  # noqa: E402
from relative_performer.files import write_csv  # noqa: E402
from relative_performer.options import positive_int  # noqa: E402
from relative_performer.training.costs import processor  # noqa: E402

EPILOG = """\
examples:
  bench.py --out results/benchmarks                                      the table of docs/speed.md, in 15 minutes
  bench.py --out results/benchmarks --sides 16 32 48 64 96 --batches 1 8 32 --precisions float32 bf16      in hours
  bench.py --out results/benchmarks --batches 22 --precisions float32 bf16 --compile no yes --together 8   on a GPU

A step consists of forward pass, loss, backward pass, gradient clipping and fused Adam. In every round the contestants
take turns. Each runs in a new process, whose first step is not counted. The results are the minimum and the median over
rounds. On a CPU the processes are bound to the CPUs that are least busy at the start, so that other work changes the
minimum little. On a GPU the time is the mean of 30 steps, after 10 that are not counted; --together starts and compiles
several processes at once, which then take their turns alone. The machine's rate of matrix products, the largest over
all rounds, is measured between them. Processes of our models keep freed memory, as train.py does. A size is skipped if
it would exceed the time limit or the memory, extrapolated from the next smaller size. Its row then gives the reason.
steps.csv has a row per contestant, precision and size. machine.csv has the machine and its load.
"""
KEY = ["contestant", "precision", "compile", "side", "batch"]
SHORT = [(32, 8, [*CONTESTANTS]), (32, 32, [PEER, "Performer"])]  # side, batch, contestants


def main() -> None:
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    short = "all three left out: 32 with 8, and 32 with 32 for two contestants"
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the two CSV files")
    parser.add_argument("--sides", type=positive_int, nargs="+", metavar="N", help="image sizes in pixels (default 32)")
    parser.add_argument(
        "--batches", type=positive_int, nargs="+", metavar="N", help=f"batch sizes (default 8; {short})"
    )
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, metavar="NAME", help="default all")
    parser.add_argument("--precisions", nargs="+", choices=("float32", "tf32", "bf16"), default=["float32"])
    parser.add_argument("--compile", nargs="+", choices=("no", "yes"), default=["no"])
    parser.add_argument("--rounds", type=positive_int, default=5, metavar="N", help="default 5")
    parser.add_argument("--limit_s", type=positive_int, default=30, metavar="S", help="longest step (default 30 s)")
    parser.add_argument("--threads", type=positive_int, default=1, metavar="N", help="CPU threads (default 1)")
    together_help = "processes that start and compile together (default 1)"
    parser.add_argument("--together", type=positive_int, default=1, metavar="N", help=together_help)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(options.threads)
    if device == "cpu":
        bind(options.threads)
    # processes that compile together would start as many workers each as there are cores
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", str(-(-(os.cpu_count() or 1) // options.together)))
    machine = Machine(device, options)
    rows: list[dict[str, Any]] = []
    sizes = sizes_of(options)
    turns = sum(len(contests(options, names)) for *_, names in sizes) * options.rounds
    with tqdm(total=turns, desc="turns", disable=None) as bar:
        for side, batch, names in sizes:
            rows += measure(side, batch, contests(options, names), machine, options, rows, bar)
            # after each size, in case the benchmark is killed
            write_csv(options.out / "steps.csv", pd.DataFrame(rows))
            write_csv(options.out / "machine.csv", machine.table())
    print(machine.load())


def sizes_of(options: argparse.Namespace) -> list[tuple[int, int, list[str]]]:
    """Return the sizes from small to large: pixels per side, images, contestants."""
    if not (options.sides or options.batches or options.contestants):
        return SHORT
    sizes = itertools.product(options.sides or [32], options.batches or [8], [options.contestants or [*CONTESTANTS]])
    return sorted(sizes, key=lambda size: size[0] ** 2 * size[1])


def contests(options: argparse.Namespace, names: list[str]) -> list[tuple[str, str, str]]:
    """Return every combination of contestant, precision and compile mode."""
    return list(itertools.product(names, options.precisions, options.compile))


def bind(threads: int) -> None:
    """Bind this process, and those that it starts, to the least busy CPUs, where the system can."""
    with suppress(AttributeError):  # macOS has no sched_setaffinity
        usage = psutil.cpu_percent(interval=1, percpu=True)
        allowed = sorted(os.sched_getaffinity(0), key=lambda cpu: usage[cpu])
        os.sched_setaffinity(0, allowed[:threads])


def measure(
    side: int,
    batch: int,
    contests: list[tuple[str, str, str]],
    machine: "Machine",
    options: argparse.Namespace,
    earlier: list[dict[str, Any]],
    bar: "tqdm[Any]",
) -> list[dict[str, Any]]:
    """Return a row for every contest at one size."""
    work = side**2 * batch
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    steps: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for contest in contests:
        row = dict(zip(KEY, (*contest, side, batch), strict=True)) | {"tokens": side**2 + 1}
        before = [r for r in earlier if [r[name] for name in KEY[:3]] == list(contest)]
        row["skipped"] = reason_to_skip(before[-1], work, options.limit_s, machine.device) if before else ""
        rows[contest], steps[contest] = row, []
    for _ in range(options.rounds):
        machine.look()
        for first in range(0, len(contests), options.together):
            turns = contests[first : first + options.together]
            group = [contest for contest in turns if not rows[contest]["skipped"]]
            running = {contest: Stepper(*contest, side, batch, machine.device, options.threads) for contest in group}
            for part in (Stepper.warm_up, Stepper.finish):  # all are warm before the first one is timed
                for contest in [contest for contest in running if not rows[contest]["skipped"]]:
                    bar.set_postfix_str(f"{contest[0]}, batch {batch}")
                    try:
                        measured = part(running[contest])
                    except RuntimeError as error:
                        rows[contest]["skipped"] = f"failed: {error}"
                    else:
                        steps[contest] += [measured] if measured else []
            bar.update(len(turns))
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


class Stepper:
    """A process that runs training steps of one contestant."""

    def __init__(
        self,
        contestant: str,
        precision: str,
        compiled: str,
        side: int,
        batch: int,
        device: str,
        threads: int,
    ) -> None:
        command = [sys.executable, str(HERE / "stepper.py"), contestant, "--side", str(side), "--batch", str(batch)]
        command += ["--device", device, "--precision", precision, "--threads", str(threads)]
        command += ["--compile"] * (compiled == "yes")
        peers = os.pathsep.join([str(HERE / "peers"), str(HERE.parent / "workflow" / "scripts")])
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, bufsize=1,
            env=os.environ | {"PYTHONPATH": peers},
        )  # fmt: skip
        self.unmeasured = ["1" if compiled == "yes" else "count", *(["10"] if device == "cuda" else [])]
        self.measured = "30" if device == "cuda" else "1"
        self._send(*self.unmeasured)

    def warm_up(self) -> None:
        """Wait until the steps are done that are not measured. Raises RuntimeError if the process fails."""
        first, *_ = [self._receive() for _ in self.unmeasured]
        self.flop = first["flop"]

    def finish(self) -> dict[str, Any]:
        """End the process, and return seconds, peak bytes and FLOP (None if compiled) of a step.

        Raises RuntimeError if the process fails.
        """
        self._send(self.measured)
        step = self._receive()
        self.process.communicate()
        return {"seconds": step["seconds"], "peak_bytes": step["bytes"], "flop": self.flop}

    def _send(self, *lines: str) -> None:
        assert self.process.stdin
        with suppress(BrokenPipeError):  # `_receive` says why
            self.process.stdin.write("".join(f"{line}\n" for line in lines))

    def _receive(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise RuntimeError((self.errors.read().strip().splitlines() or ["no message"])[-1][:120])
        return dict(json.loads(line))


def summary(steps: list[dict[str, Any]], batch: int) -> dict[str, Any]:
    """Return the minimum and the median of the seconds over rounds, and what follows from the minimum."""
    if not steps:
        return {}
    frame = pd.DataFrame(steps).astype(float)
    seconds = frame["seconds"].min()
    return {
        "rounds": len(steps),
        "seconds": seconds,
        "seconds_median": frame["seconds"].median(),
        "seconds_per_image": seconds / batch,
        "images_per_second": batch / seconds,
        "peak_bytes": frame["peak_bytes"].median(),
        "gflop_per_image": frame["flop"].median() / batch / 1e9,
        "gflop_per_second": frame["flop"].median() / seconds / 1e9,
    }


class Machine:
    """The machine, its largest rate of matrix products so far by precision, and its load."""

    def __init__(self, device: str, options: argparse.Namespace) -> None:
        self.device = device
        self.name = torch.cuda.get_device_name() if device == "cuda" else processor()
        self.threads = options.threads
        self.rates = dict.fromkeys(options.precisions, 0.0)
        self.loads: list[float] = []

    def look(self) -> None:
        """Measure the rates again, and note the load."""
        self.loads.append(psutil.getloadavg()[0])
        for precision, rate in self.rates.items():
            self.rates[precision] = max(rate, matrix_rate(self.device, precision))

    def table(self) -> pd.DataFrame:
        """Return a row for every precision."""
        rows = [[self.name, self.threads, torch.__version__, *item, max(self.loads)] for item in self.rates.items()]
        return pd.DataFrame(rows, columns=["machine", "threads", "torch", "precision", "gflop_per_second", "load"])

    def load(self) -> str:
        """Return a line on the load."""
        least, most = min(self.loads), max(self.loads)
        return (
            f"load average {least:.1f} to {most:.1f} on {os.cpu_count()} CPUs, {self.threads} of them by the benchmark"
        )


def matrix_rate(device: str, precision: str, size: int = 4096) -> float:
    """Return the rate of the fastest of several products of square matrices, in GFLOP/s."""
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    a = torch.randn(size, size, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)

    def seconds() -> float:
        started = time.perf_counter()
        a @ a
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    # the clock of an idle GPU rises slowly
    return 2 * size**3 / min(seconds() for _ in range(100 if device == "cuda" else 2)) / 1e9


if __name__ == "__main__":
    run(main)
