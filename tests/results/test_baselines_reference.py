"""The reference results of the baselines: runs of their configuration, in full."""

import json

import pandas as pd

import compare_published
from helpers import REPOSITORY
from relative_performer.config.grid import expand
from relative_performer.config.validate import read_configs
from relative_performer.results.published import read_published
from relative_performer.results.read import read_evaluations

CONFIG = REPOSITORY / "config" / "baselines.yaml"
REFERENCE = REPOSITORY / "resources" / "reference" / "baselines"


def test_the_reference_has_runs_of_the_configuration():
    runs = {f"results/baselines/runs/{'/'.join(key)}" for key in expand(read_configs([CONFIG]))}
    tables = {path.stem: set(pd.read_csv(path)["run_dir"]) for path in REFERENCE.glob("*.csv")}
    evaluated = tables["model_evaluations"]
    assert evaluated <= runs
    assert tables["training_times"] == evaluated
    assert {run["run_dir"] for run in json.loads((REFERENCE / "provenance.json").read_text())} == evaluated
    for dataset in ("MNIST", "FashionMNIST"):
        assert tables.get(f"{dataset}_shift", set()) == {run for run in evaluated if f"_{dataset}_" in run}


def test_they_are_full_runs_of_the_published_protocol():
    published = read_published(*(REPOSITORY / f"resources/published_{name}.csv" for name in ("evaluations", "cnn")))
    runs = read_evaluations(REFERENCE / "model_evaluations.csv")
    table = compare_published.reproduction(runs, published)
    ran = table[table["status"] != "not run"]
    assert set(ran["status"]) == {"full"}
    assert ran["n_seeds"].sum() == len(runs)
