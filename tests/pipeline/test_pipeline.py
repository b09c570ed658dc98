"""The pipeline as a user runs it, on a few embedded images: its outputs, reruns, previews and plans."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import pandas as pd
import pytest
import yaml

from compare_published import matching
from helpers import REPOSITORY, TINY, checkout, preview_states, snakemake, stale
from plan import report
from relative_performer.config.grid import arguments, expand
from relative_performer.config.validate import check_config
from relative_performer.files import checksum
from relative_performer.results.published import read_published
from train import parse


def test_it_makes_tables_and_figures(project):
    figures = ("shift", "shift_loss", "accuracy", "learning_curves", "cost", "confusion_Digits")
    for name in (*figures, "attention_ClippedRelativePerformer_Digits"):
        assert (project / f"figures/tiny/{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (project / f"figures/tiny/{name}.pdf").read_bytes().startswith(b"%PDF")
    table = (project / "results/tiny/tables/accuracy.md").read_text()
    assert "±" in table
    assert "ClippedRelativePerformer" in table
    assert "59 rows: 0 full, 0 reduced, 59 not run" in (project / "results/tiny/tables/reproduction.md").read_text()
    assert "| Performer | ClippedRelativePerformer |" in (project / "results/tiny/tables/differences.md").read_text()
    shift = (project / "results/tiny/Digits_shift.csv").read_text().splitlines()
    assert shift[0] == "run_dir,shift,accuracy_mean,accuracy_std,loss_mean,loss_std"
    assert len(shift) == 1 + 4 * 7
    confusion = pd.read_csv(project / "results/tiny/Digits_confusion.csv")
    right = confusion[confusion["label"] == confusion["prediction"]].groupby("run_dir")["images"].sum()
    runs = pd.read_csv(project / "results/tiny/model_evaluations.csv").set_index("run_dir")
    assert confusion.groupby("run_dir")["images"].sum().to_dict() == runs["test_images"].to_dict()
    assert (right / runs["test_images"]).to_dict() == pytest.approx(runs["test/acc"].to_dict())
    times = pd.read_csv(project / "results/tiny/training_times.csv").set_index("run_dir")
    assert times["images_seen"].to_dict() == runs["images_seen"].to_dict()
    assert (times["seconds"] > 0).all()


def test_every_number_can_be_followed_to_its_run_data_and_weights(project):
    table = pd.read_csv(project / "results/tiny/tables/accuracy.csv")
    listed = "; ".join(table["run_dirs"]).split("; ")
    runs = {run["run_dir"]: run for run in json.loads((project / "results/tiny/provenance.json").read_text())}
    assert sorted(listed) == sorted(runs)
    loop = "relative_performer/training/loop.py"
    for run_dir, run in runs.items():
        assert run["checkpoint_sha256"] == checksum(project / run_dir / "checkpoints/best.ckpt")
        assert run["hparams"]["data_sha256"] == checksum(project / "data/Digits.npz")
        assert run["attempts"][0]["code"][loop] == checksum(project / "workflow/scripts" / loop)


def test_a_preview_marks_what_is_missing_untested_or_stale(project):
    assert list(preview_states(project).values()) == ["finished"] * 4
    file, run = project / "workflow/scripts/relative_performer/ops/favor.py", "Performer_Digits_linear_seed1"
    evaluation, before = project / f"results/tiny/evaluations/main/{run}.csv", file.read_text()
    evaluation.rename(project / "evaluation.csv")
    file.write_text(before + "\n# edited\n")
    states = preview_states(project)
    assert states.pop(run) == "untested"
    assert set(states.values()) == {"stale (edited relative_performer/ops/favor.py)"}
    table = (project / "results/tiny/preview/accuracy.md").read_text()
    assert "(1 stale, 1 untested)** | 1 |" in table
    file.write_text(before)
    (project / "evaluation.csv").rename(evaluation)
    config = yaml.safe_load((project / "tiny.yaml").read_text())
    config["experiments"]["main"]["seed"] = [1, 2]
    (project / "other.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "workflow/scripts/preview.py", "other.yaml"]
    said = subprocess.run(command, cwd=project, capture_output=True, check=True, text=True).stdout
    assert said.count("(1 waiting)") == 2
    failed = project / "results/tiny/runs/main/Performer_Digits_linear_seed2"
    failed.mkdir()
    (failed / "failure.txt").write_text("the loss became nan\n")
    said = subprocess.run(command, cwd=project, capture_output=True, check=True, text=True).stdout
    assert said.count("(1 waiting)") == said.count("(1 failed)") == 1
    shutil.rmtree(failed)


def test_a_second_run_has_nothing_to_do_even_after_a_fresh_checkout(project):
    assert "Nothing to be done" in snakemake(project, "all", "--dry-run").stdout
    for path in [project / "Snakefile", *project.glob("workflow/**/*.*"), *project.glob("envs/*")]:
        path.touch()
    assert stale(project) == set()


@pytest.mark.fault(2)
def test_a_killed_pipeline_ends_in_the_same_results(project, tmp_path):
    """First only Snakemake is killed while trainings start, then all its processes. The third command finishes."""
    folder, csv = checkout(tmp_path, TINY), "results/tiny/model_evaluations.csv"
    for kill, begun in ((os.kill, "hparams.yaml"), (os.killpg, "summary.json")):
        command = [sys.executable, "-m", "snakemake", csv, "--cores", "2", "--configfile", "tiny.yaml"]
        with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL, start_new_session=True) as process:
            deadline = time.monotonic() + 120
            while not [*folder.glob(f"results/tiny/runs/main/*/{begun}")]:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            kill(process.pid, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert snakemake(folder, csv, "--unlock").returncode == 0
    done = snakemake(folder, csv)
    assert done.returncode == 0, done.stderr
    assert (folder / csv).read_bytes() == (project / csv).read_bytes()


def test_figures_need_only_the_tables(project):
    shutil.move(project / "results/tiny/runs", project / "runs")
    (project / "figures/tiny/shift.png").unlink()
    assert stale(project, "figures") == {"plot_shift"}
    shutil.move(project / "runs", project / "results/tiny/runs")
    assert snakemake(project, "figures").returncode == 0


def test_a_wrong_configuration_ends_it_in_one_line(project):
    (project / "wrong.yaml").write_text("name: wrong\nexperiments: {a: {dataset: Digits, models: {Perfomer: }}}\n")
    command = [sys.executable, "-m", "snakemake", "all", "--cores", "1", "--configfile", "wrong.yaml"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if "profile" not in line]
    assert len(said) == 1, done.stderr
    assert "Perfomer" in said[0]


def checked(config: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    check_config(config)
    return expand(config)


def test_the_plan_counts_runs_and_their_cost():
    lines = report(checked({"data": {}, **TINY}), TINY["shift"], threads=1).splitlines()
    assert lines[1].split()[:3] == ["main,", "Performer", "2"]
    assert lines[3].startswith("all, and the data")
    assert lines[3].split()[4] == "4"
    least, hundred = map(float, lines[3].split()[5:7])
    assert 0 <= least == hundred < 0.1  # one epoch is the most that this configuration allows


def only(**experiment: Any) -> dict[str, Any]:
    return {"experiments": {"a": {"dataset": "MNIST", **experiment}}}


def test_alternatives_of_a_model_pair_their_options():
    own = [{"clipping_dist": 2, "batch_size": 22}, {"clipping_dist": [6, 8], "batch_size": 6}, {"dim": 8}]
    runs = checked({"data": {}, "options": {}} | {"name": "x"} | only(models={"ClippedRelativePerformer": own}))
    values = {run: (options["clipping_dist"], options["batch_size"]) for (_, run), options in runs.items()}
    assert values == {
        "ClippedRelativePerformer_MNIST_linear_clipping_dist2_batch_size22_seed0": (2, 22),
        "ClippedRelativePerformer_MNIST_linear_clipping_dist6_batch_size6_seed0": (6, 6),
        "ClippedRelativePerformer_MNIST_linear_clipping_dist8_batch_size6_seed0": (8, 6),
        "ClippedRelativePerformer_MNIST_linear_dim8_seed0": (8, 16),
    }


@pytest.fixture(scope="module")
def paper() -> dict[tuple[str, str], dict[str, Any]]:
    return checked(yaml.safe_load((REPOSITORY / "config.yaml").read_text()))


def test_the_paper_is_the_default(paper):
    runs = {key: run for key, run in paper.items() if key[0] == "main"}
    assert len(runs) == 3 * 36
    assert {(run["model"], run["dataset"], run["embedding_type"], run["seed"]) for run in runs.values()} == {
        (model, dataset, embedding, seed)
        for model in ("Performer", "NoposPerformer", "RelativePerformer", "ClippedRelativePerformer")
        for dataset in ("MNIST", "FashionMNIST", "CIFAR10")
        for embedding in ("linear", "MLP", "lookup")
        for seed in (0, 1, 2)
    }
    sizes = {(run["dim"], run["depth"], run["heads"], run["learning_rate"]) for run in runs.values()}
    assert sizes == {(256, 6, 8, 5e-5)}
    published = {"patience": 20, "test_checkpoint": "best", "gradient_clip_norm": 0.5, "beta2": 0.98}
    assert all(published.items() <= run.items() for run in runs.values())


def test_every_published_run_is_in_the_paper_with_three_seeds(paper):
    published = read_published(*(REPOSITORY / f"resources/published_{kind}.csv" for kind in ("evaluations", "cnn")))
    ours = pd.DataFrame([{name: str(value) for name, value in run.items()} for run in paper.values()]).fillna("")
    ours = ours.assign(scale="")
    for row in published.to_dict("records"):
        wanted = [row | {"content_rel_attn": row["content_rel_attn"] and "false"}]  # the model that ran
        for options in [*wanted, row] if row["content_rel_attn"] == "true" else wanted:
            assert len(matching(ours, options)) == 3, options
    assert not ours.drop(columns="scale").duplicated().any()


def test_the_baselines_have_their_own_protocol(paper):
    runs = {run: options for (experiment, run), options in paper.items() if experiment == "baselines"}
    assert len(runs) == 3 * 10
    assert {"AlexNet_MNIST_seed0", "VGG16_CIFAR10_seed0"} <= runs.keys()
    assert all("dim" not in options and options["max_epochs"] == 20 for options in runs.values())
    assert {options["learning_rate"] for options in runs.values()} == {2e-4, 3e-5}
    words = arguments(runs["ResNet18_CIFAR10_seed0"])
    assert "--patience 0 " in words
    assert "--gradient_clip_norm 0.0 " in words


@pytest.mark.parametrize("file", ["config.yaml", "config/demo.yaml", "config/mini.yaml", "config/smoke.yaml"])
def test_every_option_of_a_configuration_reaches_the_training(file):
    for options in checked({"options": {}} | yaml.safe_load((REPOSITORY / file).read_text())).values():
        assert options.items() <= vars(parse(arguments(options).split())).items()
