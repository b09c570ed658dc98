"""The published numbers, in the format of our own results."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from relative_performer.data import DATASETS
from relative_performer.errors import UserError, nearest, shown
from relative_performer.models import MODELS
from relative_performer.results.read import in_order, read_csv

METRICS = ["val/acc", "test/acc"]
OPTIONS = [
    *("dim", "depth", "heads", "pos_scales", "clipping_dist", "content_rel_attn", "feature_redraw_interval"),
    *("learning_rate", "schedule", "warmup", "batch_size"),
]
# the options of most published runs, which tables omit
USUAL = {
    "dim": "256", "depth": "6", "heads": "8", "pos_scales": "4", "content_rel_attn": "false",
    "feature_redraw_interval": "1000", "learning_rate": "5e-05", "schedule": "constant", "warmup": "0",
    "batch_size": "22",
}  # fmt: skip
# marks of runs in the authors' shift tests, and the settings that they mean
MARKED = {"(content_relative)": ", content_rel_attn (without effect)"}
BASELINES = "baselines"


def read_published(evaluations: Path, cnn: Path) -> pd.DataFrame:
    """Return one row per published run: experiment, model, dataset, embedding_type, options (text) and accuracies.

    The baselines come last, as experiment `baselines`. They have neither embedding nor options, and some were only
    validated and have no test/acc. Raises UserError if a file is missing or malformed.
    """
    texts = dict.fromkeys(["experiment", "model", "dataset", "embedding_type", *OPTIONS], str)
    performers = read_csv(evaluations, texts | dict.fromkeys(METRICS, float))
    baselines = read_csv(cnn, {"model": str, "dataset": str, "val_acc": float, "test_acc": float})
    baselines = baselines.rename(columns={"val_acc": "val/acc", "test_acc": "test/acc"}).assign(experiment=BASELINES)
    whole = pd.concat([performers, baselines], ignore_index=True)[[*texts, *METRICS]]
    return whole.fillna(dict.fromkeys(texts, ""))


def read_shifts(path: Path) -> pd.DataFrame:
    """Return dataset, model, settings, variant, shift, mean and std of both metrics of the published shift tests."""
    metrics = ("accuracy_mean", "accuracy_std", "loss_mean", "loss_std")
    columns = {"dataset": str, "model": str, "shift": int} | dict.fromkeys(metrics, float)
    shifts = read_csv(path, columns, once=("dataset", "model", "shift"))[list(columns)]
    parts = shifts["model"].str.extract(r"^(.*?)(\(.*\))?$").fillna("")
    names, marks = parts[0], parts[1]
    wrong = ~names.isin(list(MODELS)) | ~marks.isin(["", *MARKED])
    if wrong.any():
        unknown = shifts["model"][wrong].min()
        raise UserError(f"{path}: unknown model {shown(unknown)}: {nearest(unknown, MODELS)}")
    return shifts.assign(
        dataset=pd.Categorical(shifts["dataset"], in_order(shifts["dataset"], list(DATASETS)), ordered=True),
        model=pd.Categorical(names, list(MODELS), ordered=True),
        settings=marks.map({"": "", **MARKED}),
        variant=(marks != "").astype(int),
    )


def unusual(row: Mapping[Any, Any]) -> str:
    """Return the options of a published row that differ from those of most rows."""
    return ", ".join(f"{name} {row[name]}" for name in OPTIONS if row[name] and row[name] != USUAL.get(name))
