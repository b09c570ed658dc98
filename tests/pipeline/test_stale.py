"""What makes finished work stale: options, data, and the code that computes its numbers; nothing else."""

import json
import os
import re
import shutil
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml

from helpers import REPOSITORY, TINY, preview_states, snakemake, stale
from relative_performer.runs.code import training_code

PACKAGE = "workflow/scripts/relative_performer"
CLIPPED = "ClippedRelativePerformer"
FIGURES = {"plot_shift", "plot_accuracy", "plot_curves", "plot_cost", "plot_confusion"}
MAPS = {"relative_attention", "plot_attention"}
COLLECTED = {"collect_evaluations", "collect_tests", "collect_runs"}
TESTED = {"collect_evaluations", "collect_tests", "make_tables", "tabulate_shifts", *FIGURES, "claim"}
SHIFTED = {"test_shifted", "collect_tests", "tabulate_shifts", "plot_shift", "claim"}
TRAINED = {"train", "test", "test_shifted", "collect_runs", *TESTED, *MAPS}
NOTHING: set[str] = set()

# file → the rules that an edit of it makes stale
EDITS = {
    # the training loop, data to batches, and what all models of the configuration share
    f"{PACKAGE}/training/loop.py": TRAINED,
    f"{PACKAGE}/data/batches.py": TRAINED,
    f"{PACKAGE}/data/prepared.py": TRAINED | {"shift_examples"},
    f"{PACKAGE}/ops/favor.py": TRAINED,
    # measurements
    f"{PACKAGE}/evaluation/test.py": {"test", *TESTED},
    f"{PACKAGE}/evaluation/shift_test.py": SHIFTED,
    f"{PACKAGE}/evaluation/trained_run.py": {"test", "test_shifted", *TESTED},
    f"{PACKAGE}/models/clipped_relative_performer/attention_map.py": MAPS,
    # tables and figures, which depend on the declarations of models
    f"{PACKAGE}/results/plotting.py": {*FIGURES, "plot_attention", "claim"},
    "workflow/scripts/plot_cost.py": {"plot_cost"},
    "workflow/scripts/compare_models.py": {"make_tables", "claim"},
    "workflow/scripts/tabulate_shifts.py": {"tabulate_shifts", "claim"},
    f"{PACKAGE}/results/claim.py": {"claim"},
}
# other models, other measurements, command lines, help, messages, interruption, progress, costs, provenance,
# the plan, the page of claims, validation of configurations, comments in rules
HARMLESS = [
    # prepared data stay as they are
    f"{PACKAGE}/data/archives.py",
    f"{PACKAGE}/data/decode.py",
    f"{PACKAGE}/data/download.py",
    "workflow/scripts/prepare_data.py",
    f"{PACKAGE}/evaluation/equivariance.py",  # not part of `all`
    f"{PACKAGE}/evaluation/redraw_test.py",
    "workflow/scripts/tabulate_redraws.py",
    f"{PACKAGE}/models/nopos_performer/model.py",
    f"{PACKAGE}/models/relative_performer/model.py",
    f"{PACKAGE}/models/vgg16/model.py",
    f"{PACKAGE}/models/baseline.py",
    f"{PACKAGE}/models/performer/naive.py",
    "workflow/scripts/train.py",
    "workflow/scripts/test.py",
    "workflow/scripts/test_shifted.py",
    f"{PACKAGE}/cli.py",
    f"{PACKAGE}/errors.py",
    f"{PACKAGE}/options.py",
    f"{PACKAGE}/training/failures.py",
    f"{PACKAGE}/training/devices.py",
    f"{PACKAGE}/training/interruption.py",
    f"{PACKAGE}/training/train.py",
    f"{PACKAGE}/training/progress.py",
    f"{PACKAGE}/training/costs.py",
    f"{PACKAGE}/training/roofline.py",
    f"{PACKAGE}/runs/progress.py",
    f"{PACKAGE}/runs/folders.py",
    f"{PACKAGE}/runs/provenance.py",
    f"{PACKAGE}/runs/code.py",
    "workflow/scripts/plan.py",
    "workflow/scripts/status.py",
    "workflow/scripts/tabulate_claims.py",
    f"{PACKAGE}/results/claims.py",
    f"{PACKAGE}/results/evidence.py",
    f"{PACKAGE}/config/grid.py",
    f"{PACKAGE}/config/options.py",
    f"{PACKAGE}/config/validate.py",
    "workflow/schemas/config.schema.yaml",
    "Snakefile",
    "workflow/rules/common.smk",
    "workflow/rules/train.smk",
    "workflow/rules/test.smk",
    "workflow/rules/figures.smk",
    "profiles/default/profile.yaml",
]


@contextmanager
def replaced(path: Path, content: bytes):
    """Replace the content of a file, and restore it at the end."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def edited(path: Path):
    """Append a comment to a file, and restore it at the end."""
    return replaced(path, path.read_bytes() + b"\n# edited\n")


@pytest.mark.parametrize("file", EDITS)
def test_an_edit_makes_stale_what_it_computes(project, file):
    with edited(project / file):
        assert stale(project) == EDITS[file]


def test_edits_of_what_computes_no_number_make_nothing_stale(project):
    with ExitStack() as edits:
        for file in HARMLESS:
            edits.enter_context(edited(project / file))
        assert stale(project) == NOTHING
        assert set(preview_states(project).values()) == {"finished"}


def test_the_pipeline_and_the_preview_know_the_same_code(project):
    code = {
        path: json.loads(path.read_text())[-1]["code"] for path in project.glob("results/tiny/runs/*/*/provenance.json")
    }
    for path, files in code.items():
        recorded = {project / "workflow/scripts" / name for name in files}
        model = path.parent.name.partition("_")[0]
        expected = {project / file.relative_to(REPOSITORY) for file in training_code(model)}
        assert recorded == expected
    assert len(code) == 4


def test_an_edit_of_one_model_leaves_the_others(project):
    with edited(project / PACKAGE / "models/clipped_relative_performer/model.py"):
        said = snakemake(project, "all", "--dry-run")
        trained = re.findall(r"train main/(\S+)", said.stdout + said.stderr)
        states = preview_states(project)
    assert len(trained) == 2
    assert all(run.startswith(CLIPPED) for run in trained)
    assert {run for run, state in states.items() if state.startswith("stale")} == set(trained)


@pytest.mark.parametrize("declaration", ["models/clipped_relative_performer/__init__.py", "data/datasets/digits.py"])
def test_declarations_make_no_run_stale(project, declaration):
    """Help texts, labels, colours, names of classes, mirrors: tables and figures show some of them."""
    with edited(project / PACKAGE / declaration):
        shown = {*FIGURES, "plot_attention", "make_tables", "tabulate_shifts", "claim", *COLLECTED}
        assert stale(project) - {"shift_examples"} == shown
        assert set(preview_states(project).values()) == {"finished"}


@pytest.mark.parametrize(
    ("key", "value", "rules"),
    [
        ("options", TINY["options"] | {"learning_rate": 0.01}, TRAINED),
        (
            "shift",
            {"min_shift": 2},
            {*SHIFTED, "shift_examples"},
        ),
        ("limit_test", 8, {"test", "test_shifted", *TESTED}),
        ("threads", 2, NOTHING),
        ("data", {"mirror": "elsewhere"}, NOTHING),
    ],
)
def test_an_option_makes_stale_what_it_changes(project, key, value, rules):
    with replaced(project / "tiny.yaml", yaml.safe_dump(TINY | {key: value}).encode()):
        assert stale(project) == rules


def test_the_content_of_prepared_data_decides_and_not_its_time(project, tmp_path):
    file = project / "data/Digits.npz"
    for moment in (0, 2**31):  # long ago, and in the future
        os.utime(file, (moment, moment))
        assert stale(project) == NOTHING
    shutil.move(file, tmp_path / "Digits.npz")
    with np.load(tmp_path / "Digits.npz") as content:
        arrays = dict(content)
    np.savez(file, **arrays | {"train_labels": arrays["train_labels"][::-1]})
    assert stale(project) == TRAINED | {"shift_examples"}
    assert {state.split(" (")[1] for state in preview_states(project).values()} == {"other data)"}
    shutil.move(tmp_path / "Digits.npz", file)
    assert stale(project) == NOTHING


def test_classes_and_normalisation_of_a_dataset_make_its_runs_stale(project):
    entry = project / PACKAGE / "data/datasets/digits.py"
    other = entry.read_text().replace("normalisation=((0.5,), (0.5,))", "normalisation=None")
    with replaced(entry, other.encode()):
        assert "train" in stale(project)
        assert {state.split()[0] for state in preview_states(project).values()} == {"stale"}
