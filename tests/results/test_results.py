"""Tables and figures: exact numbers, reproducible files and one-line errors."""

import re
import subprocess
import sys
from importlib import import_module
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text

import plot_accuracy
import plot_confusion
import plot_cost
import plot_curves
from helpers import SCRIPTS, csv, run_row
from relative_performer.errors import UserError
from relative_performer.models import MODELS as DECLARED
from relative_performer.results import plotting, shift_figure, shift_map
from relative_performer.results.configurations import describe, join
from relative_performer.results.intervals import wilson
from relative_performer.results.read import in_order, read_evaluations
from relative_performer.results.shift_results import axis_of, images_of, shift_results

MODELS = ["RelativePerformer", "Performer"]
IMAGES = 100  # of the shift test


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
    means = [(run, s, 0.95 - 0.01 * abs(s) - 0.02 * n) for n, run in enumerate(runs) for s in shifts]
    rows = [(run, s, mean, (mean * (1 - mean) * IMAGES / (IMAGES - 1)) ** 0.5, 1 + abs(s)) for run, s, mean in means]
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


def test_costs_stand_beside_accuracies(evaluations, tmp_path):
    runs = pd.read_csv(evaluations)
    costs = runs[["run_dir"]].assign(core_seconds=3600.0 * runs["seed"], seconds=1800, accelerator="cuda", devices=2)
    costs = costs.assign(machine="H100", flop=10**12 * runs["seed"], peak_bytes=10**9 * runs["seed"])

    def tabulated(costs):
        times = csv(tmp_path / "times.csv", costs)
        main("tabulate_costs", "--evaluations", evaluations, "--times", times, "--out", tmp_path)
        return (tmp_path / "costs.md").read_text()

    text = tabulated(costs)
    cost = "5400.0 [3600.0, 7200.0]"
    start = f"| Performer | linear | 81.00 [80.00, 82.00] | {cost} | 62.00 [60.00, 64.00] | {cost} | 4,741,706 |"
    assert f"{start} 3.00 | 2.00 | 3.00 | 2.00 | H100 | 2 |" in text
    assert text.endswith("| 12.00 | 8.00 | 12.00 | 2.00 | H100 | 8 |\n")
    text = tabulated(costs.assign(accelerator="cpu", core_seconds="", machine="", flop="", peak_bytes=""))
    # of runs that an earlier version trained
    assert "| 81.00 [80.00, 82.00] |  | 62.00 [60.00, 64.00] |  | 4,741,706 |  | 0.00 |  |  |  | 2 |" in text
    costs.loc[0, ["flop", "peak_bytes"]] = np.nan
    assert tabulated(costs).endswith("| 12.00 | 8.00 |  |  | H100 | 8 |\n")  # a part is no total


@pytest.mark.parametrize(
    ("dataset", "axis", "far"),
    [("MNIST", "columns", (6, 7, 8)), ("MNIST", "rows", (6, 7, 8)), ("MNIST16", "columns", (3, 4, 5, 6, 7, 8))],
)
def test_shift_table_has_what_far_shifts_lose(tmp_path, dataset, axis, far):
    rows = [run_row(dataset=dataset, seed=seed) for seed in (1, 2)]
    evaluations = csv(tmp_path / "evaluations.csv", rows)
    table = pd.read_csv(shift_csv(tmp_path / "shift.csv", [row["run_dir"] for row in rows]))
    if axis == "rows":
        table = table.assign(row_shift=table["shift"], shift=0)
    command = ["--evaluations", evaluations, "--shift", f"{dataset}={csv(tmp_path / 'shift.csv', table)}"]
    main("tabulate_shifts", *command, "--out", tmp_path)
    (row,) = pd.read_csv(tmp_path / "shift.csv").to_dict("records")
    assert (row["axis"], row["edge"], row["n_seeds"]) == (axis, 8, 2)
    assert row["center_mean"] == pytest.approx(0.94)
    assert (row["center_low"], row["center_high"]) == pytest.approx((0.93, 0.95))
    assert (row["left_mean"], row["right_mean"]) == pytest.approx((0.86, 0.86))
    assert row["lost_mean"] == pytest.approx(np.mean(far) / 100)
    assert (row["far"], row["moved_mean"]) == (far[0], pytest.approx(0.94 - np.mean(far) / 100))
    text = (tmp_path / "shift.md").read_text()
    assert f"## grid, shifts along {axis}, up to 8\n" in text
    assert f"| {dataset} shift 0 | {dataset} −8 / +8 | {dataset} lost | runs |" in text
    assert "| Performer | linear | 94.00 [93.00, 95.00] | 86.00 / 86.00 | " in text
    csv(tmp_path / "shift.csv", table[table["run_dir"] == rows[0]["run_dir"]])
    with pytest.raises(UserError, match=r"-2-{} lacks shift -8: test it with --min_shift 8"):
        main("tabulate_shifts", *command, "--out", tmp_path)


def test_shifts_along_both_axes_have_no_table(tmp_path):
    evaluations = csv(tmp_path / "evaluations.csv", [row := run_row()])
    table = pd.read_csv(shift_csv(tmp_path / "shift.csv", [row["run_dir"]]))
    path = csv(tmp_path / "shift.csv", table.assign(row_shift=table["shift"]))
    with pytest.raises(UserError, match="shifts along both axes have no table: test along one axis"):
        main("tabulate_shifts", "--evaluations", evaluations, "--shift", f"MNIST={path}", "--out", tmp_path)


def test_redraw_table_has_the_jump_of_the_loss(tmp_path):
    rows = [run_row(seed=seed) for seed in (1, 2)]
    evaluations = csv(tmp_path / "evaluations.csv", rows)
    draws = [
        {
            "run_dir": row["run_dir"],
            "draw": draw,
            "loss_mean": row["seed"] * (1 + draw),
            "accuracy_mean": 0.9 - 0.1 * draw,
        }
        for row in rows
        for draw in range(4)
    ]
    redrawn = csv(tmp_path / "redrawn.csv", draws)
    main("tabulate_redraws", "--evaluations", evaluations, "--redrawn", redrawn, "--out", tmp_path)
    (row,) = pd.read_csv(tmp_path / "redraw.csv").to_dict("records")
    names = ("acc_mean", "redrawn_acc_mean", "loss_mean", "redrawn_loss_mean", "jump_mean", "jump_low", "jump_high")
    assert [row[name] for name in names] == pytest.approx([0.9, 0.7, 1.5, 4.5, 3, 2, 4])


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


def test_figures_of_a_large_experiment_fit_on_a_page_in_readable_type(tmp_path):
    """Nine panels with a long legend, which is what a figure of the paper's main experiment has."""
    places = product(["MNIST", "FashionMNIST", "Digits"], ["linear", "MLP", "lookup"], MODELS, [4000, 8000])
    rows = [
        run_row(model, dataset, embedding=embedding, warmup=warmup) | {"test_images": 100}
        for dataset, embedding, model, warmup in places
    ]
    evaluations = read_evaluations(csv(tmp_path / "evaluations.csv", rows))
    runs = describe(evaluations).merge(evaluations[["run_dir", *plot_cost.MEASURED]], on="run_dir").assign(minutes=1.0)
    results = runs.merge(pd.read_csv(shift_csv(tmp_path / "shift.csv", runs["run_dir"])), on="run_dir")
    examples = dict.fromkeys(runs["dataset"].unique(), pd.read_csv(examples_csv(tmp_path / "examples.csv")))
    curves = runs.assign(epoch=0, patience="0", **{"train/acc": 0.5, "val/acc": 0.4})
    counts = runs[runs["dataset"] == "MNIST"].assign(label=0, prediction=0, images=1)
    figures = {
        "accuracy": (plot_accuracy.accuracy_figure(runs), 3),
        "cost": (plot_cost.cost_figure(runs), 6),
        "curves": (plot_curves.curves_figure(curves), 9),
        "confusion": (plot_confusion.confusion_figure(counts, "0123456789"), 12 + 1),
        "shift": (shift_figure.shift_figure(results, "accuracy", examples), 9 + 3),
        "loss": (shift_figure.shift_figure(results, "loss", examples), 9 + 3),
    }
    for name, (figure, panels) in figures.items():
        width, height = 2.54 * figure.get_size_inches()
        assert width <= 16.01, name
        assert height <= 20.01, name
        assert len(figure.axes) == panels, name
        texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
        assert min(text.get_fontsize() for text in texts) >= 7, name


def test_only_what_was_run_has_a_panel(tmp_path):
    """As in mini: two datasets, one of which has a second experiment."""
    rows = [run_row(dataset=dataset) for dataset in ("MNIST", "FashionMNIST")]
    rows.append(run_row(dataset="FashionMNIST", experiment="other"))
    runs = describe(read_evaluations(csv(tmp_path / "evaluations.csv", rows)))
    results = runs.merge(pd.read_csv(shift_csv(tmp_path / "shift.csv", runs["run_dir"])), on="run_dir")
    figure = shift_figure.shift_figure(results, "accuracy")
    titles = [panel.get_title() for panel in figure.axes]
    assert titles == ["MNIST, grid", "FashionMNIST, grid", "FashionMNIST, other"]
    assert all(len(panel.lines) == 2 for panel in figure.axes)  # the model and chance
    accuracies = runs.assign(test_images=100, **{"test/acc": 0.9})
    panels = plot_accuracy.accuracy_figure(accuracies).axes
    labels = [label.get_text() for label in panels[0].get_yticklabels()]
    assert labels == ["grid", "Performer (Abs.)", "other", "Performer (Abs.)"]
    assert [len(panel.patches) for panel in panels] == [1, 2]


def test_the_legend_of_shifts_has_the_lines_from_the_top(tmp_path):
    runs = describe(read_evaluations(csv(tmp_path / "evaluations.csv", [run_row(model) for model in DECLARED])))
    far = dict(zip(runs["run_dir"], np.random.default_rng(0).permutation(len(runs)) / 20, strict=True))
    results = runs.merge(pd.DataFrame({"shift": [-3, 0, 3]}), how="cross")
    accuracy = results["run_dir"].map(far).where(results["shift"] != 0, 0.9)
    (legend,) = shift_figure.shift_figure(results.assign(accuracy_mean=accuracy, accuracy_std=0.1), "accuracy").legends
    columns = legend._ncols
    rows = -(-len(legend.legend_handles) // columns)
    labels = [text.get_text() for text in legend.get_texts()]
    read = [label for row in range(rows) for label in by_column(labels, columns)[row]]
    models = {DECLARED[run["model"]].title: far[run["run_dir"]] for run in runs.to_dict("records")}
    assert read == [*sorted(models, key=lambda title: -models[title]), "chance"]


def by_column(labels, columns):
    """Return the rows of a legend that is filled column by column."""
    filled = [list(part) for part in np.array_split(labels, columns)]
    return [[column[row] for column in filled if row < len(column)] for row in range(len(filled[0]))]


def test_a_bar_has_the_interval_of_its_seeds_or_of_its_test_images(tmp_path):
    rows = [run_row(acc=acc, seed=seed) for seed, acc in ((1, 0.5), (2, 0.7))] + [run_row("NoposPerformer", acc=0.5)]
    runs = describe(read_evaluations(csv(tmp_path / "evaluations.csv", rows)))
    accuracies = runs.assign(test_images=100, **{"test/acc": [0.5, 0.7, 0.5]})
    (panel,) = plot_accuracy.accuracy_figure(accuracies).axes
    drawn = {tuple(line.get_xdata()) for line in panel.lines if line.get_color() == "black"}
    assert drawn == {(0.5, 0.7), wilson(0.5, 100)}


@given(st.integers(1, 10_000), st.data())
def test_wilson_intervals_hold_the_share_within_0_and_1(count, data):
    share = data.draw(st.integers(0, count)) / count
    low, high = wilson(share, count)
    assert np.all(np.diff([0, low, share, high, 1]) > -1e-12)
    assert wilson(1 - share, count) == pytest.approx((1 - high, 1 - low))


def test_wilson_intervals_agree_with_the_literature():
    """Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    published = {
        (81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0, 0.1611), (1, 29): (0.0061, 0.1718),
    }  # fmt: skip
    for (cases, count), ends in published.items():
        assert wilson(cases / count, count) == pytest.approx(ends, abs=5e-5)


def test_the_number_of_test_images_follows_from_the_deviation():
    answers = [np.arange(854) < right for right in (0, 1, 700, 854)]
    moments = [{"accuracy_mean": a.mean(), "accuracy_std": a.std(ddof=1)} for a in answers]
    assert images_of(pd.DataFrame(moments)) == pytest.approx(854)
    assert np.isnan(images_of(pd.DataFrame(moments)[::3]))


def test_a_figure_of_one_experiment_leaves_out_the_others(tmp_path):
    rows = [run_row(experiment="a"), run_row(experiment="b", warmup=9)]
    path = csv(tmp_path / "evaluations.csv", rows)
    main("plot_accuracy", path, "--experiment", "a", "--out", tmp_path / "a")
    main("plot_accuracy", csv(tmp_path / "only.csv", rows[:1]), "--out", tmp_path / "only")
    assert (tmp_path / "a/accuracy.png").read_bytes() == (tmp_path / "only/accuracy.png").read_bytes()
    with pytest.raises(UserError, match="--experiment c: no results; there are results of a, b"):
        main("plot_accuracy", path, "--experiment", "c", "--out", tmp_path)


@pytest.mark.parametrize("seeds", [1, 2])
def test_shift_figure_shows_the_numbers_of_the_csv(tmp_path, seeds):
    runs = [run_row("Performer", seed=seed) for seed in range(seeds)]
    described = describe(read_evaluations(csv(tmp_path / "evaluations.csv", runs)))
    path = shift_csv(tmp_path / "shift.csv", [row["run_dir"] for row in runs])
    results = shift_results(described, "MNIST", path)
    examples = {"MNIST": pd.read_csv(examples_csv(tmp_path / "examples.csv"))}
    figure = shift_figure.shift_figure(results, "accuracy", examples)
    panel, strip = figure.axes
    x, y = np.array(panel.lines[0].get_xydata(), float).T
    means = 0.95 - 0.01 * np.abs(np.arange(-8, 9)) - 0.01 * (seeds - 1)
    np.testing.assert_array_equal(x, np.arange(-8, 9))
    np.testing.assert_allclose(y, means)
    band = np.array(panel.collections[0].get_paths()[0].vertices, float)[:, 1]
    ends = (wilson(0.87, IMAGES)[0], wilson(0.95, IMAGES)[1]) if seeds == 1 else (0.85, 0.95)
    assert (band.min(), band.max()) == pytest.approx(ends)
    kind = "Wilson 95 % interval over the test images" if seeds == 1 else "bootstrap 95 % interval over the seeds"
    assert kind in figure.get_supxlabel()
    assert panel.get_title() == "MNIST"
    assert [text.get_text() for text in strip.get_xticklabels()] == ["−6", "−3", "0", "3", "6"]
    panel, _ = shift_figure.shift_figure(results, "loss", examples).axes
    np.testing.assert_array_equal(np.array(panel.lines[0].get_xydata(), float).T[1], 1 + np.abs(np.arange(-8, 9)))


def test_shifts_along_rows_are_drawn_over_rows(evaluations, tmp_path):
    runs = describe(read_evaluations(evaluations))
    table = pd.read_csv(shift_csv(tmp_path / "shift.csv", runs["run_dir"][runs["dataset"] == "MNIST"]))
    path = csv(tmp_path / "shift.csv", table.assign(row_shift=-table["shift"], shift=0, circular=True))
    results = shift_results(runs, "MNIST", path)
    assert (axis_of(results), results["circular"].all()) == ("rows", True)
    (panel,) = shift_figure.shift_figure(results, "accuracy", axis="rows", circular=True).axes
    assert panel.figure.get_supxlabel() == "Circular shift (pixels; negative: upwards)"
    np.testing.assert_array_equal(np.array(panel.lines[0].get_xdata(), float), np.arange(-8, 9))
    other = shift_csv(tmp_path / "other.csv", runs["run_dir"][runs["dataset"] == "FashionMNIST"])
    files = ["--shift", f"MNIST={path}", f"FashionMNIST={other}", "--out", tmp_path]
    with pytest.raises(UserError, match="shifts along different axes: draw them one by one"):
        main("plot_shift", "--evaluations", evaluations, *files)


def test_shifts_along_both_axes_are_drawn_as_maps_of_means(evaluations, tmp_path):
    runs = describe(read_evaluations(evaluations))
    chosen = runs[runs["dataset"] == "MNIST"]["run_dir"]
    places = list(product(range(-2, 3), range(-2, 3)))
    values = {run: np.random.default_rng(number).uniform(size=(5, 5)) for number, run in enumerate(chosen)}
    rows = [
        {"run_dir": run, "shift": c, "row_shift": r, "accuracy_mean": values[run][r + 2, c + 2]}
        for run in chosen
        for r, c in places
    ]
    path = csv(tmp_path / "shift.csv", pd.DataFrame(rows).assign(accuracy_std=0.1, loss_mean=1.0))
    main("plot_shift", "--evaluations", evaluations, "--shift", f"MNIST={path}", "--out", tmp_path)
    assert (tmp_path / "shift.pdf").read_bytes().startswith(b"%PDF")
    results = shift_results(runs, "MNIST", path)
    maps = shift_map.mean_maps(results, "accuracy")
    assert list(maps) == ["MNIST\nPerformer (Abs.)", "MNIST\nPerformer (Rel. S1)"]
    for model, found in zip(("Performer", "RelativePerformer"), maps.values(), strict=True):
        seeds = runs[(runs["model"] == model) & (runs["dataset"] == "MNIST")]["run_dir"]
        np.testing.assert_allclose(found, np.mean([values[run] for run in seeds], axis=0))
    image = shift_map.shift_map_figure(results, "accuracy").axes[0].images[0]
    np.testing.assert_allclose(image.get_array(), maps["MNIST\nPerformer (Abs.)"])
    assert list(image.get_extent()) == [-2.5, 2.5, 2.5, -2.5]


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
    measured = {"minutes": [1, 3], "test/acc": [0.5, 0.7], "n_parameters": 10, "test_images": 100}
    figure = plot_cost.cost_figure(described.assign(**measured))
    marks = [line.get_xydata().tolist() for panel in figure.axes for line in panel.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(marks, [[[10, 0.6]], [[2, 0.6]]])


def test_shift_results_must_be_of_evaluated_runs_of_their_dataset(evaluations, tmp_path):
    runs = describe(read_evaluations(evaluations))
    path = shift_csv(tmp_path / "shift.csv", ["logs/none"])
    with pytest.raises(UserError, match=r"shift\.csv: run logs/none is not among"):
        shift_results(runs, "MNIST", path)
    shift_csv(path, runs["run_dir"][runs["dataset"] == "MNIST"])
    with pytest.raises(UserError, match="given for FashionMNIST, but has runs of MNIST"):
        shift_results(runs, "FashionMNIST", path)


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


@pytest.mark.parametrize("script", ["make_tables", "compare_models", "plot_accuracy"])
def test_equal_runs_with_one_seed_are_not_two_samples(tmp_path, script):
    rows = [run_row(seed=seed, rate=rate) for seed, rate in ((1, 1e-4), (1, "0.00010"), (2, 1e-4))]
    rows[1] |= {"content_rel_attn": "False"}
    path = csv(tmp_path / "evaluations.csv", [row | {"content_rel_attn": "false"} | row for row in rows])
    again = f"{rows[0]['run_dir']} and {rows[1]['run_dir']} have equal options and the same seed: keep one of them"
    with pytest.raises(UserError, match=re.escape(again)):
        main(script, path, "--out", tmp_path)
    others = [run_row(seed=seed, rate=1e-4) for seed in (2**32 - 1, 2**32 - 2)]
    csv(path, [rows[0], rows[2], rows[1] | {"seed": ""}, *others])  # imported runs may have no seed
    main(script, path, "--out", tmp_path)


def test_baselines_have_no_embedding(tmp_path):
    rows = [run_row(), run_row("AlexNet", embedding="", experiment="baselines")]
    path = csv(tmp_path / "evaluations.csv", rows)
    main("make_tables", path, "--out", tmp_path)
    main("plot_accuracy", path, "--out", tmp_path)
    assert "| AlexNet |  | 90.00 | 1 |" in (tmp_path / "accuracy.md").read_text()
    curves = describe(read_evaluations(path)).assign(epoch=0, patience="0", **{"train/acc": 0.5, "val/acc": 0.5})
    titles = [panel.get_title() for panel in plot_curves.curves_figure(curves).axes]
    assert titles == ["MNIST, grid\nlinear embedding", "MNIST, baselines"]


def test_models_differ_in_colour_line_and_marker():
    for kind in ("color", "linestyle", "marker"):
        assert len({str(plotting.look(name)[kind]) for name in DECLARED}) == len(DECLARED)
