"""Checks of the results of the smoke configuration. They are not collected with the tests, since they need a run."""

import itertools

import pandas as pd

from helpers import BASELINES, PERFORMERS, REPOSITORY
from relative_performer.models.options import EMBEDDINGS

RESULTS, FIGURES = REPOSITORY / "results" / "smoke", REPOSITORY / "figures" / "smoke"
DATASETS = ("MNIST", "FashionMNIST", "CIFAR10")
COMPARED = ("shift", "shift_loss", "accuracy", "learning_curves", "cost")
TRAINED = {
    *itertools.product(PERFORMERS, DATASETS, EMBEDDINGS),
    *itertools.product(BASELINES, DATASETS, ["none"]),
} - {("VGG16", "MNIST", "none"), ("VGG16", "FashionMNIST", "none")}


def test_every_combination_was_trained_and_tested():
    runs = pd.read_csv(RESULTS / "model_evaluations.csv")
    ablation = runs[runs["experiment"] == "clipping"]
    assert set(zip(ablation["clipping_dist"], ablation["batch_size"], strict=True)) == {(2, 16), (6, 8)}
    assert set(zip(runs["model"], runs["dataset"], runs["embedding_type"].fillna("none"), strict=True)) == TRAINED
    assert runs[["test/acc", "test/loss", "val/acc", "val/loss"]].notna().all(axis=None)
    for dataset in DATASETS[:2]:
        shift = pd.read_csv(RESULTS / f"{dataset}_shift.csv")
        assert len(shift) == 17 * (runs["dataset"] == dataset).sum()
        assert set(shift["run_dir"]) <= set(runs["run_dir"])


def test_tables_and_figures_are_there():
    tables = ("accuracy", "differences", "reproduction", "costs")
    names = [RESULTS / "tables" / f"{name}.{kind}" for name in tables for kind in ("csv", "md", "tex")]
    experiments = {"main": DATASETS, "clipping": DATASETS[:1], "baselines": DATASETS}  # a folder each
    names += [
        FIGURES / experiment / f"{name}.{kind}"
        for experiment, datasets in experiments.items()
        for name in (*COMPARED, *(f"confusion_{dataset}" for dataset in datasets))
        for kind in ("pdf", "png")
    ]
    assert [str(path) for path in names if not path.exists() or not path.stat().st_size] == []
