"""The reference results of the baselines: runs of their configuration, in full."""

import json

import pandas as pd

import compare_published
from helpers import REPOSITORY
from relative_performer.config.grid import expand
from relative_performer.config.validate import read_configs

CONFIG = REPOSITORY / "config" / "baselines.yaml"
REFERENCE = REPOSITORY / "resources" / "reference" / "baselines"


def test_the_reference_has_every_table_of_its_runs_which_are_of_the_configuration():
    runs = {f"results/baselines/runs/{'/'.join(key)}" for key in expand(read_configs([CONFIG]))}
    tables = {path.stem: set(pd.read_csv(path)["run_dir"]) for path in REFERENCE.glob("*.csv")}
    evaluated = tables["model_evaluations"]
    assert evaluated <= runs
    assert tables["training_times"] == evaluated
    assert {run["run_dir"] for run in json.loads((REFERENCE / "provenance.json").read_text())} == evaluated
    for dataset in ("MNIST", "FashionMNIST"):
        assert tables.get(f"{dataset}_shift", set()) == {run for run in evaluated if f"_{dataset}_" in run}


def test_they_are_full_runs_of_the_published_protocol_and_the_documentation_has_their_rows(tmp_path):
    published, cnn = (REPOSITORY / f"resources/published_{name}.csv" for name in ("evaluations", "cnn"))
    evaluations = REFERENCE / "model_evaluations.csv"
    words = [evaluations, "--published", published, "--cnn", cnn, "--out", tmp_path]
    compare_published.main([str(word) for word in words])
    table = pd.read_csv(tmp_path / "reproduction.csv")
    ran = table[table["status"] != "not run"]
    assert set(ran["status"]) == {"full"}
    assert ran["n_seeds"].sum() == len(pd.read_csv(evaluations))
    rows = [line for line in (tmp_path / "reproduction.md").read_text().splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(ran)
    assert "\n".join(rows) in (REPOSITORY / "docs" / "reproduction.md").read_text()
