"""Tables fit a screen, and what they leave out is in their CSV file."""

from importlib import import_module

import numpy as np
import pandas as pd
import pytest
import yaml

from compare_models import main as compare_models
from helpers import REPOSITORY, csv, run_row
from relative_performer.config.grid import expand
from relative_performer.config.validate import check_config
from relative_performer.data import DATASETS

RESOURCES = REPOSITORY / "resources"
PUBLISHED = ["--published", f"{RESOURCES}/published_evaluations.csv", "--cnn", f"{RESOURCES}/published_cnn.csv"]
SCREEN = 45  # lines


COST = {"accelerator": "cpu", "devices": 1, "seconds": 8, "machine": "CPU", "flop": 3e12, "peak_bytes": 2e9}


def lines_of(path):
    return path.read_text().splitlines()


def made_up(config, out):
    """Write evaluations, times and shift tests of a configuration with random accuracies; return the arguments."""
    check_config(config := {"data": {}, **config})
    draw = np.random.default_rng(0).random
    counts = dict.fromkeys(("n_parameters", "images_seen", "train_images", "val_images", "test_images", "epochs"), 1)
    rows = [
        {"experiment": experiment, **options, **counts, "run_dir": f"{experiment}/{name}"}
        | {"val/acc": draw(), "test/acc": draw(), "core_seconds": 100 * draw()}
        for (experiment, name), options in expand(config).items()
    ]
    runs = pd.DataFrame(rows)
    edge = config["shift"]["min_shift"]
    shifts = []
    for dataset, part in runs.groupby("dataset"):
        if DATASETS[dataset].border:
            tested = part[["run_dir"]].merge(pd.DataFrame({"shift": range(-edge, edge + 1)}), how="cross")
            tested = tested.assign(accuracy_mean=draw(len(tested)), accuracy_std=0, loss_mean=1)
            shifts.append(f"{dataset}={csv(out / f'{dataset}.csv', tested)}")
    times = csv(out / "times.csv", runs[["run_dir", "core_seconds"]].assign(**COST))
    evaluations = csv(out / "evaluations.csv", runs.drop(columns="core_seconds"))
    both = ["--evaluations", evaluations]
    return {
        "make_tables": [evaluations],
        "compare_models": [evaluations],
        "compare_published": [evaluations, *PUBLISHED],
        "tabulate_costs": [*both, "--times", times],
        "tabulate_shifts": [*both, "--shift", *shifts],
    }


@pytest.mark.parametrize("name", ["smoke", "rivals", "mini", "demo"])
def test_every_table_of_a_configuration_fits_a_screen(tmp_path, name):
    config = yaml.safe_load((REPOSITORY / f"config/{name}.yaml").read_text())
    for script, arguments in made_up(config, tmp_path).items():
        import_module(script).main([*map(str, arguments), "--out", str(tmp_path)])
    lengths = {path.stem: len(lines_of(path)) for path in tmp_path.glob("*.md")}
    assert lengths.keys() == {"accuracy", "costs", "differences", "reproduction", "shift"}
    assert max(lengths.values()) <= SCREEN, lengths
    for table in ("costs", "shift", "accuracy"):  # a row per dataset where the table has columns
        tidy = pd.read_csv(tmp_path / f"{table}.csv")
        assert (tidy.groupby(["experiment", "dataset"])["model"].count() >= 1).all()
        cells = [cell for line in lines_of(tmp_path / f"{table}.md") for cell in line.split("|")[3:]]
        column = {"costs": "test/acc_mean", "shift": "lost_mean", "accuracy": "test/acc_mean"}[table]
        for value in tidy[column]:
            text = f"{100 * value:.2f}".replace("-", "−")
            assert any(cell.strip().strip("*").split(" ")[0] == text for cell in cells), (table, value)


def test_models_are_compared_with_the_best_of_their_dataset_and_all_pairs_are_kept(tmp_path):
    accuracies = {
        ("Performer", "MNIST"): (0.5, 0.7),
        ("NoposPerformer", "MNIST"): (0.4, 0.8),
        ("RelativePerformer", "MNIST"): (0.6, 0.9),
        ("Performer", "CIFAR10"): (0.9, 0.9),
        ("RelativePerformer", "CIFAR10"): (0.5, 0.8),
    }
    rows = [
        run_row(model, dataset, seed, acc)
        for (model, dataset), values in accuracies.items()
        for seed, acc in enumerate(values)
    ]
    evaluations = csv(tmp_path / "evaluations.csv", rows)
    compare_models([str(evaluations), "--out", str(tmp_path)])
    assert lines_of(tmp_path / "differences.md")[4:] == [
        "## grid",
        "",
        "| model | embedding | MNIST | CIFAR10 | seeds |",
        "| --- | --- | --- | --- | --- |",
        "| Performer | linear | 15.00 ± 7.07 [10.00, 20.00] | **best** | 2 |",
        "| NoposPerformer | linear | 15.00 ± 7.07 [10.00, 20.00] |  | 2 |",
        "| RelativePerformer | linear | **best** | 25.00 ± 21.21 [10.00, 40.00] | 2 |",
    ]
    pairs = pd.read_csv(tmp_path / "differences.csv")
    assert list(zip(pairs["dataset"], pairs["first"], pairs["second"], strict=True)) == [
        ("MNIST", "Performer", "NoposPerformer"),
        ("MNIST", "Performer", "RelativePerformer"),
        ("MNIST", "NoposPerformer", "RelativePerformer"),
        ("CIFAR10", "Performer", "RelativePerformer"),
    ]
    assert set(zip(pairs["dataset"], pairs["best"], strict=True)) == {
        ("MNIST", "RelativePerformer"),
        ("CIFAR10", "Performer"),
    }
    assert pairs["difference_mean"].tolist() == pytest.approx([0, -0.15, -0.15, 0.25])


def test_a_column_that_datasets_share_lists_the_values_that_differ(tmp_path):
    rows = [
        run_row(dataset=dataset, seed=seed)
        for dataset, seeds in (("MNIST", 2), ("CIFAR10", 1))
        for seed in range(seeds)
    ]
    rows += [run_row("NoposPerformer", "CIFAR10")]
    rows[2]["n_parameters"] = 5000
    evaluations = csv(tmp_path / "evaluations.csv", rows)
    times = csv(tmp_path / "times.csv", pd.DataFrame(rows)[["run_dir"]].assign(core_seconds=7, **COST))
    command = ["--evaluations", str(evaluations), "--times", str(times), "--out", str(tmp_path)]
    import_module("tabulate_costs").main(command)
    lines = lines_of(tmp_path / "costs.md")
    accuracy = "| Performer | linear | 90.00 [90.00, 90.00] | 7.0 [7.0, 7.0] | 90.00 | 7.0 | 4,741,706/5,000 |"
    assert f"{accuracy} 0.00 | 0.00 | 6.00/3.00 | 2.00 | CPU | 2/1 |" in lines
    assert "| NoposPerformer | linear |  |  | 90.00 | 7.0 | 4,741,706 | 0.00 | 0.00 | 3.00 | 2.00 | CPU | 1 |" in lines
