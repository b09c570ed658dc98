"""Measure the overhead of the pipeline: starting commands, preparing data, testing, and Snakemake's own work."""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))

from relative_performer.cli import ArgumentParser, run  # noqa: E402
from relative_performer.data.download import mirror_url  # noqa: E402
from relative_performer.files import write_csv  # noqa: E402
from relative_performer.options import integer  # noqa: E402

EPILOG = """\
examples:
  overhead.py --out results/benchmarks                config.yaml as it is (three seeds): 5 minutes
  overhead.py --out results/benchmarks --seeds 10     ten seeds, about 2,200 jobs: 10 minutes
  overhead.py --out results/benchmarks --mirror /mnt/archives      also prepares MNIST, FashionMNIST and CIFAR10

Every row is a command on one thread. It has the CPU seconds (user and system), which other work on the machine changes
little, and the wall-clock seconds. The rows "start train.py" and "start test.py" use one image of Digits. The row
"N images more" is the additional time for N images of the validation and test splits. Snakemake's work is measured with
empty files by `snakemake --touch`, which sleeps 0.1 s for every job. Rows are printed as they are measured, and written
to overhead.csv at the end.
"""
# dim, depth, heads, and images of each split to test
SIZES = {"small": ("32", "2", "4", 250), "published size": ("256", "6", "8", 50)}
rows: list[dict[str, Any]] = []


def main() -> None:
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for overhead.csv")
    parser.add_argument("--mirror", type=mirror_url, metavar="PATH_OR_URL", help="prepare all datasets from here")
    parser.add_argument("--md5", metavar="MD5", help="of the mirror's cifar-10-python.tar.gz, if it differs")
    parser.add_argument("--seeds", type=integer(1, 40), default=3, metavar="N", help="for config.yaml (default 3)")
    options = parser.parse_args()
    out = options.out.absolute()
    print("| | CPU seconds | seconds |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for dataset in ("Digits", "MNIST", "FashionMNIST", "CIFAR10")[: 4 if options.mirror else 1]:
            source = ["--mirror", options.mirror] if options.mirror else []
            source += ["--md5", f"cifar-10-python.tar.gz={options.md5}"] if options.md5 and dataset == "CIFAR10" else []
            cost(f"prepare {dataset}", "prepare_data.py", dataset, "--out", f"prepared/{dataset}.npz", *source)
        for script in ("collect_csv.py", "plot_shift.py"):  # they import everything before they parse arguments
            cost(f"start {script}", script, "--help")
        for size, (dim, depth, heads, images) in SIZES.items():
            model = ["RelativePerformer", "Digits", "--dim", dim, "--depth", depth, "--heads", heads]
            place = ["--threads", "1", "--accelerator", "cpu", "--data_path", "prepared"]
            one = ["--limit_train", "1", "--limit_val", "1", "--max_epochs", "1"]
            cost(f"start train.py, {size}", "train.py", *model, *one, *place, "--version", dim)
            tested = [*place, "--output", "test.csv", f"lightning_logs/default/{dim}"]
            cost(f"start test_shifted.py, {size}", "test_shifted.py", "--min_shift=6", "--limit_test=1", *tested)
            cost(f"start test.py, {size}", "test.py", "--limit_test=1", *tested)
            cost(f"{2 * images} images more, {size}", "test.py", f"--limit_test={images}", *tested, without_last=True)
        snakemake_costs(options.seeds)
    write_csv(out / "overhead.csv", pd.DataFrame(rows))


def snakemake_costs(seeds: int) -> None:
    """Record a dry run of config.yaml, Snakemake's work to run all of its jobs, and a rerun with nothing to do."""
    for part in ("workflow", "profiles", "envs", "resources"):
        shutil.copytree(ROOT / part, part)
    shutil.copy(ROOT / "Snakefile", "Snakefile")
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["options"]["seed"] = list(range(seeds))
    Path("config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    where = f"config.yaml with {seeds} seeds"
    snakemake = ["-m", "snakemake", "all", "--cores", "1"]
    cost(f"dry run, {where}", *snakemake, "--dry-run")
    summary = subprocess.run([sys.executable, *snakemake, "--summary"], capture_output=True, text=True, check=True)
    for line in summary.stdout.splitlines()[1:]:
        file = Path(line.split("\t")[0])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    cost(f"Snakemake's work for all jobs, {where}", *snakemake, "--touch", "--forceall", "--quiet")
    cost(f"run with nothing to do, {where}", *snakemake)


def cost(what: str, *command: str, without_last: bool = False) -> None:
    """Run a command, and record and print its cost. `without_last` subtracts the cost of the previous row."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    program, *arguments = command
    program = f"{SCRIPTS}/{program}" if program.endswith(".py") else program
    done = subprocess.run([sys.executable, program, *arguments], capture_output=True, text=True)
    seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if without_last:
        cpu, seconds = cpu - rows[-1]["cpu_seconds"], seconds - rows[-1]["seconds"]
    rows.append({"what": what, "cpu_seconds": round(cpu, 2), "seconds": round(seconds, 2)})
    print(f"| {what} | {cpu:.1f} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    run(main)
