"""Estimate the cost of a configuration before anything runs: runs, hours on this machine, disk space."""

import json
import os
import time
from collections.abc import Callable, Mapping
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

Training and test steps of every model and size are timed on this machine, with the configuration's `threads`. The
fastest of several steps counts, and the estimates are too high while other work runs here. The columns are hours
  hours at least   if early stopping ends every run as soon as its patience allows
  100 epochs       if every run takes 100 epochs, which are rarely needed
The hours are those of one run after the other. Several runs can train at once: cores divided by `threads`, or the GPUs
of the profile.
"""

STEPS, SECONDS = 6, 2.0  # limits of the timed steps: their number, and the seconds after which no further step starts


def main() -> None:
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    configs_help = "configuration, or - for standard input; later files override"
    parser.add_argument("configs", nargs="+", type=Path, metavar="CONFIG", help=configs_help)
    threads_help = "CPU threads for the timing (default: those of the configuration, at most all cores)"
    parser.add_argument("--threads", type=integer(1, 1024), metavar="N", help=threads_help)
    arguments = parser.parse_args()
    config = read_configs(arguments.configs)
    cores = os.cpu_count() or 1
    threads = arguments.threads or min(config.get("threads", 1), cores)
    if (busy := os.getloadavg()[0]) > cores - threads + 0.5:
        print(f"warning: {busy:.1f} of {cores} cores are busy with other work: these hours are too high")
    print(report(expand(config), config.get("shift", {}), threads))


def report(runs: Mapping[tuple[str, str], Mapping[str, Any]], shift: Mapping[str, Any], threads: int) -> str:
    """Return a text table of the cost of `runs`, including the shift test of the classes and shifts in `shift`."""
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
    """Return seconds per training image, least hours, hours for 100 epochs, and gigabytes of one run."""
    dataset = DATASETS[options["dataset"]]
    training, validation, test = dataset.images
    training = min(training, options["limit_train"] or training)
    validation = min(validation, options["limit_val"] or validation)
    # an upper bound: all test images of the shifted classes
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
    """Return seconds per image of a training step and of inference, and the number of parameters."""
    import torch

    from relative_performer.runs.checkpoints import new_model

    set_threads(threads)
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
        while len(times) < 2 or (len(times) < STEPS and sum(times) < SECONDS):
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

    return per_image(train), per_image(infer), sum(p.numel() for p in model.parameters())


if __name__ == "__main__":
    run(main)
