"""The configuration rivals: the choice of its sizes, and its reference results."""

import re
from collections import Counter

import pandas as pd
import pytest

import compare_reference
from helpers import PERFORMERS, REPOSITORY, RIVALS
from relative_performer.config.grid import expand
from relative_performer.config.validate import read_configs

REFERENCES = REPOSITORY / "resources" / "reference"
DATASETS = ("MNIST16", "FashionMNIST16")


def runs_of(name):
    return expand(read_configs([REPOSITORY / "config" / f"{name}.yaml"]))


def test_every_model_has_three_seeds_on_both_datasets():
    counts = Counter((run["model"], run["dataset"]) for run in runs_of("rivals").values())
    assert counts == {(model, dataset): 3 for model in PERFORMERS + RIVALS for dataset in DATASETS}


def test_every_model_has_the_best_of_its_trials():
    curves = pd.read_csv(REFERENCES / "rivals_search" / "learning_curves.csv").set_index("run_dir")["val/acc"]
    trials = {f"results/rivals_search/runs/{'/'.join(key)}": run for key, run in runs_of("rivals_search").items()}
    assert set(curves.index) == set(trials)
    for model in PERFORMERS + RIVALS:
        own = [run_dir for run_dir in curves.index if trials[run_dir]["model"] == model]
        best = trials[curves[own].idxmax()]
        assert len(own) == 4
        chosen = {(run["depth"], run["learning_rate"]) for run in runs_of("rivals").values() if run["model"] == model}
        assert chosen == {(best["depth"], best["learning_rate"])}


def test_the_reference_is_of_the_configuration(tmp_path):
    evaluations = pd.read_csv(REFERENCES / "rivals" / "model_evaluations.csv")
    assert {re.sub("^results/rivals/runs/", "", run_dir) for run_dir in evaluations["run_dir"]} == {
        "/".join(key) for key in runs_of("rivals")
    }
    compare_reference.main(
        [str(REFERENCES / "rivals"), "--reference", str(REFERENCES / "rivals"), "--out", str(tmp_path)]
    )
    table = pd.read_csv(tmp_path / "reference.csv")
    assert (table["ours_seeds"] == 3).all()
    lost = table[table["quantity"] == "lost"].set_index(["dataset", "model"])["ours_mean"]
    for dataset in DATASETS:
        assert lost[dataset, "Performer"] > 0.3
        assert lost[dataset, "NoposPerformer"] == pytest.approx(0, abs=1e-9)
