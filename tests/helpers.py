"""Helpers of several tests: the repository, rows of results, and copies of the project in which the pipeline runs."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from relative_performer.models import MODELS

REPOSITORY = Path(__file__).resolve().parents[1]
SCRIPTS = REPOSITORY / "workflow" / "scripts"
GOLDEN = REPOSITORY / "tests" / "golden"
BASELINES = [name for name, model in MODELS.items() if model.baseline]
PERFORMERS = [name for name, model in MODELS.items() if model.published and not model.baseline]  # the paper's
RIVALS = [name for name, model in MODELS.items() if not model.published]
PARTS = ("Snakefile", "config.yaml", "config", "workflow", "profiles", "envs", "resources")
TINY = {
    "name": "tiny",
    "options": {"dim": 8, "depth": 1, "heads": 2, "max_epochs": 1, "limit_train": 32, "limit_val": 16},
    "experiments": {
        "main": {"dataset": "Digits", "seed": [0, 1], "models": {"Performer": {}, "ClippedRelativePerformer": {}}}
    },
    "shift": {"min_shift": 3},
    "limit_test": 16,
}


def run_row(model="Performer", dataset="MNIST", seed=1, acc=0.9, embedding="linear", experiment="grid", **options):
    row = {
        "experiment": experiment,
        "model": model,
        "dataset": dataset,
        "embedding_type": embedding,
        "warmup": 0,
        "patience": 2,
    }
    row |= {"val/acc": acc, "test/acc": acc, "n_parameters": 4741706, "seed": seed, "images_seen": 1000 * seed}
    row |= {"run_dir": f"logs/{experiment}-{model}-{dataset}-{embedding}-{seed}-{options}", "seconds": seed * 1.5}
    return row | options


def csv(path, rows):
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def checkout(folder: Path, config: dict[str, Any]) -> Path:
    """Copy the files that the pipeline needs, and write its configuration."""
    folder.mkdir(exist_ok=True)
    for name in PARTS:
        source = REPOSITORY / name
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, folder / name)
    (folder / "tiny.yaml").write_text(yaml.safe_dump(config))
    return folder


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", *arguments, "--cores", "2", "--configfile", "tiny.yaml"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def jobs(folder: Path, *arguments: str) -> dict[str, int]:
    """Return the number of jobs that would run, by rule."""
    done = snakemake(folder, *(arguments or ["all"]), "--dry-run")
    assert done.returncode == 0, done.stderr
    counts = re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.MULTILINE)
    return {rule: int(count) for rule, count in counts if rule not in ("all", "figures", "total")}


def stale(folder: Path, *arguments: str) -> set[str]:
    """Return the rules that would run."""
    return set(jobs(folder, *arguments))


def preview_states(folder: Path, config: str = "tiny.yaml") -> dict[str, str]:
    """Return the state of every run by its name, as reported by preview.py."""
    command = [sys.executable, "workflow/scripts/preview.py", config]
    subprocess.run(command, cwd=folder, capture_output=True, check=True)
    rows = pd.read_csv(folder / "results/tiny/preview/model_evaluations.csv")
    return {Path(run).name: state for run, state in zip(rows["run_dir"], rows["state"], strict=True)}
