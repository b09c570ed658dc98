"""The reference results of the baselines: runs of their configuration, in full."""

import json
from pathlib import Path

import pandas as pd

import compare_published
import tabulate_shifts
from helpers import REPOSITORY
from relative_performer.config.grid import expand
from relative_performer.config.validate import read_configs

CONFIG = REPOSITORY / "config" / "baselines.yaml"
REFERENCE = REPOSITORY / "resources" / "reference" / "baselines"
EVALUATIONS = REFERENCE / "model_evaluations.csv"
DOCUMENTATION = REPOSITORY / "docs" / "reproduction.md"


def test_the_reference_has_every_table_of_its_runs_which_are_of_the_configuration():
    runs = {f"results/baselines/runs/{'/'.join(key)}" for key in expand(read_configs([CONFIG]))}
    tables = {path.stem: set(pd.read_csv(path)["run_dir"]) for path in REFERENCE.glob("*.csv")}
    evaluated = tables["model_evaluations"]
    assert evaluated == runs
    assert tables["training_times"] == evaluated
    assert {run["run_dir"] for run in json.loads((REFERENCE / "provenance.json").read_text())} == evaluated
    for dataset in ("MNIST", "FashionMNIST"):
        assert tables.get(f"{dataset}_shift", set()) == {run for run in evaluated if f"_{dataset}_" in run}


def test_they_are_full_runs_of_the_published_protocol_and_the_documentation_has_their_rows(tmp_path):
    published, cnn = (REPOSITORY / f"resources/published_{name}.csv" for name in ("evaluations", "cnn"))
    words = [EVALUATIONS, "--published", published, "--cnn", cnn, "--out", tmp_path]
    compare_published.main([str(word) for word in words])
    table = pd.read_csv(tmp_path / "reproduction.csv")
    ran = table[table["status"] != "not run"]
    assert set(ran["status"]) == {"full"}
    assert ran["n_seeds"].sum() == len(pd.read_csv(EVALUATIONS))
    rows = rows_of(tmp_path / "reproduction.md")
    assert len(rows) == 2 + len(ran)
    assert "\n".join(rows) in DOCUMENTATION.read_text()


def test_the_documentation_has_their_accuracy_under_shifts(tmp_path):
    shifts = [f"{dataset}={REFERENCE / dataset}_shift.csv" for dataset in ("MNIST", "FashionMNIST")]
    words = ["--evaluations", str(EVALUATIONS), "--shift", *shifts, "--out", str(tmp_path)]
    tabulate_shifts.main(words)
    assert "\n".join(rows_of(tmp_path / "shift.md")) in DOCUMENTATION.read_text()


def test_the_documentation_has_the_validation_of_resnet18_on_fashionmnist():
    curves = pd.read_csv(REFERENCE / "learning_curves.csv")
    curves = curves[curves["run_dir"].str.contains("ResNet18_FashionMNIST")]
    loss, accuracy = (curves.pivot(index="epoch", columns="run_dir", values=f"val/{name}") for name in ("loss", "acc"))
    assert loss.shape == (20, 2)
    assert (loss.idxmin() == 5).all()
    (low, other_low), (last, other_last) = loss.min(), loss.loc[19]
    text = " ".join(DOCUMENTATION.read_text().split())
    assert (
        f"The validation losses of seeds 1 and 2 are lowest after 6 epochs, {low:.3f} and {other_low:.3f}, and rise to "
        f"{last:.3f} and {other_last:.3f} after 20."
    ) in text
    lowest, highest = accuracy.loc[10:].min().min(), accuracy.loc[10:].max().max()
    assert f"of these seeds is between {100 * lowest:.1f} and {100 * highest:.1f} %" in text


def rows_of(page: Path) -> list[str]:
    """Return the lines of the tables of a page."""
    return [line for line in page.read_text().splitlines() if line.startswith("|")]
