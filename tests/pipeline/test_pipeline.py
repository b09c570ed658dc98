"""The pipeline as a user runs it, on a few embedded images: its outputs, reruns, previews and plans."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

import plan
from compare_published import matching
from helpers import REPOSITORY, TINY, checkout, csv, preview_states, run_row, snakemake, stale
from relative_performer.config.grid import arguments, expand, figure_folders
from relative_performer.config.validate import check_config
from relative_performer.files import checksum
from relative_performer.results.published import read_published
from relative_performer.training.gpu_specs import GPUS
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
    assert "| linear | **best** | 2 |" in (project / "results/tiny/tables/differences.md").read_text()
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
    assert (times[["seconds", "core_seconds", "peak_bytes", "flop"]] > 0).all(axis=None)
    costs = pd.read_csv(project / "results/tiny/tables/costs.csv").set_index("model")
    for model, part in runs.groupby("model"):
        assert costs["core_seconds_mean"][model] == pytest.approx(times["core_seconds"][part.index].mean())
        assert costs["flop"][model] == times["flop"][part.index].sum()
    shift = pd.read_csv(project / "results/tiny/tables/shift.csv")
    assert (shift["edge"] == 3).all()


def test_the_report_opens_on_the_claim(project, tmp_path):
    page = (project / "results/tiny/claim.html").read_text()
    assert "<p>On Digits, " in page
    assert "<td>ClippedRelativePerformer</td><td>linear</td>" in page
    assert "<pre>snakemake all --cores 2 --configfile tiny.yaml</pre>" in page
    report = tmp_path / "report.html"
    assert snakemake(project, "all", "--report", str(report)).returncode == 0
    text = report.read_text()
    landing, categories = (
        json.loads(re.search(rf"var {name} = (.*);\n", text)[1]) for name in ("workflow_desc", "categories")
    )
    assert page in landing
    assert landing.index("<img") < landing.index("The configuration")
    assert min(categories) == "Claim"
    (shown,) = categories["Claim"].values()
    assert set(shown) == {"results/tiny/claim.html", "results/tiny/tables/accuracy.csv", "figures/tiny/shift.png"}


def test_the_command_has_the_values_of_the_command_line(project):
    words = ["--config", "limit_test=8", "shift={min_shift: 2}", "--dry-run", "--printshellcmds"]
    done = snakemake(project, "results/tiny/claim.html", *words)
    (line,) = (line for line in done.stdout.splitlines() + done.stderr.splitlines() if "write_claim.py" in line)
    command = shlex.split(line)[shlex.split(line).index("--command") + 1]
    assert command.startswith("snakemake all --cores 2 --configfile tiny.yaml --config ")
    given = shlex.split(command)[-2:]
    assert given == ["limit_test=8", 'shift={"min_shift": "2"}']
    again = snakemake(project, "results/tiny/claim.html", "--config", *given, *words[-2:])
    assert line in again.stdout + again.stderr  # text inside a value is parsed as if it stood alone


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


def test_a_configuration_that_one_page_cannot_hold_has_figures_by_experiment(tmp_path):
    embeddings = {"dataset": "Digits", "embedding_type": ["linear", "MLP", "lookup"], "models": {"Performer": {}}}
    config = TINY | {"experiments": dict.fromkeys("abcd", embeddings)}
    folder = checkout(tmp_path, config)
    rows = [
        run_row(run["model"], run["dataset"], embedding=run["embedding_type"], experiment=experiment)
        for (experiment, _), run in checked(config).items()
    ]
    for path in ("results/tiny/model_evaluations.csv", "figures/tiny/accuracy.png", "figures/tiny/e/accuracy.png"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        csv(folder / path, rows)  # the figures are of earlier configurations
    done = snakemake(folder, "figures/tiny/b/accuracy.png", "--allowed-rules", "plot_accuracy")
    assert done.returncode == 0, done.stderr
    assert (folder / "figures/tiny/b/accuracy.png").read_bytes().startswith(b"\x89PNG")
    command = [sys.executable, "workflow/scripts/status.py", "tiny.yaml"]
    said = subprocess.run(command, cwd=folder, capture_output=True, check=True, text=True).stdout
    others = said.partition("not in the configuration:\n")[2].split()
    assert others == ["figures/tiny/accuracy.png", "figures/tiny/e/accuracy.png"]


@pytest.mark.parametrize(
    ("file", "folders"),
    [
        ("config.yaml", 7),
        ("config/smoke.yaml", ["main", "clipping", "baselines"]),
        ("config/mini.yaml", [""]),
        ("config/rivals.yaml", [""]),
    ],
)
def test_figures_have_folders_if_a_page_cannot_hold_all_experiments(file, folders):
    found = figure_folders(checked({"options": {}} | yaml.safe_load((REPOSITORY / file).read_text())))
    assert folders in (found, len(found))


def test_a_wrong_configuration_ends_it_in_one_line(project):
    (project / "wrong.yaml").write_text("name: wrong\nexperiments: {a: {dataset: Digits, models: {Perfomer: }}}\n")
    command = [sys.executable, "-m", "snakemake", "all", "--cores", "1", "--configfile", "wrong.yaml"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if "profile" not in line]
    assert len(said) == 1, done.stderr
    assert "Perfomer" in said[0]


def test_redraws_are_tested_for_every_run(project, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(project, folder)
    done = snakemake(folder, "redraws")
    assert done.returncode == 0, done.stderr
    draws = pd.read_csv(folder / "results/tiny/Digits_redrawn.csv")
    assert draws.groupby("run_dir")["draw"].apply(list).tolist() == 4 * [[0, 1, 2, 3]]
    table = pd.read_csv(folder / "results/tiny/tables/redraw.csv")
    assert table["n_seeds"].tolist() == [2, 2]
    assert (table["jump_mean"] != 0).all()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.fault
def test_a_gpu_that_is_missing_ends_the_pipeline_before_its_first_job(project, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(project, folder)
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY | {"gpus": 1}))
    assert stale(folder) == set()
    assert snakemake(folder, "all").returncode == 0  # nothing needs a GPU
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY | {"gpus": 1, "limit_test": 8}))
    assert "test" in stale(folder)
    done = snakemake(folder, "all")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: 1 GPU(s) requested, but torch")
    assert "Finished jobid" not in done.stderr


def test_circular_shifts_along_both_axes_are_tested_and_drawn(project, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(project, folder)
    shift = {"axis": "both", "circular": True, "min_shift": 1}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY | {"shift": shift}))
    assert stale(folder) == {"test_shifted", "collect_tests", "plot_shift", "claim"}
    done = snakemake(folder, "all")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(folder / "results/tiny/Digits_shift.csv")
    assert len(table) == 4 * 9
    assert set(zip(table["shift"], table["row_shift"], strict=True)) == {(c, r) for c in (-1, 0, 1) for r in (-1, 0, 1)}
    assert table["circular"].all()
    assert (folder / "figures/tiny/shift.png").read_bytes() != (project / "figures/tiny/shift.png").read_bytes()


RUN = "results/tiny/runs/main/Performer_Digits_linear_seed0"


@pytest.mark.fault
@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        (f"{RUN}/hparams.yaml", b"dim: [8\n", "cannot be read"),
        (f"{RUN}/hparams.yaml", b"[dim]\n", "not a mapping of options to values"),
        (f"{RUN}/hparams.yaml", b"dim: 8", "cut short; restore it, or delete the folder to train the run anew"),
        (f"{RUN}/provenance.json", b"[{", "cannot be read"),
        (f"{RUN}/provenance.json", b"{}\n", "not a list of attempts, each with its code"),
        ("results/tiny/records.json", None, "Is a directory"),
        ("results/tiny/records.json", b"[", "cannot be read"),
        ("results/tiny/records.json", b'{"folders": {}, "files": {"x": {}}}', "restore it, or delete it"),
    ],
)
def test_damaged_results_end_it_in_one_line(project, tmp_path, file, content, said):
    shutil.move(project / file, tmp_path / "whole")
    (project / file).mkdir() if content is None else (project / file).write_bytes(content)
    done = snakemake(project, "all", "--dry-run")
    (project / file).rmdir() if content is None else (project / file).unlink()
    shutil.move(tmp_path / "whole", project / file)
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if "profile" not in line)
    assert file in line
    assert said in line
    assert stale(project) == set()


def checked(config: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    check_config(config)
    return expand(config)


def test_the_plan_counts_runs_and_their_cost():
    runs = checked({"data": {}, **TINY})
    lines = plan.report(runs, plan.run_costs(runs, TINY["shift"], threads=1), threads=1).splitlines()
    assert lines[1].split()[:3] == ["main,", "Performer", "2"]
    assert lines[3].startswith("all, and the data")
    assert lines[3].split()[4] == "4"
    least, hundred = map(float, lines[3].split()[5:7])
    assert 0 <= least == hundred < 0.1  # one epoch is the most that this configuration allows


def test_the_plan_for_a_gpu_is_the_roofline_of_its_data_sheet(tmp_path):
    runs = checked({"data": {}, **TINY})
    costs = {name: plan.run_costs(runs, TINY["shift"], 1, GPUS[name]) for name in ("H100", "L4")}
    plans = {name: plan.report(runs, costs[name], 1, GPUS[name]) for name in costs}
    assert plans["H100"].endswith("A lower bound for one H100 (80 GB, 3,350 GB/s), one run after the other.")
    slow, fast = (float(plans[name].splitlines()[1].split()[3]) for name in ("L4", "H100"))
    assert 0 <= fast <= slow
    plan.write_runs(tmp_path / "plan.csv", costs["L4"], "L4")
    hours = pd.read_csv(tmp_path / "plan.csv").set_index(["experiment", "run"])["hours"]
    assert [*hours.index] == [*runs]
    assert hours.sum() == pytest.approx(slow, abs=0.01)


def only(**experiment: Any) -> dict[str, Any]:
    return {"experiments": {"a": {"dataset": "MNIST", **experiment}}}


def test_alternatives_of_a_model_pair_their_options():
    own = [{"clipping_dist": 2, "batch_size": 22}, {"clipping_dist": [6, 8], "batch_size": 6}, {"dim": 8}]
    runs = checked({"data": {}, "options": {}} | {"name": "x"} | only(models={"ClippedRelativePerformer": own}))
    values = {run: (options["clipping_dist"], options["batch_size"]) for (_, run), options in runs.items()}
    assert values == {
        "ClippedRelativePerformer_MNIST_linear_clipping_dist2_batch_size22_seed0": (2, 22),
        "ClippedRelativePerformer_MNIST_linear_clipping_dist6_batch_size6_seed0": (6, 6),
        "ClippedRelativePerformer_MNIST_linear_batch_size6_seed0": (8, 6),  # 8 is the default
        "ClippedRelativePerformer_MNIST_linear_dim8_seed0": (8, 16),
    }


SINGLE = st.sampled_from([{}, {"depth": 2}, {"depth": 4, "warmup": 9}, {"schedule": "noam", "learning_rate": 1e-4}])
GRID = st.fixed_dictionaries(
    {},
    optional={
        "depth": st.lists(st.integers(1, 6), min_size=1, max_size=3, unique=True),
        "warmup": st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True),
        "learning_rate": st.lists(st.sampled_from([1e-3, 1e-4, 5e-5]), min_size=1, max_size=3, unique=True),
        "seed": st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True),
    },
)


@given(SINGLE, SINGLE, GRID, GRID)
def test_the_name_of_a_run_does_not_depend_on_its_grid(everywhere, of_experiment, grid, own):
    def expanded(grid: dict[str, Any], own: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
        experiment = only(options=of_experiment, **grid, models={"Performer": own})
        return checked({"name": "x", "options": everywhere} | experiment)

    runs = expanded(grid, own)
    for (experiment, name), options in runs.items():
        alone = [{key: options[key] for key in part} for part in (grid, own)]
        assert expanded(*alone) == {(experiment, name): options}
    if "depth" in grid:
        assert runs.items() <= expanded(grid | {"depth": [7, *grid["depth"], 8]}, own).items()


def test_an_option_of_a_model_or_of_the_configuration_can_become_a_list():
    def expanded(depth: Any, pos_scales: Any) -> dict[tuple[str, str], dict[str, Any]]:
        experiment = only(models={"RelativePerformer": {"pos_scales": pos_scales} if pos_scales else None})
        return checked({"name": "x", "options": {"depth": depth}} | experiment)

    for depth, more in ((2, [2, 4]), ([2, 4], [2, 4, 1])):
        for pos_scales, others in ((1, [1, 2]), (2, [1, 2]), ([1, 2], [3, 1, 2]), (None, [16, 4])):
            assert expanded(depth, pos_scales).items() < expanded(more, others).items()


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
