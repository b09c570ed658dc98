"""Tables and figures: exact numbers, reproducible files and one-line errors."""

import re
import subprocess
import sys
from importlib import import_module
from itertools import product

import numpy as np
import pandas as pd
import pytest

import plot_confusion
import plot_cost
import plot_curves
from helpers import SCRIPTS, csv, run_row
from relative_performer.errors import UserError
from relative_performer.models import MODELS as DECLARED
from relative_performer.results import plotting, shift_figure
from relative_performer.results.configurations import describe, join
from relative_performer.results.read import in_order, read_evaluations

MODELS = ["RelativePerformer", "Performer"]


def main(name, *arguments):
    import_module(name).main([str(argument) for argument in arguments])


@pytest.fixture
def evaluations(tmp_path):
    """Two models, two datasets, accuracies 0.90 and 0.92 (0.70 and 0.74 on FashionMNIST) with seeds 1 and 2."""
    base, step = {"MNIST": 0.9, "FashionMNIST": 0.7}, {"MNIST": 0.02, "FashionMNIST": 0.04}
    rows = [
        run_row(model, dataset, seed, base[dataset] + step[dataset] * (seed - 1) - 0.1 * (model == "Performer"))
        for dataset, model, seed in product(["FashionMNIST", "MNIST"], MODELS, [1, 2])
    ]
    return csv(tmp_path / "evaluations.csv", rows)


def shift_csv(path, runs):
    shifts = range(-8, 9)
    columns = ["run_dir", "shift", "accuracy_mean", "accuracy_std", "loss_mean"]
    rows = [(run, s, 0.95 - 0.01 * abs(s) - 0.02 * n, 0.2, 1 + abs(s)) for n, run in enumerate(runs) for s in shifts]
    return csv(path, [dict(zip(columns, row, strict=True)) for row in rows])


def examples_csv(path):
    return csv(path, [{"shift": s, "row": r, "column": r, "value": 9} for s in (-6, -3, 0, 3, 6) for r in range(32)])


def test_tables_show_mean_and_deviation_over_seeds(evaluations, tmp_path):
    main("make_tables", evaluations, "--out", tmp_path)
    lines = (tmp_path / "accuracy.md").read_text().splitlines()
    assert "| model | embedding | MNIST | FashionMNIST | runs |" in lines
    assert "| Performer | linear | 81.00 ± 1.41 [80.00, 82.00] | 62.00 ± 2.83 [60.00, 64.00] | 2 |" in lines
    assert (
        "| RelativePerformer | linear | **91.00 ± 1.41 [90.00, 92.00]** | **72.00 ± 2.83 [70.00, 74.00]** | 2 |"
        in lines
    )
    tidy = pd.read_csv(tmp_path / "accuracy.csv").set_index(["model", "dataset"])
    row = dict(tidy.loc[[("RelativePerformer", "FashionMNIST")]].iloc[0])
    assert row["test/acc_mean"] == pytest.approx(0.72)
    assert row["val/acc_std"] == pytest.approx(0.04 / 2**0.5)
    assert (row["val/acc_low"], row["val/acc_high"]) == pytest.approx((0.7, 0.74))
    assert (row["n_seeds"], row["n_parameters"], row["images_seen_mean"]) == (2, 4741706, 1500)


def test_single_seed_has_no_deviation(tmp_path):
    path = csv(tmp_path / "evaluations.csv", [run_row(acc=0.98768)])
    main("make_tables", path, "--out", tmp_path)
    texts = [(tmp_path / f"accuracy.{suffix}").read_text() for suffix in ("csv", "md", "tex")]
    assert not any("nan" in text for text in texts)
    assert "| Performer | linear | 98.77 | 1 |" in texts[1]
    assert "a single seed has neither" in texts[1]


def test_varied_options_become_columns_of_their_experiment(tmp_path):
    rows = [run_row(acc=0.5, warmup=warmup, experiment="warm_up") for warmup in (8000, 400)]
    path = csv(tmp_path / "evaluations.csv", [*rows, run_row(), run_row("RelativePerformer", pos_scales=4)])
    main("make_tables", path, "--out", tmp_path)
    text = (tmp_path / "accuracy.md").read_text()
    assert "| model | embedding | warmup | MNIST | runs |" in text
    assert text.index("| 400 |") < text.index("| 8000 |")
    assert "| model | embedding | MNIST | runs |" in text  # warmup and pos_scales do not vary in the other one
    labels = [style["label"] for style, _ in plotting.lines_of_panel(describe(read_evaluations(path)))]
    assert labels[:2] == ["Performer (Abs.)", "Performer (Abs.), warmup 400"]


def test_latex_is_well_formed(tmp_path):
    rows = [
        run_row(model, experiment="a_b", seed=seed, warmup=w) for model in MODELS for seed in (1, 2) for w in (0, 9)
    ]
    main("make_tables", csv(tmp_path / "evaluations.csv", rows), "--out", tmp_path)
    text = (tmp_path / "accuracy.tex").read_text()
    assert re.findall(r"\\begin{(\w+)}", text) == re.findall(r"\\end{(\w+)}", text)[::-1] == ["table", "tabular"]
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    (columns,) = re.findall(r"{tabular}{([lr]+)}", text)
    assert {line.count(" & ") + 1 for line in body} == {len(columns)}
    assert len(body) == 5
    assert not re.search(r"(?<!\\)_", text)
    assert text.isascii()


def test_known_names_come_first_then_numbers_by_value():
    assert in_order(["CIFAR10", "Other", "MNIST"], ("MNIST", "CIFAR10")) == ["MNIST", "CIFAR10", "Other"]
    assert in_order(["1000", "", "5e-05", "16"]) == ["5e-05", "16", "1000", ""]


def test_collecting_keeps_every_value_and_the_union_of_columns(tmp_path):
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text("run_dir,warmup\na,5e-05\n")
    two.write_text("run_dir,pos_scales\nb,4\n")
    main("collect_csv", "--out", tmp_path / "new" / "all.csv", one, two)
    assert (tmp_path / "new" / "all.csv").read_text() == "run_dir,warmup,pos_scales\na,5e-05,\nb,,4\n"


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("run_dir,shift\na,0\n", "run_dir a, shift 0"),
        ("run_dir,val/acc\na,0\n", "lacks the column shift"),
        ("shift\n0\n", "lacks the column run_dir"),
        ("", "cannot read"),
    ],
)
def test_collecting_refuses_what_does_not_go_together(tmp_path, second, message):
    (tmp_path / "one.csv").write_text("run_dir,shift\na,-1\na,0\n")
    (tmp_path / "two.csv").write_text(second)
    with pytest.raises(UserError, match=message):
        main("collect_csv", "--out", tmp_path / "all.csv", tmp_path / "one.csv", tmp_path / "two.csv")
    assert not (tmp_path / "all.csv").exists()


def curves_of(tmp_path, evaluations):
    for number, run_dir in enumerate(pd.read_csv(evaluations)["run_dir"]):
        (tmp_path / run_dir).mkdir(parents=True)
        rows = [
            {
                "epoch": e,
                "step": 10 * e,
                "train/loss": 1,
                "train/acc": 0.5,
                "val/loss": 1,
                "val/acc": 0.6 - 0.1 * (e - 1) ** 2,
            }
            for e in range(3 + number % 2)
        ]
        csv(tmp_path / run_dir / "metrics.csv", rows)


def test_curves_are_collected_and_their_best_epoch_found(evaluations, tmp_path, monkeypatch):
    curves_of(tmp_path, evaluations)
    monkeypatch.chdir(tmp_path)
    runs = list(pd.read_csv(evaluations)["run_dir"])
    main("collect_curves", "--out", "curves.csv", *runs)
    curves = pd.read_csv("curves.csv")
    assert list(curves.columns) == ["run_dir", "epoch", "step", "train/loss", "train/acc", "val/loss", "val/acc"]
    assert list(curves["run_dir"].unique()) == runs
    best = plot_curves.best_epochs(curves)
    assert set(best["epoch"]) == {1}
    assert len(best) == len(runs)
    stopped = plot_curves.early_stops(curves.assign(patience="2"))  # every second run continues to epoch 3
    assert list(stopped["run_dir"]) == sorted(runs[1::2])
    assert set(stopped["epoch"]) == {3}
    assert plot_curves.early_stops(curves.assign(patience="0")).empty


def confusion_csv(path, runs):
    rows = [
        {"run_dir": run, "label": label, "prediction": (label + n) % 10, "images": 5}
        for n, run in enumerate(runs)
        for label in range(10)
    ]
    return csv(path, rows)


def draw_everything(evaluations, tmp_path, out):
    runs = pd.read_csv(evaluations)
    shift, examples = [], []
    for dataset, part in runs.groupby("dataset"):
        shift.append(f"{dataset}={shift_csv(tmp_path / f'{dataset}_shift.csv', part['run_dir'])}")
        examples.append(f"{dataset}={examples_csv(tmp_path / f'{dataset}_examples.csv')}")
    main("plot_accuracy", evaluations, "--out", out)
    main("plot_shift", "--evaluations", evaluations, "--shift", *shift, "--examples", *examples, "--out", out)
    main("plot_curves", "--evaluations", evaluations, "--curves", tmp_path / "curves.csv", "--out", out)
    times = csv(tmp_path / "times.csv", runs[["run_dir", "seconds"]])
    main("plot_cost", "--evaluations", evaluations, "--times", times, "--out", out)
    confusion = confusion_csv(tmp_path / "confusion.csv", runs["run_dir"][runs["dataset"] == "MNIST"])
    main("plot_confusion", "MNIST", "--evaluations", evaluations, "--confusion", confusion, "--out", out)


def test_figures_are_valid_files_and_the_same_bytes_again(evaluations, tmp_path):
    rows = [
        {"run_dir": run, "epoch": e, "train/acc": 0.5, "val/acc": 0.4}
        for run in pd.read_csv(evaluations)["run_dir"]
        for e in (0, 1)
    ]
    csv(tmp_path / "curves.csv", rows)
    for out in ("once", "again"):
        draw_everything(evaluations, tmp_path, tmp_path / out)
    files = sorted(path.name for path in (tmp_path / "once").iterdir())
    names = ("accuracy", "confusion_MNIST", "cost", "learning_curves", "shift", "shift_loss")
    assert files == [f"{name}.{suffix}" for name in names for suffix in ("pdf", "png")]
    for name in files:
        content = (tmp_path / "once" / name).read_bytes()
        assert content == (tmp_path / "again" / name).read_bytes()
        assert content.startswith(b"%PDF" if name.endswith("pdf") else b"\x89PNG")
        assert len(content) > 5000


@pytest.mark.parametrize("seeds", [1, 2])
def test_shift_figure_shows_the_numbers_of_the_csv(tmp_path, seeds):
    runs = [run_row("Performer", seed=seed) for seed in range(seeds)]
    described = describe(read_evaluations(csv(tmp_path / "evaluations.csv", runs)))
    path = shift_csv(tmp_path / "shift.csv", [row["run_dir"] for row in runs])
    results = shift_figure.shift_results(described, "MNIST", path)
    examples = {"MNIST": pd.read_csv(examples_csv(tmp_path / "examples.csv"))}
    figure = shift_figure.shift_figure(results, "accuracy", examples)
    (panel,) = figure.axes
    x, y = np.array(panel.lines[0].get_xydata(), float).T
    means = 0.95 - 0.01 * np.abs(np.arange(-8, 9)) - 0.01 * (seeds - 1)
    np.testing.assert_array_equal(x, np.arange(-8, 9))
    np.testing.assert_allclose(y, means)
    band = np.array(panel.collections[0].get_paths()[0].vertices, float)[:, 1]
    half = 0.2 if seeds == 1 else 0.01
    assert band.min() == pytest.approx(means.min() - half)
    assert band.max() == pytest.approx(min(1, means.max() + half))
    assert ("bootstrap 95 % interval over the seeds" in figure.get_supxlabel()) == (seeds == 2)
    assert panel.get_title() == "MNIST"
    (panel,) = shift_figure.shift_figure(results, "loss", examples).axes
    np.testing.assert_array_equal(np.array(panel.lines[0].get_xydata(), float).T[1], 1 + np.abs(np.arange(-8, 9)))


def test_confusion_is_in_percent_of_the_images_of_a_class_over_all_seeds(tmp_path):
    runs = [run_row(seed=seed) for seed in (1, 2)]
    described = describe(read_evaluations(csv(tmp_path / "evaluations.csv", runs)))
    path = confusion_csv(tmp_path / "confusion.csv", [row["run_dir"] for row in runs])
    counts = join(described, pd.read_csv(path), path)
    (matrix,) = plot_confusion.percentages(counts[counts["label"] != 9], 10).values()
    np.testing.assert_array_equal(matrix[:9], 50 * (np.eye(10) + np.eye(10, k=1))[:9])
    assert np.isnan(matrix[9]).all()


def test_a_label_that_the_dataset_does_not_have_is_refused(evaluations, tmp_path):
    run = pd.read_csv(evaluations)["run_dir"][0]
    path = csv(tmp_path / "confusion.csv", [{"run_dir": run, "label": 10, "prediction": 0, "images": 1}])
    with pytest.raises(UserError, match="MNIST has the classes 0 to 9 only"):
        main("plot_confusion", "MNIST", "--evaluations", evaluations, "--confusion", path, "--out", tmp_path)


def test_cost_figure_has_a_mark_per_configuration_at_its_means(tmp_path):
    rows = [run_row(acc=acc, seed=seed) for seed, acc in ((1, 0.5), (2, 0.7))]
    described = describe(read_evaluations(csv(tmp_path / "evaluations.csv", rows)))
    figure = plot_cost.cost_figure(described.assign(minutes=[1, 3], **{"test/acc": [0.5, 0.7], "n_parameters": 10}))
    marks = [line.get_xydata().tolist() for panel in figure.axes for line in panel.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(marks, [[[10, 0.6]], [[2, 0.6]]])


def test_shift_results_must_be_of_evaluated_runs_of_their_dataset(evaluations, tmp_path):
    runs = describe(read_evaluations(evaluations))
    path = shift_csv(tmp_path / "shift.csv", ["logs/none"])
    with pytest.raises(UserError, match=r"shift\.csv: run logs/none is not among"):
        shift_figure.shift_results(runs, "MNIST", path)
    shift_csv(path, runs["run_dir"][runs["dataset"] == "MNIST"])
    with pytest.raises(UserError, match="given for FashionMNIST, but has runs of MNIST"):
        shift_figure.shift_results(runs, "FashionMNIST", path)


def test_malformed_evaluations_end_in_one_line_and_exit_code_2(tmp_path):
    path = csv(tmp_path / "evaluations.csv", [{"run_dir": "a", "model": "Performer"}])
    command = [sys.executable, SCRIPTS / "plot_accuracy.py", path, "--out", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "evaluations.csv lacks the columns experiment, dataset" in done.stderr


def test_words_in_place_of_numbers_and_runs_twice_are_refused(tmp_path):
    path = csv(tmp_path / "evaluations.csv", [run_row(acc="high")])
    with pytest.raises(UserError, match="column val/acc holds a value that is not a number"):
        read_evaluations(path)
    csv(path, [run_row(), run_row()])
    with pytest.raises(UserError, match="occurs twice"):
        read_evaluations(path)


def test_baselines_have_no_embedding(tmp_path):
    rows = [run_row(), run_row("AlexNet", embedding="", experiment="baselines")]
    path = csv(tmp_path / "evaluations.csv", rows)
    main("make_tables", path, "--out", tmp_path)
    main("plot_accuracy", path, "--out", tmp_path)
    assert "| AlexNet |  | 90.00 | 1 |" in (tmp_path / "accuracy.md").read_text()
    titles = plotting.rows_of_panels(describe(read_evaluations(path)), plotting.PANEL_ROWS)
    assert [title for title, _ in titles] == ["grid\nlinear embedding", "baselines"]


def test_models_differ_in_colour_line_and_marker():
    for kind in ("color", "linestyle", "marker"):
        assert len({str(plotting.look(name)[kind]) for name in DECLARED}) == len(DECLARED)
