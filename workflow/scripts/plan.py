"""Say what a configuration would cost before anything runs: runs, hours on this machine, disk."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from relative_performer.cli import ArgumentParser, integer, run
from relative_performer.devices import device_name, pick_device, set_threads
from relative_performer.grid import expand, read_configs

EPILOG = """\
example:
  plan.py config.yaml                 (or: snakemake plan)

One training step and one test step of every model and size are timed here and now, at a small batch. An early stop can
come one epoch after the patience at the soonest; that is the least. A training rarely needs 100 epochs; the table says
what they would take. Trainings side by side (cores divided by `threads`, or the GPUs of the profile) share the hours.
"""
IMAGES = {  # training, validation, test, test images of class 1 that the shift test moves to 17 places
    "MNIST": (55_000, 5_000, 10_000, 854),
    "FashionMNIST": (55_000, 5_000, 10_000, 791),
    "CIFAR10": (45_000, 5_000, 10_000, 0),
    "Digits": (1_297, 250, 250, 22),
}
DATA_BYTES = {"MNIST": 84e6, "FashionMNIST": 103e6, "CIFAR10": 355e6, "Digits": 2e6}  # archives and prepared file


def main() -> None:
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    parser.add_argument("configs", nargs="+", type=Path, metavar="CONFIG", help="configuration; later ones override")
    parser.add_argument(
        "--threads", type=integer(1, 1024), default=os.cpu_count(), help="CPU threads to time with (default: all)"
    )
    arguments = parser.parse_args()
    print(report(expand(read_configs(arguments.configs)), arguments.threads))


def report(runs: Mapping[tuple[str, str], Mapping[str, Any]], threads: int) -> str:
    """Return the plan of `runs` as a table of text."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for (experiment, _), options in runs.items():
        groups.setdefault(f"{experiment}, {options['model']}", []).append(options)
    lines = [f"{'experiment, model':<44}{'runs':>6}{'ms/image':>10}{'hours at least':>16}{'100 epochs':>12}{'GB':>8}"]
    timed: dict[str, tuple[float, float, int]] = {}
    totals = [0.0, 0.0, 0.0, 0.0]
    for name, group in tqdm(groups.items(), desc="timing", unit="model", disable=None):
        costs = [cost(options, timed, threads) for options in group]
        milliseconds = 1000 * sum(c[0] for c in costs) / len(costs)
        sums = [float(len(group)), *(sum(c[i] for c in costs) for i in (1, 2, 3))]
        totals = [a + b for a, b in zip(totals, sums, strict=True)]
        lines.append(f"{name:<44}{sums[0]:>6.0f}{milliseconds:>10.1f}{sums[1]:>16,.2f}{sums[2]:>12,.2f}{sums[3]:>8.2f}")
    totals[3] += sum(DATA_BYTES[dataset] for dataset in {options["dataset"] for options in runs.values()}) / 1e9
    row = f"{totals[0]:>6.0f}{'':>10}{totals[1]:>16,.2f}{totals[2]:>12,.2f}{totals[3]:>8.2f}"
    lines.append(f"{'all, and the data':<44}{row}")
    lines.append(f"Timed on {device_name(pick_device('auto'))} with {threads} CPU threads, one run after the other.")
    return "\n".join(lines)


def cost(
    options: Mapping[str, Any], timed: dict[str, tuple[float, float, int]], threads: int
) -> tuple[float, float, float, float]:
    """Return seconds per trained image, hours at least, hours for 100 epochs, and gigabytes of one run."""
    training, validation, test, shifted = IMAGES[options["dataset"]]
    training = min(training, options["limit_train"] or training)
    validation = min(validation, options["limit_val"] or validation)
    sizes = {key: value for key, value in options.items() if key not in ("seed", "dataset", "experiment")}
    key = json.dumps([sizes, options["dataset"] == "CIFAR10"], sort_keys=True)
    if key not in timed:
        timed[key] = time_steps(options, threads)
    step, inference, parameters = timed[key]
    epoch = training * step + validation * inference
    tests = (validation + test + 17 * shifted) * inference
    soonest = options["patience"] + 1 if options["patience"] else options["max_epochs"]
    least, most = (min(options["max_epochs"], epochs) for epochs in (soonest, max(soonest, 100)))
    # best.ckpt: weights; last.ckpt: weights and Adam's two moments, four bytes each
    return step, (least * epoch + tests) / 3600, (most * epoch + tests) / 3600, 16 * parameters / 1e9


def time_steps(options: Mapping[str, Any], threads: int) -> tuple[float, float, int]:
    """Return seconds per image of a training step and of inference (each the second of two), and the parameters."""
    import time

    import torch

    from relative_performer.checkpoints import new_model
    from relative_performer.data import CHANNELS, SIZE

    set_threads(threads)
    device = pick_device("auto")
    model = new_model(options, Path("plan")).to(device)
    batch = min(options["batch_size"], 4) if device.type == "cpu" else options["batch_size"]
    images = torch.zeros(batch, SIZE, SIZE, CHANNELS[options["dataset"]], dtype=torch.uint8, device=device)
    images = images if options.get("embedding_type") == "lookup" else images / 255
    optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def seconds(work: Any) -> float:
        work()
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - started) / batch

    def train() -> None:
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=options["precision"] == "bf16-mixed"):
            loss = model(images).float().sum()
        loss.backward()
        optimizer.step()

    def infer() -> None:
        with torch.inference_mode():
            model(images)

    return seconds(train), seconds(infer), sum(p.numel() for p in model.parameters())


if __name__ == "__main__":
    run(main)
