"""Estimate what a configuration costs before anything runs: runs, hours on this machine, disk."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from relative_performer.cli import ArgumentParser, run
from relative_performer.config.grid import expand
from relative_performer.config.validate import read_configs
from relative_performer.data import DATASETS
from relative_performer.options import integer
from relative_performer.training.devices import device_name, pick_device, set_threads

EPILOG = """\
example:
  plan.py config.yaml                 (or: snakemake plan)

One training step and one test step of every model and size are timed on this machine, at a small batch. Early stopping
can end a run one epoch after its patience, which gives the least hours. A training rarely needs 100 epochs; the table
says how long they would take. Trainings that run at once (cores divided by `threads`, or the GPUs of the profile) share
the hours.
"""


def main() -> None:
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    parser.add_argument("configs", nargs="+", type=Path, metavar="CONFIG", help="configuration; later ones override")
    parser.add_argument(
        "--threads", type=integer(1, 1024), default=os.cpu_count(), help="CPU threads to time with (default: all)"
    )
    arguments = parser.parse_args()
    config = read_configs(arguments.configs)
    print(report(expand(config), config.get("shift", {}), arguments.threads))


def report(runs: Mapping[tuple[str, str], Mapping[str, Any]], shift: Mapping[str, Any], threads: int) -> str:
    """Return the plan of `runs`, with a shift test of the classes and shifts in `shift`, as a table of text."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for (experiment, _), options in runs.items():
        groups.setdefault(f"{experiment}, {options['model']}", []).append(options)
    lines = [f"{'experiment, model':<44}{'runs':>6}{'ms/image':>10}{'hours at least':>16}{'100 epochs':>12}{'GB':>8}"]
    timed: dict[str, tuple[float, float, int]] = {}
    totals = [0.0, 0.0, 0.0, 0.0]
    for name, group in tqdm(groups.items(), desc="timing", unit="model", disable=None):
        costs = [cost(options, shift, timed, threads) for options in group]
        milliseconds = 1000 * sum(c[0] for c in costs) / len(costs)
        sums = [float(len(group)), *(sum(c[i] for c in costs) for i in (1, 2, 3))]
        totals = [a + b for a, b in zip(totals, sums, strict=True)]
        lines.append(f"{name:<44}{sums[0]:>6.0f}{milliseconds:>10.1f}{sums[1]:>16,.2f}{sums[2]:>12,.2f}{sums[3]:>8.2f}")
    datasets = [DATASETS[name] for name in {options["dataset"] for options in runs.values()}]
    totals[3] += sum(dataset.archive_bytes + dataset.prepared_bytes for dataset in datasets) / 1e9
    row = f"{totals[0]:>6.0f}{'':>10}{totals[1]:>16,.2f}{totals[2]:>12,.2f}{totals[3]:>8.2f}"
    lines.append(f"{'all, and the data':<44}{row}")
    lines.append(f"Timed on {device_name(pick_device('auto'))} with {threads} CPU threads, one run after the other.")
    return "\n".join(lines)


def cost(
    options: Mapping[str, Any], shift: Mapping[str, Any], timed: dict[str, tuple[float, float, int]], threads: int
) -> tuple[float, float, float, float]:
    """Return seconds per trained image, hours at least, hours for 100 epochs, and gigabytes of one run."""
    dataset = DATASETS[options["dataset"]]
    training, validation, test = dataset.images
    training = min(training, options["limit_train"] or training)
    validation = min(validation, options["limit_val"] or validation)
    # at most all test images of the shifted classes
    shifted = test // len(dataset.classes) * len(shift.get("labels", [1])) if dataset.border else 0
    places = 2 * shift.get("min_shift", 8) + 1
    sizes = {key: value for key, value in options.items() if key not in ("seed", "dataset", "experiment")}
    key = json.dumps([sizes, dataset.shape], sort_keys=True)
    if key not in timed:
        timed[key] = time_steps(options, threads)
    step, inference, parameters = timed[key]
    epoch = training * step + validation * inference
    tests = (validation + test + places * shifted) * inference
    soonest = options["patience"] + 1 if options["patience"] else options["max_epochs"]
    least, most = (min(options["max_epochs"], epochs) for epochs in (soonest, max(soonest, 100)))
    # best.ckpt has the weights, last.ckpt the weights and Adam's two moments: four bytes each
    return step, (least * epoch + tests) / 3600, (most * epoch + tests) / 3600, 16 * parameters / 1e9


def time_steps(options: Mapping[str, Any], threads: int) -> tuple[float, float, int]:
    """Return seconds per image of a training step and of inference (each the second of two), and the parameters."""
    import time

    import torch

    from relative_performer.runs.checkpoints import new_model

    set_threads(threads)
    device = pick_device("auto")
    model = new_model(options, Path("plan")).to(device)
    batch = min(options["batch_size"], 4) if device.type == "cpu" else options["batch_size"]
    images = torch.zeros(batch, *DATASETS[options["dataset"]].shape, dtype=torch.uint8, device=device)
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
