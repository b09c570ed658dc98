"""Estimate the cost of a configuration before anything runs: runs, hours on this machine, disk space."""

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from relative_performer.cli import ArgumentParser, run
from relative_performer.config.grid import expand
from relative_performer.config.validate import read_configs
from relative_performer.data import DATASETS
from relative_performer.data.axes import AXES
from relative_performer.files import write_csv
from relative_performer.models import MODEL_OPTIONS
from relative_performer.options import choice, integer
from relative_performer.training.devices import configure_cpu, device_name, pick_device
from relative_performer.training.gpu_specs import GPUS, Gpu

EPILOG = """\
examples:
  plan.py config.yaml                 (or: snakemake plan)
  plan.py config.yaml --gpu H100
  plan.py config.yaml --gpu H100 --csv resources/plan_h100.csv

Training and test steps of every model and size are timed on this machine, with the configuration's `threads`. The
fastest of several steps counts, and the estimates are too high while other work runs here. The columns are hours
  hours at least   if early stopping ends every run as soon as its patience allows
  100 epochs       if every run takes 100 epochs, which are rarely needed
The hours are those of one run after the other. Several runs can train at once: cores divided by `threads`, or the GPUs
of the profile.

With --gpu nothing is timed, and no GPU is needed. The hours are a lower bound: for every operation, the larger of its
bytes over the GPU's bandwidth and its work over the GPU's peak rate. Launches and waits come on top. The column GPU GB
is the peak memory of a training step.
"""

Key = tuple[str, str]  # experiment and run
Runs = Mapping[Key, Mapping[str, Any]]
# options that change the cost of a step
COSTLY = {"model", "batch_size", "accumulate_grad_batches", "precision", *(option.name for option in MODEL_OPTIONS)}
COSTLY -= {"feature_redraw_interval"}
STEPS, SECONDS = 6, 2.0  # limits of the timed steps: their number, and the seconds after which no further step starts


def main() -> None:
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    configs_help = "configuration, or - for standard input; later files override"
    parser.add_argument("configs", nargs="+", type=Path, metavar="CONFIG", help=configs_help)
    threads_help = "CPU threads for the timing (default: those of the configuration, at most all cores)"
    parser.add_argument("--threads", type=integer(1, 1024), metavar="N", help=threads_help)
    names = ", ".join(GPUS)
    gpu_help = f"a lower bound of the hours on this GPU, which need not be here: {names}"
    parser.add_argument("--gpu", type=choice("GPU", GPUS), metavar="NAME", help=gpu_help)
    csv_help = "also write a row per run: experiment, run, machine, hours (at least), hours_100_epochs"
    parser.add_argument("--csv", type=Path, metavar="CSV", help=csv_help)
    arguments = parser.parse_args()
    config = read_configs(arguments.configs)
    cores = os.cpu_count() or 1
    threads = arguments.threads or min(config.get("threads", 1), cores)
    gpu = GPUS.get(arguments.gpu)
    if not gpu and (busy := os.getloadavg()[0]) > cores - threads + 0.5:
        print(f"warning: {busy:.1f} of {cores} cores are busy with other work: these hours are too high")
    runs = expand(config)
    costs = run_costs(runs, config.get("shift", {}), threads, gpu)
    print(report(runs, costs, threads, gpu))
    if arguments.csv:
        write_runs(arguments.csv, costs, gpu.name if gpu else device_name(pick_device("auto")))


class Steps(NamedTuple):
    """Seconds per image of a training step and of inference, the number of parameters and the peak memory in bytes."""

    training: float
    inference: float
    parameters: int
    peak_bytes: int = 0


class Cost(NamedTuple):
    """Seconds per training image, least hours, hours for 100 epochs, and gigabytes on disk and on the GPU."""

    image_seconds: float
    hours: float
    hours_100_epochs: float
    disk: float
    gpu_memory: float


def run_costs(runs: Runs, shift: Mapping[str, Any], threads: int, gpu: Gpu | None = None) -> dict[Key, Cost]:
    """Return the cost of every run, including the shift test of the classes and shifts in `shift`.

    gpu: the GPU for which a lower bound is computed. None: steps are timed on this machine.
    """
    timed: dict[str, Steps] = {}
    progress = tqdm(runs.items(), desc="counting" if gpu else "timing", unit="run", disable=None)
    return {key: cost(options, shift, timed, threads, gpu) for key, options in progress}


def write_runs(path: Path, costs: Mapping[Key, Cost], machine: str) -> None:
    """Write the hours of every run on the machine."""
    import pandas as pd

    rows = [(*key, machine, f"{cost.hours:.4f}", f"{cost.hours_100_epochs:.4f}") for key, cost in costs.items()]
    write_csv(path, pd.DataFrame(rows, columns=["experiment", "run", "machine", "hours", "hours_100_epochs"]))


def report(runs: Runs, costs: Mapping[Key, Cost], threads: int, gpu: Gpu | None = None) -> str:
    """Return a text table of the cost of `runs`, by experiment and model."""
    groups: dict[str, list[Cost]] = {}
    for key, options in runs.items():
        groups.setdefault(f"{key[0]}, {options['model']}", []).append(costs[key])
    lines = [f"{'experiment, model':<44}{'runs':>6}{'ms/image':>10}{'hours at least':>16}{'100 epochs':>12}{'GB':>8}"]
    lines[0] += f"{'GPU GB':>10}" if gpu else ""
    totals = [0.0, 0.0, 0.0, 0.0]
    for name, group in groups.items():
        milliseconds = 1000 * sum(cost.image_seconds for cost in group) / len(group)
        sums = [float(len(group)), *(sum(cost[i] for cost in group) for i in (1, 2, 3))]
        totals = [a + b for a, b in zip(totals, sums, strict=True)]
        lines.append(f"{name:<44}{sums[0]:>6.0f}{milliseconds:>10.1f}{sums[1]:>16,.2f}{sums[2]:>12,.2f}{sums[3]:>8.2f}")
        lines[-1] += f"{max(cost.gpu_memory for cost in group):>10.1f}" if gpu else ""
    datasets = [DATASETS[name] for name in {options["dataset"] for options in runs.values()}]
    totals[3] += sum(dataset.archive_bytes + dataset.prepared_bytes for dataset in datasets) / 1e9
    row = f"{totals[0]:>6.0f}{'':>10}{totals[1]:>16,.2f}{totals[2]:>12,.2f}{totals[3]:>8.2f}"
    lines.append(f"{'all, and the data':<44}{row}")
    if gpu:
        sheet = f"{gpu.gigabytes:.0f} GB, {gpu.gigabytes_per_second:,} GB/s"
        lines.append(f"A lower bound for one {gpu.name} ({sheet}), one run after the other.")
    else:
        device = device_name(pick_device("auto"))
        lines.append(f"Timed on {device} with {threads} CPU threads, one run after the other.")
    return "\n".join(lines)


def cost(
    options: Mapping[str, Any], shift: Mapping[str, Any], timed: dict[str, Steps], threads: int, gpu: Gpu | None
) -> Cost:
    """Return the cost of a run; timed: the steps that are known already, to which new ones are added."""
    dataset = DATASETS[options["dataset"]]
    training, validation, test = dataset.images
    training = min(training, options["limit_train"] or training)
    validation = min(validation, options["limit_val"] or validation)
    # an upper bound: all test images of the shifted classes
    is_shifted = dataset.border or shift.get("circular", False)
    shifted = test // len(dataset.classes) * len(shift.get("labels", [1])) if is_shifted else 0
    places = (2 * shift.get("min_shift", 8) + 1) ** len(AXES[shift.get("axis", "columns")])
    sizes = {name: value for name, value in options.items() if name in COSTLY}
    key = json.dumps([sizes, dataset.shape], sort_keys=True)
    if key not in timed:
        timed[key] = bound_steps(options, gpu) if gpu else time_steps(options, threads)
    step, inference, parameters, peak_bytes = timed[key]
    epoch = training * step + validation * inference
    tests = (validation + test + places * shifted) * inference
    soonest = options["patience"] + 1 if options["patience"] else options["max_epochs"]
    least, most = (min(options["max_epochs"], epochs) for epochs in (soonest, max(soonest, 100)))
    # best.ckpt has the weights, last.ckpt the weights and Adam's two moments: four bytes each
    soon, late = ((epochs * epoch + tests) / 3600 for epochs in (least, most))
    return Cost(step, soon, late, 16 * parameters / 1e9, peak_bytes / 1e9)


def bound_steps(options: Mapping[str, Any], gpu: Gpu) -> Steps:
    """Return lower bounds of the time of steps on a GPU."""
    from relative_performer.runs.checkpoints import new_model
    from relative_performer.training.roofline import inference_step, training_step

    def build() -> Any:
        return new_model(options, Path("plan"))

    part = math.ceil(options["batch_size"] / options["accumulate_grad_batches"])
    shape = (part, *DATASETS[options["dataset"]].shape)
    lookup = options.get("embedding_type") == "lookup"
    training = training_step(build, shape, lookup, options["precision"] == "bf16-mixed")
    inference = inference_step(build, shape, lookup)
    parameters = sum(parameter.numel() for parameter in build().parameters())
    return Steps(training.seconds(gpu) / part, inference.seconds(gpu) / part, parameters, training.peak_bytes)


def time_steps(options: Mapping[str, Any], threads: int) -> Steps:
    """Time steps on this machine."""
    import torch

    from relative_performer.runs.checkpoints import new_model

    configure_cpu(threads)
    device = pick_device("auto")
    model = new_model(options, Path("plan")).to(device)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    shape = DATASETS[options["dataset"]].shape

    def train(images: torch.Tensor) -> None:
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=options["precision"] == "bf16-mixed"):
            loss = model(images).float().logsumexp(1).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    def infer(images: torch.Tensor) -> None:
        with torch.inference_mode():
            model.eval()(images)

    def seconds(work: Callable[[torch.Tensor], None], batch: int) -> float:
        images = torch.randint(256, (batch, *shape), dtype=torch.uint8, device=device)
        images = images if options.get("embedding_type") == "lookup" else images / 255
        times: list[float] = []
        # the first step also allocates memory
        while len(times) < 3 or (len(times) < STEPS and sum(times) < SECONDS):
            started = time.perf_counter()
            work(images)
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - started)
        return min(times[1:]) / batch

    def per_image(work: Callable[[torch.Tensor], None]) -> float:
        small = min(options["batch_size"], 4)
        found = seconds(work, small)
        whole = small if found * options["batch_size"] > SECONDS else options["batch_size"]
        return found if whole == small else seconds(work, whole)

    return Steps(per_image(train), per_image(infer), sum(p.numel() for p in model.parameters()))


if __name__ == "__main__":
    run(main)
