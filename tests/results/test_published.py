"""Statistics over seeds, and the comparison with the published numbers."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import compare_models
import compare_published
import tabulate_published
from helpers import PARTS, REPOSITORY
from relative_performer.results import intervals
from relative_performer.results.configurations import describe
from relative_performer.results.published import read_published, read_shifts
from relative_performer.results.read import read_evaluations
from relative_performer.results.shift_figure import shift_figure
from relative_performer.results.tables import latex, number, percent

RESOURCES = REPOSITORY / "resources"
PUBLISHED = RESOURCES / "published_evaluations.csv", RESOURCES / "published_cnn.csv"
FULL = {
    "experiment": "main", "model": "RelativePerformer", "dataset": "MNIST", "embedding_type": "linear", "dim": 256,
    "depth": 6, "heads": 8, "pos_scales": 4, "clipping_dist": "", "content_rel_attn": "False",
    "feature_redraw_interval": 1000, "learning_rate": "5e-05", "schedule": "constant", "warmup": 0, "batch_size": 22,
    "val/acc": 0.9, "test/acc": 0.9, "n_parameters": 4742414, "attn_dropout": 0.1, "ff_dropout": 0.1,
    "key_stabilizer": "batch", "no_projection": "False", "class_position": "", "max_epochs": 1000, "max_steps": "",
    "limit_train": "", "limit_val": "", "train_images": 55000, "val_images": 5000, "test_images": 10000, "epochs": 60,
    "images_seen": 3300000, "seed": 0, "patience": 20,
}  # fmt: skip

BASELINE = {"model": "AlexNet", "learning_rate": 2e-4, "batch_size": 32, "epochs": 20, "max_epochs": 20}


def evaluations(tmp_path: Path, *changes: dict) -> pd.DataFrame:
    rows = [{**FULL, "run_dir": f"run{number}", **change} for number, change in enumerate(changes)]
    pd.DataFrame(rows).to_csv(tmp_path / "evaluations.csv", index=False)
    return read_evaluations(tmp_path / "evaluations.csv")


def reproduction(tmp_path: Path, *changes: dict) -> pd.DataFrame:
    return compare_published.reproduction(evaluations(tmp_path, *changes), read_published(*PUBLISHED))


def test_interval_equals_the_interval_over_all_possible_resamples():
    # of the 27 equally likely resamples of 0, 1, 3 one has mean 0 and one has mean 3: 3.7 % each, and 2.5 % are cut
    low, high = intervals.interval([3, 0, 1])
    assert (low, high) == (0, 3)
    assert intervals.interval([1, 3, 0]) == (low, high)
    normal = np.random.default_rng(1).normal(size=400)
    low, high = intervals.interval(normal)
    half = 1.96 * normal.std() / 20
    assert (low, high) == pytest.approx((normal.mean() - half, normal.mean() + half), abs=0.01)


def test_one_seed_has_no_interval():
    assert np.isnan(intervals.interval([0.5])).all()
    assert np.isnan(intervals.interval([0.5, float("nan")])).all()
    assert percent({"mean": 0.5, "std": np.nan, "low": np.nan, "high": np.nan}) == "50.00"


def test_signs_of_numbers():
    assert [number(x, signed=True) for x in (1.5, -1.5, -0.001, float("nan"))] == ["+1.50", "−1.50", "0.00", ""]
    text = latex({"a_b": [["x", "y"], ["**1**", "−2 ± 1"]]}, "T", "50 %")
    assert r"\textbf{1} & $-$2 $\pm$ 1 \\" in text
    assert "{tabular}{rr}" in text
    assert text.isascii()


def test_differences_are_paired_by_seed(tmp_path):
    ours = [{"seed": seed, "test/acc": acc} for seed, acc in ((0, 0.5), (1, 0.7), (2, 0.9))]
    theirs = [{"model": "Performer", "seed": seed, "test/acc": acc} for seed, acc in ((1, 0.6), (0, 0.45), (3, 0))]
    (row,) = compare_models.differences(evaluations(tmp_path, *ours, *theirs)).to_dict("records")
    assert (row["first"], row["second"], row["n_seeds"]) == ("Performer", "RelativePerformer", 2)
    assert row["difference_mean"] == pytest.approx(-0.075)
    assert (row["difference_low"], row["difference_high"]) == pytest.approx((-0.1, -0.05))


def test_nothing_to_compare_is_reported(tmp_path):
    evaluations(tmp_path, {})
    compare_models.main([str(tmp_path / "evaluations.csv"), "--out", str(tmp_path)])
    assert "No two models" in (tmp_path / "differences.md").read_text()
    assert (tmp_path / "differences.csv").read_text().startswith("experiment,dataset,")


def test_published_row_is_matched_by_every_option(tmp_path):
    others = [{"dim": 128}, {"embedding_type": "MLP"}, {"key_stabilizer": "head"}, {"attn_dropout": 0.0}]
    seeds = [{"seed": seed, "test/acc": acc} for seed, acc in ((1, 0.98), (2, 0.99))]
    table = reproduction(tmp_path, *seeds, *others)
    assert len(table) == 44 + 9 + 6
    found = table[table["status"] != "not run"]
    # the plain run, and the one whose content_rel_attn had no effect
    assert list(found["content_rel_attn"]) == ["true", "false"]
    row = found.iloc[1]
    assert (row["experiment"], row["n_seeds"], row["status"]) == ("resize_fixed_relative_redraw1000", 2, "full")
    assert (row["ours_low"], row["ours_high"]) == pytest.approx((0.98, 0.99))
    assert row["difference"] == pytest.approx(0.985 - 0.987685204)
    assert row["within"] == "true"


@pytest.mark.parametrize(("accuracies", "explained"), [((0.9885, 0.9887), True), ((0.98, 0.982), False)])
def test_a_value_outside_the_interval_over_seeds_may_be_that_of_one_run(tmp_path, accuracies, explained):
    table = reproduction(tmp_path, *({"seed": seed, "test/acc": acc} for seed, acc in enumerate(accuracies)))
    row = table[table["status"] == "full"].iloc[-1]
    assert row["within"] == "false"
    low, high = (100 * end for end in intervals.wilson(sum(accuracies) / 2, 10_000))
    assert (low <= 98.7685204 <= high) == explained
    text = f"one run has the interval [{low:.2f}, {high:.2f}] over its images"
    assert row["explanation"] == (text if explained else "")


def test_intended_model_has_its_own_line(tmp_path):
    table = reproduction(tmp_path, {"content_rel_attn": "True", "test/acc": 0.5})
    (row,) = table[table["status"] != "not run"].to_dict("records")
    assert (row["comparison"], row["content_rel_attn"], row["ours_mean"]) == ("intended", "true", 0.5)
    assert (row["ours_low"], row["ours_high"]) == pytest.approx((0.4902, 0.5098), abs=1e-4)  # over 10,000 images
    assert row["within"] == "false"
    published = ["--published", str(PUBLISHED[0]), "--cnn", str(PUBLISHED[1])]
    compare_published.main([str(tmp_path / "evaluations.csv"), *published, "--out", str(tmp_path)])
    ours = "50.00 [49.02, 50.98] | 1 | −48.77"
    line = f"| content_rel_attn true | test/acc | 98.77 | {ours} | no | content_rel_attn takes effect |"
    assert line in (tmp_path / "reproduction.md").read_text()


def test_reproduction_starts_with_what_was_reproduced(tmp_path):
    seeds = [{"seed": seed, "test/acc": acc} for seed, acc in ((1, 0.98), (2, 0.99))]
    evaluations(tmp_path, *seeds, {"dataset": "FashionMNIST", "epochs": 2, "max_epochs": 2})
    published = ["--published", str(PUBLISHED[0]), "--cnn", str(PUBLISHED[1])]
    compare_published.main([str(tmp_path / "evaluations.csv"), *published, "--out", str(tmp_path)])
    text = (tmp_path / "reproduction.md").read_text().splitlines()
    command = "`snakemake all --cores N --configfile config.yaml`"
    assert text[2].startswith(
        f"59 rows: 2 full, 2 reduced, 55 not run. {command} runs all of them, and reproduction.csv"
    )
    header = "| dataset | model | options | metric | published | ours | seeds | difference |"
    # the plain run, and the one whose content_rel_attn had no effect
    full = "| test/acc | 98.77 | 98.50 ± 0.71 [98.00, 99.00] | 2 | −0.27 | yes |"
    reduced = "| FashionMNIST | RelativePerformer | {} | test/acc | {} | 90.00 | 1 | {} | 2 epochs |"
    assert [line for line in text[4:] if not line.startswith("| ---")] == [
        *("## Run in full", ""),
        f"{header} within |",
        f"| MNIST | RelativePerformer | content_rel_attn true {full}",
        f"| MNIST | RelativePerformer |  {full}",
        *("", "## Run at a smaller scale, so not a reproduction", ""),
        f"{header} differs |",
        reduced.format("content_rel_attn true", "90.23", "−0.23"),
        reduced.format("", "90.42", "−0.42"),
    ]
    latex_text = (tmp_path / "reproduction.tex").read_text()
    assert latex_text.count(r"\begin{tabular}") == 2
    assert r"\texttt{snakemake all --cores N --configfile config.yaml}" in latex_text
    assert len(pd.read_csv(tmp_path / "reproduction.csv")) == 59


def test_without_a_reproduction_one_line_says_how_to_run_it(tmp_path):
    evaluations(tmp_path, {"dim": 32})
    published = ["--published", str(PUBLISHED[0]), "--cnn", str(PUBLISHED[1])]
    compare_published.main([str(tmp_path / "evaluations.csv"), *published, "--out", str(tmp_path)])
    title, blank, line = (tmp_path / "reproduction.md").read_text().splitlines()
    assert (title, blank) == ("# Our results and the published results", "")
    said = (
        "59 rows: 0 full, 0 reduced, 59 not run. `snakemake all --cores N --configfile config.yaml` runs all of them, "
    )
    assert line == said + "and reproduction.csv lists them."
    assert (tmp_path / "reproduction.tex").read_text().startswith("Our results and the published results. 59 rows: ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"train_images": 320, "limit_train": 320}, "320 training images"),
        ({"val_images": 160}, "160 validation images"),
        ({"test_images": 1000}, "1,000 test images"),
        ({"epochs": 1, "max_epochs": 1}, "1 epoch"),
        ({"epochs": 2, "max_steps": 5000}, "2 epochs"),
        ({"train_images": "", "epochs": ""}, "unknown number of training images, unknown number of epochs"),
        ({**BASELINE, "epochs": 19}, "19 epochs"),
    ],
)
def test_reduced_never_passes_as_full(tmp_path, change, said):
    table = reproduction(tmp_path, *({**change, "seed": seed, "test/acc": 0.9 + 0.1 * seed} for seed in (0, 1)))
    found = table[table["status"] != "not run"]
    assert set(zip(found["status"], found["scale"], found["within"], strict=True)) == {("reduced", said, "")}
    assert set(found["n_seeds"]) == {2}


def test_full_runs_are_not_mixed_with_reduced_ones_or_counted_twice(tmp_path):
    table = reproduction(tmp_path, {"seed": 1}, {"seed": 1, "experiment": "again"}, {"seed": 2, "test_images": 9})
    found = table[table["status"] != "not run"]
    assert set(zip(found["status"], found["n_seeds"], strict=True)) == {("full", 1)}
    baseline = reproduction(tmp_path, BASELINE)
    assert list(baseline["status"][baseline["model"] == "AlexNet"]) == ["full", "not run", "not run"]


def test_published_table_shows_validation_and_test():
    lines = tabulate_published.cells(read_published(*PUBLISHED))
    assert lines[0] == ["model", "options", "MNIST", "FashionMNIST", "CIFAR10"]
    assert ["Performer", "", "99.06 / 98.85", "91.15 / 90.59", "70.66 / 69.36"] in lines
    assert ["LinformerViT", "", "97.80 / ?", "89.54 / ?", ""] in lines
    assert len(lines) == 1 + 15 + 4


@pytest.mark.parametrize(("embedding", "count"), [("linear", 2), ("MLP", 1)])
def test_published_curves_are_drawn_only_with_ours_of_the_linear_embedding(tmp_path, embedding, count):
    runs = describe(evaluations(tmp_path, {"embedding_type": embedding}))
    results = runs.merge(pd.DataFrame({"shift": [-1, 0, 1], "accuracy_mean": 0.5, "accuracy_std": 0.1}), how="cross")
    figure = shift_figure(results, "accuracy", published=read_shifts(RESOURCES / "published_shift.csv"))
    (panel,) = figure.axes
    assert len(panel.lines) == count + 1  # and chance
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [*["Performer (Rel. S1)", "published"][:count], "chance"]
    if count == 2:
        x, y = panel.lines[1].get_data()
        assert dict(zip(x, y, strict=True))[-7] == 0.9988290667533875


def test_published_curves_of_images_at_half_their_side_have_half_the_shifts(tmp_path):
    runs = describe(evaluations(tmp_path, {"dataset": "MNIST16"}))
    results = runs.merge(pd.DataFrame({"shift": [-1, 0, 1], "accuracy_mean": 0.5, "accuracy_std": 0.1}), how="cross")
    (panel,) = shift_figure(results, "accuracy", published=read_shifts(RESOURCES / "published_shift.csv")).axes
    x, y = panel.lines[1].get_data()
    assert dict(zip(x, y, strict=True))[-3.5] == 0.9988290667533875  # published at −7


def test_the_published_numbers_need_no_data(tmp_path):
    for name in PARTS:
        source = REPOSITORY / name
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, tmp_path / name)
    command = [sys.executable, "-m", "snakemake", "published", "--cores", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for kind in ("csv", "md", "tex"):
        assert (tmp_path / f"results/published/tables/published.{kind}").stat().st_size
    assert (tmp_path / "figures/published/shift.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "figures/published/shift.pdf").read_bytes().startswith(b"%PDF")
    assert not (tmp_path / "data").exists()
