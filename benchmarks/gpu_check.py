"""Check on a machine with a GPU that models and trainings are right there, and how fast they are."""

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SCRIPTS = ROOT / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))

from contestants import CONTESTANTS, PEER  # noqa: E402
from relative_performer import MODELS, build_model  # noqa: E402
from relative_performer.cli import ArgumentParser, run  # noqa: E402
from relative_performer.files import write_atomically  # noqa: E402
from relative_performer.models import MODEL_OPTIONS  # noqa: E402
from relative_performer.results.tables import markdown  # noqa: E402
from relative_performer.runs import folders  # noqa: E402
from relative_performer.runs.authors import from_authors  # noqa: E402
from relative_performer.training.devices import pick_device  # noqa: E402
from relative_performer.training.gpu_specs import GPUS  # noqa: E402
from relative_performer.training.roofline import training_step  # noqa: E402

GOLDEN = ROOT / "tests" / "golden"
# the largest difference of a logit: float32 rounds in another order there; TF32 and bfloat16 have 10 and 8 bits
TOLERANCES = {"float32": 1e-4, "tf32": 5e-2, "bf16": 2e-1}
PERFORMERS = [name for name, model in MODELS.items() if model.published and not model.baseline]  # the paper's
BATCH = 22
PROCESSES = min(8, os.cpu_count() or 1)  # at once; each of them takes up to 6 GiB of the GPU's memory
TRAIN = [
    "--dim",
    "32",
    "--depth",
    "2",
    "--max_epochs",
    "3",
    "--batch_size",
    "8",
    "--limit_train",
    "400",
    "--deterministic",
]
EPILOG = """\
example:
  gpu_check.py --out results/gpu_check.md

The page has these sections:
  reference outputs   the authors' logits beside ours on the GPU, eager and compiled, in float32, TF32 and bfloat16
  the CPU             logits and gradients of every model beside those on the CPU, and whether a step waits for the GPU
  interruption        a training that is stopped and resumed, beside one that is not
  speed               training steps per second beside performer-pytorch, and the share of the least time by the data
                      sheet of the GPU
  two GPUs            a training by two processes, if there are two GPUs
It ends with the number of checks that passed, and with exit code 1 if one did not. `--device cpu` tries the command
without a GPU.
"""


def main() -> None:
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the page to write")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="default cuda")
    options = parser.parse_args()
    device = pick_device(options.device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    checks = {
        "Reference outputs": lambda: reference_outputs(device),
        "The CPU": lambda: beside_the_cpu(device),
        "Interruption": lambda: interruption(device),
        "Speed": lambda: speed(device, name),
        "Two GPUs": two_gpus,
    }
    sections: dict[str, list[list[str]]] = {}
    for title, check in tqdm(checks.items(), unit="section", disable=None):
        sections[title] = check()
        verdicts = [row[-1] for rows in sections.values() for row in rows[1:]]
        note = (
            f"{name}, torch {torch.__version__}: {verdicts.count('yes')} checks passed, {verdicts.count('no')} failed."
        )
        # after each section, in case the machine is taken away
        write_atomically(options.out, markdown(sections, "GPU check", note).encode())
    print(options.out.read_text())
    sys.exit("no" in verdicts)


def reference_outputs(device: torch.device) -> list[list[str]]:
    """Return a row for each precision: the largest difference of a logit over all files; if compiled, one per model."""
    forms = list(itertools.product(TOLERANCES, (False, True)))
    paths = sorted(GOLDEN.glob("*.npz"))
    first = {path.name.partition("_")[0]: path for path in reversed(paths)}
    cases = [(path, device, *form) for form in forms for path in (first.values() if form[1] else paths)]
    # processes, because most of the time is that of compilations, which take one core each
    with ProcessPoolExecutor(PROCESSES, get_context("spawn"), initializer=_one_core) as pool:
        differences = dict(zip(cases, pool.map(_difference, *zip(*cases, strict=True)), strict=True))
    rows = [["precision", "compiled", "largest difference", "tolerance", "passed"]]
    for precision, compiled in forms:
        largest = max(found for case, found in differences.items() if case[2:] == (precision, compiled))
        tolerance = TOLERANCES[precision]
        rows.append([precision, _yes(compiled), f"{largest:.1e}", f"{tolerance:.0e}", _yes(largest < tolerance)])
    return rows


def _one_core() -> None:
    torch.set_num_threads(1)
    torch._inductor.config.compile_threads = 1


def _difference(path: Path, device: torch.device, precision: str, compiled: bool) -> float:
    file = np.load(path)
    hparams = json.loads(str(file["hparams"]))
    own = {option.name: hparams[option.name] for option in MODEL_OPTIONS if option.name in hparams}
    channels, classes = hparams["in_features"], hparams["num_classes"]
    model = build_model(hparams["model"], in_features=channels, num_classes=classes, **own).eval()
    weights = {key.removeprefix("state/"): torch.from_numpy(file[key]) for key in file.files if "state/" in key}
    model.load_state_dict(from_authors(hparams["model"], weights))
    logits = _logits(model.to(device), torch.from_numpy(file["input"]).to(device), precision, compiled)
    return float((logits.cpu() - torch.from_numpy(file["logits"])).abs().max())


def _logits(model: nn.Module, images: Tensor, precision: str, compiled: bool) -> Tensor:
    torch._dynamo.reset()
    forward = torch.compile(model) if compiled else model
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    with torch.no_grad(), torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bf16"):
        return forward(images).float()


def beside_the_cpu(device: torch.device) -> list[list[str]]:
    """Return a row for each model: the relative difference of logits and gradients in float32, and waits of a step.

    A wait is an operation, as far as torch's debug mode detects it, for which the CPU waits until the GPU has finished.
    """
    rows = [["model", "logits", "gradients", "tolerance", "waits", "passed"]]
    tolerance = 1e-3
    torch.set_float32_matmul_precision("highest")
    for name, declared in MODELS.items():
        torch.manual_seed(0)
        own: dict[str, Any] = {} if declared.baseline else {"dim": 32, "depth": 2, "heads": 4}
        model, images = build_model(name, in_features=1, **own).eval(), torch.rand(4, 32, 32, 1)
        found = []
        for place in (torch.device("cpu"), device):
            model.to(place).zero_grad()
            logits = model(images.to(place))
            cross_entropy(logits, torch.arange(4, device=place)).backward()
            grads = [p.grad.cpu().flatten() for p in model.parameters() if p.grad is not None]
            found.append((logits.detach().cpu(), torch.cat(grads)))
        differences = [float((a - b).norm() / a.norm()) for a, b in zip(*found, strict=True)]
        waits = _waits(model, images.to(device), torch.arange(4, device=device))
        texts = [*(f"{difference:.1e}" for difference in differences), f"{tolerance:.0e}", waits]
        rows.append([name, *texts, _yes(waits != "some" and max(differences) < tolerance)])
    return rows


def _waits(model: nn.Module, images: Tensor, labels: Tensor) -> str:
    if not images.is_cuda:
        return "not tried"
    torch.cuda.set_sync_debug_mode("error")
    try:
        cross_entropy(model(images), labels).backward()
    except RuntimeError as error:
        print(f"{type(model).__name__}: {error}", file=sys.stderr)
        return "some"
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return "none"


def interruption(device: torch.device) -> list[list[str]]:
    """Return one row: the largest difference of the learning curves of a resumed and of an uninterrupted training."""
    with tempfile.TemporaryDirectory() as place:
        data = Path(place) / "Digits.npz"
        subprocess.run([sys.executable, SCRIPTS / "prepare_data.py", "Digits", "--out", data], check=True)
        for version in ("whole", "stopped"):
            command = [sys.executable, str(SCRIPTS / "train.py"), *TRAIN, "--accelerator", device.type]
            command += ["--data_path", place, "--log_path", place, "--exp_name", "x", "--version", version]
            command += ["Performer", "Digits"]
            if version == "stopped":
                process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
                while process.poll() is None and not (Path(place) / "x" / version / folders.METRICS).exists():
                    time.sleep(0.1)
                process.send_signal(signal.SIGTERM)
                process.wait()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        curves = [pd.read_csv(Path(place) / "x" / version / folders.METRICS) for version in ("whole", "stopped")]
    largest = float((curves[0] - curves[1]).abs().to_numpy().max())
    row = ["Performer on Digits", f"{largest:.1e}", "0", _yes(largest == 0)]
    return [["training", "largest difference of losses and accuracies", "tolerance", "passed"], row]


def speed(device: torch.device, name: str) -> list[list[str]]:
    """Return a row for each model, precision and form: steps per second, and two ratios. They pass no judgement."""
    gpu = next((sheet for sheet in GPUS.values() if sheet.name in name.replace(" ", "")), None)
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, str(HERE / "bench.py"), "--out", place, "--sides", "32", "--batches", str(BATCH)]
        command += ["--contestants", PEER, *PERFORMERS, "--rounds", "1", "--compile", "no", "yes"]
        command += ["--together", str(PROCESSES)]
        command += ["--precisions", *(("float32", "tf32", "bf16") if device.type == "cuda" else ("float32",))]
        subprocess.run(command, check=True)
        steps = pd.read_csv(Path(place) / "steps.csv").dropna(subset="seconds")
    peer = steps[(steps["contestant"] == PEER) & (steps["compile"] == "no")].set_index("precision")["seconds"]
    rows = [["model", "precision", "compiled", "steps per second", "times performer-pytorch", "share of the roofline"]]
    for row in steps.to_dict("records"):
        least = _least(row["contestant"], row["precision"], gpu)
        share = f"{least / row['seconds']:.2f}" if least else ""
        times = f"{peer[row['precision']] / row['seconds']:.2f}" if row["precision"] in peer else ""
        texts = [row["contestant"], row["precision"], row["compile"], f"{1 / row['seconds']:.2f}", times, share]
        rows.append(texts)
    return rows


def _least(name: str, precision: str, gpu: Any) -> float | None:
    if gpu is None or name not in MODELS:
        return None
    step = training_step(CONTESTANTS[name], (BATCH, 32, 32, 1), lookup=False, bf16=precision == "bf16")
    return step.seconds(gpu)


def two_gpus() -> list[list[str]]:
    """Return one row: whether two processes train on two GPUs; without two GPUs, a row that says so."""
    header = ["training", "result", "passed"]
    if torch.cuda.device_count() < 2:
        return [header, ["two processes", f"not tried: {torch.cuda.device_count()} GPU(s)", ""]]
    with tempfile.TemporaryDirectory() as place:
        data = Path(place) / "Digits.npz"
        subprocess.run([sys.executable, SCRIPTS / "prepare_data.py", "Digits", "--out", data], check=True)
        command = [sys.executable, str(SCRIPTS / "train.py"), *TRAIN, "--accelerator", "cuda", "--devices", "2"]
        command += ["--data_path", place, "--log_path", place, "Performer", "Digits"]
        done = subprocess.run(command, capture_output=True, text=True)
    return [header, ["two processes", (done.stdout + done.stderr).splitlines()[-1], _yes(done.returncode == 0)]]


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


if __name__ == "__main__":
    run(main)
