"""A model is one folder and a dataset is one module: the whole pipeline finds them in a copy of the project."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from helpers import BASELINES, PERFORMERS, TINY, checkout, snakemake

MODELS = "workflow/scripts/relative_performer/models"
DATASETS = "workflow/scripts/relative_performer/data/datasets"
DECLARATION = """
from relative_performer.models.declaration import Model
from relative_performer.models.options import DROPOUT, TRANSFORMER, check_heads
from relative_performer.options import Option, positive_float

MODEL = Model(
    package=__name__,
    name="SharpTransformer",
    network="model:SharpTransformer",
    options=(*TRANSFORMER, *DROPOUT, Option("sharpness", positive_float, 2.0, "factor of the scores")),
    check=check_heads,
    label="Transformer (sharp)",
    color="#117733",
)
"""
NETWORK = """
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from relative_performer.models.attention import split_heads
from relative_performer.models.transformer import ImageTransformer


class SharpTransformer(ImageTransformer):
    @staticmethod
    def build_attention(o):
        return SharpAttention(o.dim, o.heads, o.sharpness)


class SharpAttention(nn.Module):
    def __init__(self, dim, heads, sharpness):
        super().__init__()
        self.head_dim, self.sharpness = dim // heads, sharpness
        self.maps = nn.ModuleList(nn.Linear(dim, dim) for _ in range(4))

    def forward(self, tokens, position, query_slice):
        inputs = tokens[:, query_slice], tokens, tokens
        query, key, value = (split_heads(self.maps[i](x), self.head_dim) for i, x in enumerate(inputs))
        return self.maps[3](scaled_dot_product_attention(self.sharpness * query, key, value).transpose(1, 2).flatten(2))
"""
ENTRY = '''
"""Stripes at one of twelve angles, in the middle of a black image."""

import numpy as np

from relative_performer.data.dataset import Dataset


def read(folder):
    rows, columns = np.mgrid[:20, :24]
    inside = (abs(rows - 10) < 6) & (abs(columns - 12) < 6)
    splits = {}
    for split, count in (("train", 180), ("test", 60)):
        labels = np.arange(count) % 12
        phases = np.random.default_rng(count).uniform(0, 6, count)
        angles = [np.cos(k * np.pi / 12) * rows + np.sin(k * np.pi / 12) * columns for k in range(12)]
        waves = [np.stack([np.sin(angles[k] + p), np.cos(angles[k] + p)], -1) for k, p in zip(labels, phases)]
        images = (127.5 + 127.5 * np.stack(waves)) * inside[..., None]
        splits[split] = images.astype(np.uint8), labels.astype(np.int64)
    return splits


DATASET = Dataset(
    name="Stripes",
    classes=tuple(f"{15 * k} degrees" for k in range(12)),
    height=20,
    width=24,
    channels=2,
    images=(120, 60, 60),
    read=read,
    border=True,
    normalisation=((0.2, 0.2), (0.3, 0.3)),
)
'''


def add(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.py").write_text(content)
    return folder


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "workflow/scripts/train.py", *words]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)


def test_a_model_is_one_folder(tmp_path):
    experiment = {"dataset": "Digits", "models": {"SharpTransformer": {"sharpness": [1, 3]}}}
    folder = checkout(tmp_path, TINY | {"experiments": {"main": experiment}})
    add(folder / MODELS / "sharp_transformer", __init__=DECLARATION, model=NETWORK)
    done = snakemake(folder, "all")
    assert done.returncode == 0, done.stderr + done.stdout
    runs = pd.read_csv(folder / "results/tiny/model_evaluations.csv")
    assert [*zip(runs["model"], runs["sharpness"], strict=True)] == [("SharpTransformer", 1), ("SharpTransformer", 3)]
    assert "| SharpTransformer | linear | 3 |" in (folder / "results/tiny/tables/accuracy.md").read_text()
    for name in ("shift", "accuracy", "learning_curves", "cost", "confusion_Digits"):
        assert (folder / f"figures/tiny/{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "SharpTransformer" in command(folder, "--help").stdout
    own = command(folder, "SharpTransformer", "Digits", "--help").stdout
    assert "--sharpness" in own
    assert "--pos_scales" not in own
    misspelt = command(folder, "SharpTransfomer", "Digits")
    assert misspelt.returncode == 2
    assert "did you mean SharpTransformer?" in misspelt.stderr
    (folder / "tiny.yaml").write_text("name: x\nexperiments: {a: {dataset: Digits, models: {SharpTransfomer: }}}\n")
    assert "did you mean SharpTransformer?" in snakemake(folder, "all", "--dry-run").stderr
    plan = [sys.executable, "workflow/scripts/plan.py", "wrong.yaml"]
    (folder / "wrong.yaml").write_text(
        "name: x\nexperiments: {a: {dataset: Digits, models: {SharpTransformer: {dim: 8, heads: 2, depth: 1}}}}\n"
    )
    said = subprocess.run(plan, cwd=folder, capture_output=True, text=True, check=True).stdout
    assert "a, SharpTransformer" in said


def test_a_dataset_is_one_module(tmp_path):
    baseline = {"batch_size": 16, "limit_train": 16, "limit_val": 16}
    sizes = {"dim": 8, "depth": 2, "heads": 2}
    models = dict.fromkeys(PERFORMERS, sizes) | {"NoposPerformer": sizes | {"embedding_type": "lookup"}}
    experiments = {
        "main": {"dataset": "Stripes", "models": models},
        "baselines": {"dataset": "Stripes", "models": dict.fromkeys(BASELINES, baseline)},
    }
    config = {"name": "tiny", "options": {"max_epochs": 1}, "experiments": experiments}
    folder = checkout(tmp_path, config | {"shift": {"labels": [1, 11], "min_shift": 4}})
    add(folder / DATASETS, stripes=ENTRY)
    done = snakemake(folder, "all")
    assert done.returncode == 0, done.stderr + done.stdout
    runs = pd.read_csv(folder / "results/tiny/model_evaluations.csv")
    assert set(runs["model"]) == {*PERFORMERS, *BASELINES}
    assert set(runs["test_images"]) == {60}
    assert pd.read_csv(folder / "results/tiny/Stripes_confusion.csv")["label"].max() == 11
    shift = pd.read_csv(folder / "results/tiny/Stripes_shift.csv")
    assert sorted(shift["shift"].unique()) == list(range(-4, 5))
    for name in ("shift", "accuracy", "learning_curves", "cost", "confusion_Stripes"):
        assert (folder / f"figures/tiny/{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "Stripes" in command(folder, "--help").stdout
    assert "did you mean Stripes?" in command(folder, "Performer", "Strips").stderr
    for shifted, said in (
        ({"labels": [12], "min_shift": 4}, "shift.labels.0: 12 is not an integer from 0 to 11"),
        ({"labels": [1], "min_shift": 12}, "Stripes has 24 columns, which allow at most 11"),
        ({"min_shift": 10, "axis": "rows"}, "Stripes has 20 rows, which allow at most 9"),
        ({"min_shift": 10, "axis": "both"}, "Stripes has 20 rows and 24 columns, which allow at most 9"),
    ):
        (folder / "wrong.yaml").write_text(repr(config | {"shift": shifted}))
        wrong = [sys.executable, "workflow/scripts/status.py", "wrong.yaml"]
        assert said in subprocess.run(wrong, cwd=folder, capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize("model", ["AlexNet", "LinformerViT"])
def test_a_baseline_refuses_larger_images_in_one_line(tmp_path, model):
    folder = checkout(tmp_path, {"name": "x", "experiments": {"a": {"dataset": "Large", "models": {model: {}}}}})
    add(folder / DATASETS, large=ENTRY.replace("Stripes", "Large").replace("height=20", "height=40"))
    said = command(folder, model, "Large")
    assert said.returncode == 2
    assert said.stderr.count("\n") == 1
    assert f"{model} takes images of at most 32×32 pixels, and Large has 40×24" in said.stderr
    said = snakemake(folder, "all", "--dry-run").stderr
    assert f"experiments.a: {model} takes images of at most 32×32 pixels" in said
