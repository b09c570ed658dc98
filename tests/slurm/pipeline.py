"""The pipeline on the SLURM that cluster.sh has started, with accounting and without. Run by `make test-slurm`."""

import contextlib
import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers import REPOSITORY

TINY = {"dim": 8, "depth": 1, "heads": 2, "batch_size": 8, "limit_train": 32, "limit_val": 8, "patience": 0}
LONG = {"max_epochs": 100}  # about 5 seconds
EVERY_EPOCH = [str(epoch) for epoch in range(LONG["max_epochs"])]
ACCOUNTING = "AccountingStorageType   = accounting_storage/slurmdbd" in subprocess.getoutput("scontrol show config")


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the project with prepared data. With accounting, its profile names an account and partitions."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("Snakefile", "workflow", "profiles", "envs", "resources"):
        source = REPOSITORY / name
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, folder / name)
    profile = folder / "profiles/slurm/profile.yaml"
    content = profile.read_text()
    if ACCOUNTING:
        content = re.sub(r"^#(?! )|^#(?=  )", "", content, flags=re.MULTILINE)
    # torch does not see the GPUs that SLURM pretends to have: jobs request them, and train on the CPU
    content = content.replace("    runtime: 2880\n", "    runtime: 2880\n    gpu: 1\n")
    profile.write_text(content.replace("slurm_partition: gpu}", "slurm_partition: gpu, gpu: 1}"))
    pipeline = Pipeline(folder, "data", ["Performer"])
    pipeline.finish(pipeline.start("data/Digits.npz"))
    assert not pipeline.jobs()
    return folder


class Pipeline:
    """One configuration, and the runs of Snakemake on it."""

    def __init__(self, project: Path, name: str, models: list[str], gpus: int | str = "auto", **options: Any) -> None:
        self.project, self.name = project, name
        experiments = {"main": {"dataset": "Digits", "models": dict.fromkeys(models)}}
        config = {"name": name, "options": TINY | options, "experiments": experiments, "gpus": gpus}
        config |= {"shift": {"min_shift": 2}, "limit_test": 8}
        (project / f"{name}.yaml").write_text(yaml.safe_dump(config))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Snakemake with the profile for SLURM. Its output is written to NAME.txt."""
        command = [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/slurm", *arguments]
        command += ["--configfile", f"{self.name}.yaml", "--slurm-init-seconds-before-status-checks", "5"]
        command += ["--latency-wait", "5", "--local-cores", "2"]
        with (self.project / f"{self.name}.txt").open("w") as output:
            return subprocess.Popen(command, cwd=self.project, stdout=output, stderr=output, text=True)

    def said(self) -> str:
        """Return the output of Snakemake so far."""
        return (self.project / f"{self.name}.txt").read_text()

    def jobs(self, model: str = "") -> list[str]:
        """Return the SLURM jobs that Snakemake has submitted, for all runs or for the runs of one model."""
        folder = f".*/main_{run_name(model)}/" if model else ""
        return re.findall(rf"submitted with SLURM jobid (\d+) \(log: {folder}", self.said())

    def finish(self, process: subprocess.Popen[str]) -> None:
        """Wait until Snakemake ends, and check that it succeeded."""
        assert process.wait(timeout=240) == 0, self.said()

    def run_dir(self, model: str) -> Path:
        """Return the folder of a model's run."""
        return self.project / f"results/{self.name}/runs/main" / run_name(model)

    def log(self, model: str) -> str:
        """Return the log of a model's training."""
        path = self.project / f"results/{self.name}/logs/train/main/{run_name(model)}.log"
        return path.read_text() if path.exists() else ""

    def target(self, model: str) -> str:
        """Return the output file of a model's training."""
        return str((self.run_dir(model) / "summary.json").relative_to(self.project))

    def pause(self, model: str) -> int:
        """Suspend the training of a model when its second epoch is saved, and return its process."""
        until(lambda: (self.run_dir(model) / "metrics.csv").exists() and len(self.epochs(model)) > 2)
        (process,) = self.trainings(model)
        os.kill(process, signal.SIGSTOP)
        return process

    def epochs(self, model: str) -> list[str]:
        """Return the epochs that a model has been trained."""
        with (self.run_dir(model) / "metrics.csv").open() as file:
            return [row["epoch"] for row in csv.DictReader(file)]

    def trainings(self, model: str) -> dict[int, dict[str, str]]:
        """Return the running trainings of a model: processes and their environments."""
        script = str(self.project / "workflow/scripts/train.py")
        found, wanted = {}, {script, f"results/{self.name}/runs", run_name(model)}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (folder / "cmdline").read_text().split("\0")
                if wanted <= set(words) and (folder / "cwd").resolve() == self.project:
                    pairs = (folder / "environ").read_text().split("\0")
                    found[int(folder.name)] = dict(pair.partition("=")[::2] for pair in pairs)
        return found


def run_name(model: str) -> str:
    return f"{model}_Digits_linear_seed0"


def until(condition: Callable[[], Any], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def job(job_id: str) -> dict[str, str]:
    """Return the properties of a job in SLURM."""
    return dict(word.partition("=")[::2] for word in scontrol("show", "job", job_id).split() if "=" in word)


def scontrol(*arguments: str) -> str:
    return subprocess.run(["scontrol", *arguments], capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(not ACCOUNTING, reason="run with accounting")
def test_the_whole_pipeline_to_tables_and_figures(project):
    model = "ClippedRelativePerformer"
    pipeline, cards = Pipeline(project, "whole", [model], max_epochs=2), set()
    snakemake = pipeline.start("all")
    while snakemake.poll() is None:
        cards |= {environment.get("CUDA_VISIBLE_DEVICES") for environment in pipeline.trainings(model).values()}
        time.sleep(0.1)
    pipeline.finish(snakemake)
    assert len(cards) == 1
    assert cards < {"0", "1"}
    for name in ("shift", "accuracy", "learning_curves", "attention_ClippedRelativePerformer_Digits"):
        assert (project / f"figures/whole/{name}.png").read_bytes().startswith(b"\x89PNG")
    assert model in (project / "results/whole/tables/accuracy.md").read_text()
    jobs = [job(job_id) for job_id in pipeline.jobs()]
    requested = {
        j["Comment"].partition("_wildcards")[0]: (j["TimeLimit"], j["MinMemoryNode"], j["TresPerJob"]) for j in jobs
    }
    assert requested == {
        "rule_train": ("2-00:00:00", "8000M", "gres:gpu:1"),
        "rule_test": ("04:00:00", "4000M", "gres:gpu:1"),
        "rule_test_shifted": ("04:00:00", "4000M", "gres:gpu:1"),
    }
    assert {(j["Account"], j["Partition"]) for j in jobs} == {("lab", "gpu")}


@pytest.mark.skipif(ACCOUNTING, reason="run without accounting")
def test_ended_jobs_are_reported_and_resumed_with_more_time_and_memory(project):
    """One training is cancelled, the other one hangs until SLURM ends it after its minute."""
    models = ["Performer", "NoposPerformer"]
    pipeline = Pipeline(project, "ended", models, **LONG)
    snakemake = pipeline.start(*map(pipeline.target, models), "--set-resources", "train:runtime=attempt")
    for model in models:
        pipeline.pause(model)
    cancelled, late = (pipeline.jobs(model)[0] for model in models)
    subprocess.run(["scancel", cancelled], check=True)
    pipeline.finish(snakemake)
    for model, first, state in (("Performer", cancelled, "CANCELLED"), ("NoposPerformer", late, "TIMEOUT")):
        error = pipeline.said().partition(f"SLURM-job '{first}' failed, SLURM status is: '{state}'")[2]
        error = error.partition("external_jobid")[0]
        assert f"results/ended/logs/train/main/{run_name(model)}.log" in error
        assert f"results/slurm_logs/rule_train/main_{run_name(model)}/{first}.log" in error
        before, after = (job(job_id) for job_id in pipeline.jobs(model))
        assert (before["JobState"], after["JobState"]) == (state, "COMPLETED")
        assert (before["TimeLimit"], after["TimeLimit"]) == ("00:01:00", "00:02:00")
        assert (before["MinMemoryNode"], after["MinMemoryNode"]) == ("8000M", "16000M")
        assert "resuming" in pipeline.log(model)
        assert "epoch 1 " not in pipeline.log(model)
        assert pipeline.epochs(model) == EVERY_EPOCH


@pytest.mark.skipif(not ACCOUNTING, reason="run with accounting")
def test_killed_snakemake_loses_nothing(project):
    """One training ends while its second job is still in the queue, the other one after its second job has started."""
    pipeline = Pipeline(project, "killed", ["Performer", "NoposPerformer"], **LONG)
    targets = [pipeline.target(model) for model in ("Performer", "NoposPerformer")]
    snakemake = pipeline.start(*targets)
    slow, fast = (pipeline.pause(model) for model in ("Performer", "NoposPerformer"))
    snakemake.kill()
    snakemake.wait()
    pipeline.finish(pipeline.start(*targets, "--unlock"))
    scontrol("update", "nodename=ALL", "state=drain", "reason=test")
    snakemake = pipeline.start(*targets)
    until(lambda: len(pipeline.jobs()) == 2)
    os.kill(fast, signal.SIGCONT)
    until(lambda: (project / targets[1]).exists() and not pipeline.trainings("NoposPerformer"))
    best = (pipeline.run_dir("NoposPerformer") / "checkpoints/best.ckpt").stat().st_mtime_ns

    scontrol("update", "nodename=ALL", "state=resume")
    until(lambda: "waiting for it" in pipeline.log("Performer"))
    assert slow in pipeline.trainings("Performer")
    os.kill(slow, signal.SIGCONT)
    pipeline.finish(snakemake)
    for model in ("Performer", "NoposPerformer"):
        assert "epoch 2 " not in pipeline.log(model)
        assert pipeline.epochs(model) == EVERY_EPOCH
    assert len(list(pipeline.run_dir("Performer").glob("events.out.tfevents.*"))) == 1
    assert (pipeline.run_dir("NoposPerformer") / "checkpoints/best.ckpt").stat().st_mtime_ns == best


@pytest.mark.skipif(ACCOUNTING, reason="run without accounting")
def test_a_job_that_finds_no_gpu_fails_in_one_line(project):
    pipeline = Pipeline(project, "missing", ["Performer"], gpus=1, max_epochs=1)
    assert pipeline.start(pipeline.target("Performer"), "--retries", "0").wait(timeout=240) != 0
    said = [line for line in pipeline.log("Performer").splitlines() if "error" in line]
    assert len(said) == 1
    assert "1 GPU(s) requested, but torch" in said[0]


@pytest.mark.skipif(ACCOUNTING, reason="run without accounting")
def test_a_cluster_that_takes_gres_only(project):
    pipeline = Pipeline(project, "gres", ["Performer"], max_epochs=1)
    resources = ["--set-resources", "train:gpu=0", "train:gres='gpu:1'"]
    pipeline.finish(pipeline.start(pipeline.target("Performer"), *resources))
    (job_id,) = pipeline.jobs()
    assert job(job_id)["TresPerNode"] == "gres:gpu:1"
