"""Compare the time that plan.py estimates for a training with the time of a short real training."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE.parent / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))

import plan  # noqa: E402
from relative_performer.cli import ArgumentParser, run  # noqa: E402
from relative_performer.config.grid import arguments as words_of  # noqa: E402
from relative_performer.config.options import run_options  # noqa: E402
from relative_performer.data import DATASETS  # noqa: E402
from relative_performer.files import write_csv  # noqa: E402
from relative_performer.models import MODELS  # noqa: E402
from relative_performer.options import positive_int  # noqa: E402
from relative_performer.runs.folders import read_summary  # noqa: E402

EPILOG = """\
example:
  estimates.py --out results/benchmarks

Every model is trained on Digits at a small and at the published size, for one epoch of as many images as the estimate
allows in --seconds. estimates.csv has a row per model and size: images, the estimated and the measured seconds, and
their ratio. Start-up is not part of either. Nothing else should run on the machine.
"""
DATASET = "Digits"
SIZES = {"small": {"dim": 32, "depth": 2, "heads": 4}, "published": {"dim": 256, "depth": 6, "heads": 8}}
BATCH = 16


def main() -> None:
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the CSV file")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), metavar="NAME")
    parser.add_argument("--seconds", type=positive_int, default=15, metavar="S", help="of a training (default 15)")
    parser.add_argument("--threads", type=positive_int, default=1, metavar="N", help="CPU threads (default 1)")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / f"{DATASET}.npz"
        command = [sys.executable, str(SCRIPTS / "prepare_data.py"), DATASET, "--out", str(data)]
        subprocess.run(command, check=True, capture_output=True)
        contests = [(name, size) for name in options.models for size in sizes_of(name)]
        for name, size in tqdm(contests, desc="trainings", disable=None):
            rows.append(compare(name, size, Path(folder), options.seconds, options.threads))
            write_csv(options.out / "estimates.csv", pd.DataFrame(rows))
    print(pd.DataFrame(rows).to_string(index=False, float_format="%.3g"))


def sizes_of(name: str) -> list[str]:
    """Return the sizes in which a model is trained; a baseline has only its own."""
    return ["published"] if MODELS[name].baseline else list(SIZES)


def compare(name: str, size: str, folder: Path, seconds: int, threads: int) -> dict[str, Any]:
    """Train a model in `folder`, which has the data, and return a row of the table."""
    sizes = {} if MODELS[name].baseline else SIZES[size]
    chosen = {**sizes, "batch_size": BATCH, "max_epochs": 1, "limit_val": BATCH}
    steps = plan.time_steps({"model": name, "dataset": DATASET, **run_options(name, chosen)}, threads)
    most = DATASETS[DATASET].images[0]
    images = min(most, max(BATCH, int(seconds / steps.training) // BATCH * BATCH))
    wanted = run_options(name, chosen | {"limit_train": images})
    command = [sys.executable, str(SCRIPTS / "train.py"), "--threads", str(threads), "--accelerator", "cpu"]
    command += ["--data_path", str(folder), "--log_path", str(folder), "--exp_name", size, "--version", name]
    command += words_of({"model": name, "dataset": DATASET, **wanted}).split()
    subprocess.run(command, check=True, capture_output=True)
    measured = read_summary(folder / size / name)["seconds"]
    estimated = images * steps.training + BATCH * steps.inference
    row = {"model": name, "size": size, "threads": threads, "images": images, "estimated": estimated}
    return row | {"measured": measured, "ratio": measured / estimated}


if __name__ == "__main__":
    run(main)
