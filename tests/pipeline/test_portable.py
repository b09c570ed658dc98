"""Results survive what users do with them: copying, deleting, other folders, the command line's --config."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from helpers import REPOSITORY, TINY, checkout, jobs, snakemake, stale

RUN = "results/tiny/runs/main/Performer_Digits_linear_seed1"


@pytest.fixture
def copy(project, tmp_path) -> Path:
    """A copy of the finished project, whose files have new times in no order."""
    folder = tmp_path / "copy"
    shutil.copytree(project, folder, copy_function=shutil.copy)
    return folder


def test_copied_results_repeat_nothing_with_or_without_records(copy):
    assert stale(copy) == set()
    shutil.rmtree(copy / ".snakemake")
    assert stale(copy) == set()
    shutil.move(copy / "data", copy / "elsewhere")
    (copy / "tiny.yaml").write_text(yaml.safe_dump(TINY | {"data": {"path": "elsewhere"}}))
    assert stale(copy) == set()
    shutil.rmtree(copy / "elsewhere")
    assert stale(copy) == set()


def test_without_records_a_changed_option_trains_again_by_name(copy):
    shutil.rmtree(copy / ".snakemake")
    (copy / "tiny.yaml").write_text(yaml.safe_dump(TINY | {"options": TINY["options"] | {"dim": 16}}))
    said = snakemake(copy, "all", "--dry-run").stderr
    assert said.count("is made again: option dim was 8") == 4
    assert f"{RUN}/summary.json is made again" in said
    assert "train" in stale(copy)


@pytest.mark.parametrize(
    ("changes", "rules"),
    [
        ({"limit_test": 8}, {"test", "test_shifted"}),
        ({"shift": {"min_shift": 2}}, {"test_shifted", "shift_examples"}),
        ({"experiments": {"main": TINY["experiments"]["main"] | {"seed": 0}}}, {"collect_evaluations", "collect_runs"}),
    ],
)
def test_without_snakemakes_records_every_parameter_counts(copy, changes, rules):
    shutil.rmtree(copy / ".snakemake")
    (copy / "tiny.yaml").write_text(yaml.safe_dump(TINY | changes))
    found = stale(copy)
    assert rules <= found
    assert "train" not in found


@pytest.mark.parametrize("records", [True, False])
def test_a_copy_made_between_training_and_test_is_tested(copy, tmp_path, records):
    (copy / "tiny.yaml").write_text(yaml.safe_dump(TINY | {"options": TINY["options"] | {"dim": 16}}))
    done = snakemake(copy, f"{RUN}/summary.json")
    assert done.returncode == 0, done.stderr
    again = shutil.copytree(copy, tmp_path / "again", copy_function=shutil.copy)
    if not records:
        shutil.rmtree(again / ".snakemake")
    name = Path(RUN).name
    tests = [f"results/tiny/{kind}/main/{name}.csv" for kind in ("evaluations", "shift")]
    assert jobs(again, *tests) == {"test": 1, "test_shifted": 1}


def test_results_that_lost_their_hidden_files_repeat_nothing(project, tmp_path):
    shutil.copytree(project, tmp_path / "copy", copy_function=shutil.copy, ignore=shutil.ignore_patterns(".*"))
    assert stale(tmp_path / "copy") == set()


def test_a_copy_opens_only_what_it_makes_itself(copy):
    (copy / "data/Digits.npz").unlink()
    done = snakemake(copy, "data/Digits.npz")
    assert done.returncode == 0, done.stderr
    assert "Open these" not in done.stdout + done.stderr


def test_a_new_run_without_the_data_leaves_the_finished_ones(copy):
    shutil.rmtree(copy / "data")
    main = TINY["experiments"]["main"] | {"models": {"Performer": {}}, "seed": [0, 1, 2]}
    (copy / "tiny.yaml").write_text(yaml.safe_dump(TINY | {"experiments": {"main": main}}))
    counts = jobs(copy)
    names = ("prepare_data", "train", "test", "test_shifted", "shift_examples")
    assert {name: counts.get(name, 0) for name in names} == dict.fromkeys(names, 1) | {"shift_examples": 0}


def test_deleted_results_come_back(copy):
    summary = json.loads((copy / RUN / "summary.json").read_text())
    names = ["model_evaluations.csv", "learning_curves.csv", "Digits_shift.csv", "Digits_confusion.csv"]
    deleted = [copy / "results/tiny" / name for name in names]
    deleted += [copy / RUN / "summary.json", copy / "results/tiny/tables/accuracy.md", copy / "figures/tiny/cost.pdf"]
    before = {path: path.read_bytes() for path in deleted[:4]}
    for path in deleted:
        path.unlink()
    done = snakemake(copy, "all")
    assert done.returncode == 0, done.stderr
    assert all(path.exists() for path in deleted)
    assert {path: path.read_bytes() for path in before} == before
    log = (copy / f"results/tiny/logs/train/main/{Path(RUN).name}.log").read_text()
    assert log.startswith("resuming")
    assert "\nepoch 0 " not in log  # not trained again
    again = json.loads((copy / RUN / "summary.json").read_text())
    assert again | {"peak_bytes": summary["peak_bytes"]} == summary  # the memory is that of the last process


@pytest.mark.parametrize(
    "words", [["-s", "{project}/Snakefile"], ["-s{project}/Snakefile"], ["--directory", "{elsewhere}"]]
)
def test_the_pipeline_runs_in_any_folder(project, tmp_path, words):
    folder = project if "--directory" in words else tmp_path
    words = [word.format(project=project, elsewhere=tmp_path) for word in words]
    target = "results/tiny/Digits_examples.csv"
    command = [sys.executable, "-m", "snakemake", target, *words, "--configfile", str(project / "tiny.yaml")]
    ascii = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    environment = os.environ | ascii | {"PYTHONSAFEPATH": "1"}
    command += ["--cores", "1"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / target).exists()


def test_the_plan_is_that_of_the_merged_configuration(project):
    words = ["--config", "options={seed: [1, 2, 3], dim: 8, depth: 1, heads: 2}", "shift={min_shift: 2}"]
    done = snakemake(project, "plan", *words)
    assert done.returncode == 0, done.stderr
    (row,) = [line.split() for line in done.stdout.splitlines() if line.startswith("main, Performer")]
    assert row[2] == "2"  # the experiment has seeds of its own
    assert "Open these" not in done.stdout + done.stderr


def test_nested_values_of_the_command_line_have_their_types(project):
    options = "options={dim: 8, depth: 1, heads: 2, no_projection: true}"
    words = ["--config", options, "shift={min_shift: 2, labels: [3]}"]
    assert snakemake(project, "all", "--dry-run", *words).returncode == 0
    said = snakemake(project, "all", "--dry-run", "--config", "shift={min_shift: two}").stderr
    assert "shift.min_shift: 'two' is text, not an integer" in said
    words = ["limit_test=null", "data={path: 'some #data'}"]
    said = snakemake(project, "all", "--dry-run", "--config", *words).stderr
    assert "data.path: 'some #data' is not a path of letters" in said


def without_root(*command: str) -> list[str]:
    """Return a command for which permissions hold, also if the tests run as root."""
    rights = "-dac_override,-dac_read_search"
    return [*(["setpriv", "--bounding-set", rights, "--inh-caps", rights] if os.geteuid() == 0 else []), *command]


@pytest.mark.fault
def test_home_need_not_be_writable(project, tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o555)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "MPL"))}
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", "tiny.yaml", "--forcerun"]
    done = subprocess.run(
        without_root(*command, "plot_cost", "--", "figures/tiny/cost.pdf"),
        cwd=project, env=environment | {"HOME": str(home)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "HOME cannot be written: caches are in" in done.stderr
    assert not (project / "results/tiny/logs/plot_cost.log").read_text()


@pytest.mark.fault
def test_a_read_only_checkout_runs_elsewhere(project, tmp_path):
    folder = checkout(tmp_path / "checkout", TINY)
    folder.chmod(0o555)
    command = [sys.executable, "-m", "snakemake", "all", "--dry-run", "--configfile", str(folder / "tiny.yaml")]
    done = subprocess.run(without_root(*command), cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if "profile" not in line)
    assert line == f"error: cannot write in {folder}: start snakemake elsewhere, with -s {folder}/Snakefile"
    for words in (["-s", f"{folder}/Snakefile"], ["-s", f"{folder}/Snakefile", "--directory", str(project)]):
        done = subprocess.run(without_root(*command, *words), cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert "Nothing to be done" in done.stdout + done.stderr
    folder.chmod(0o755)


def test_a_removed_model_is_named_and_shown_nowhere(copy):
    whole = (copy / "tiny.yaml").read_text()
    experiment = TINY["experiments"]["main"] | {"models": {"Performer": {}}}
    (copy / "tiny.yaml").write_text(yaml.safe_dump(TINY | {"experiments": {"main": experiment}}))
    said = status(copy)
    assert "2 runs: 2 finished" in said
    removed = "ClippedRelativePerformer_Digits"
    runs = [f"{removed}_linear_seed{seed}" for seed in (0, 1)]
    results, figures = Path("results/tiny"), Path("figures/tiny")
    assert {Path(line.strip()) for line in said.partition("not in the configuration:\n")[2].splitlines()} == {
        *(results / "runs/main" / run for run in runs),
        *(results / kind / f"main/{run}.csv" for kind in ("evaluations", "confusion", "shift") for run in runs),
        results / f"attention/{removed}.csv",
        *(figures / f"attention_{removed}.{kind}" for kind in ("pdf", "png")),
    }
    done = snakemake(copy, "all")
    assert done.returncode == 0, done.stderr
    opened = done.stdout.partition("Open these:\n")[2]
    assert "figures/tiny/shift.png" in opened
    assert removed not in opened
    assert snakemake(copy, "all", "--report", "report.html").returncode == 0
    report = (copy / "report.html").read_text()
    assert "figures/tiny/shift.png" in report
    assert removed not in report
    (copy / "tiny.yaml").write_text(whole)
    assert "not in the configuration" not in status(copy)


def status(folder):
    command = [sys.executable, REPOSITORY / "workflow/scripts/status.py", "tiny.yaml"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
