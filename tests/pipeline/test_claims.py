"""The page of claims and the documented tables are those of the committed results; new results decide open claims."""

import re

import pandas as pd
import pytest

import compare_published
import tabulate_claims
from helpers import PERFORMERS, REPOSITORY, RIVALS, TINY, checkout, csv, run_row, snakemake
from relative_performer.data import DATASETS
from relative_performer.errors import UserError
from relative_performer.results import claims
from relative_performer.results.claims import Statistic
from relative_performer.results.tables import interval_text

RESOURCES = REPOSITORY / "resources"
FURTHER = ("rows", "circular")  # tests of rivals
EXPERIMENTS = ("class_position: none", "key_stabilizer: head")  # of mini, beside main
REDRAWS = [(f"{interval:,}", interval, False) for interval in (1, 10, 100, 1000)]  # of features
REDRAWS += [("never", 100000, False), ("exact softmax", 1000, True)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A copy of the project with the page and its tables."""
    folder = checkout(tmp_path_factory.mktemp("claims") / "copy", TINY)
    done = snakemake(folder, "claims")
    assert done.returncode == 0, done.stderr
    return folder


def tabulate(tables, out, plan=RESOURCES / "plan_h100.csv"):
    words = [tables, "--published_shift", RESOURCES / "published_shift.csv", "--plan", plan, "--out", out]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPOSITORY)
        tabulate_claims.main([*map(str, words), "--configs", "config/baselines.yaml", "config.yaml"])
    return out.read_text()


def row_of(page, claim):
    (line,) = re.findall(rf"^\| {re.escape(claim)} \|.*$", page, re.MULTILINE)
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_the_page_is_that_of_the_committed_results(made):
    page = (made / "docs/claims.md").read_text()
    assert page == (REPOSITORY / "docs/claims.md").read_text(), "run: snakemake --cores 1 claims"
    assert row_of(page, "RelativePerformer on FashionMNIST classifies unshifted images")[-1] == "no"
    command, time, hardware, expected, ours, holds = row_of(page, "VGG16, CIFAR10")
    assert (command, hardware, expected, ours, holds) == ("`snakemake all`", "H100", "76.36 ± 2.36", "", "open")
    hours = pd.read_csv(RESOURCES / "plan_h100.csv").set_index("run")["hours"]
    vgg = hours[hours.index.str.startswith("VGG16_CIFAR10")]
    assert time == f"≥ {vgg.sum():.2g} GPU hours"
    assert len(vgg) == 3


@pytest.mark.parametrize(
    ("accuracies", "changes", "ours", "holds"),
    [
        ([0.9885, 0.9890], {}, "98.88 [98.85, 98.90]", "yes"),  # published: 98.97
        ([0.9840, 0.9846], {}, "98.43 [98.40, 98.46]", "no"),
        ([0.9850], {}, "98.50 [98.24, 98.72]", "yes"),
        ([0.9885, 0.9890], {"epochs": 3}, "", "open"),
    ],
)
def test_results_of_the_baselines_decide_their_claims(made, tmp_path, accuracies, changes, ours, holds):
    full = dict(zip(("train_images", "val_images", "test_images"), DATASETS["MNIST"].images, strict=True))
    rows = [
        run_row("AlexNet", seed=seed, acc=acc, embedding="", epochs=20, max_epochs=20, **full) | changes
        for seed, acc in enumerate(accuracies)
    ]
    evaluations, tables = csv(tmp_path / "evaluations.csv", rows), tmp_path / "claims"
    tables.mkdir()
    for folder in (made / "results/claims/tables").iterdir():
        if folder.name != "baselines":
            (tables / folder.name).symlink_to(folder)
    words = ["--published", RESOURCES / "published_evaluations.csv", "--cnn", RESOURCES / "published_cnn.csv"]
    compare_published.main([str(word) for word in [evaluations, *words, "--out", tables / "baselines"]])
    page = tabulate(tables, tmp_path / "claims.md")
    command, _, _, expected, *decided = row_of(page, "AlexNet, MNIST")
    assert (command, expected) == ("`snakemake all --configfile config/baselines.yaml`", "98.97 ± 0.50")
    assert decided == [ours, holds]


def intervals(made, table, where, columns, factor=100, decimals=1):
    """Return cells of a documented row: the intervals in some columns of the one row that has the values `where`."""
    rows = pd.read_csv(made / f"results/claims/tables/{table}.csv", keep_default_na=False)
    (row,) = rows[(rows[list(where)] == pd.Series(where)).all(axis="columns")].to_dict("records")
    return " | ".join(interval_text(row, f"{column}_", factor, decimals) for column in columns)


@pytest.mark.parametrize("model", PERFORMERS + RIVALS)
def test_the_findings_on_later_answers_are_the_committed_results(made, model):
    documented = []
    for dataset in ("MNIST16", "FashionMNIST16"):
        where = {"dataset": dataset, "model": model}
        accuracy = intervals(made, "rivals/costs", where, ["test/acc"])
        shifts = intervals(made, "rivals/shift", where, ["center", "lost"])
        seconds = intervals(made, "rivals/costs", where, ["core_seconds"], factor=1, decimals=0)
        costs = pd.read_csv(made / "results/claims/tables/rivals/costs.csv").set_index(["dataset", "model"])
        documented.append([accuracy, shifts, f"{costs['n_parameters'][dataset, model]:,}", seconds])
    documented.append([intervals(made, f"rivals/{test}", {"model": model}, ["center", "lost"]) for test in FURTHER])
    page = (REPOSITORY / "docs/findings.md").read_text()
    assert re.findall(rf"^\| `{model}` \| (.*\[.*) \|$", page, re.MULTILINE) == [" | ".join(row) for row in documented]


@pytest.mark.parametrize("depth", [2, 4])
def test_the_findings_on_random_features_are_the_committed_results(made, depth):
    documented = []
    for words, interval, exact in REDRAWS:
        where = {"settings": f", depth {depth}, feature_redraw_interval {interval}, no_projection {exact}"}
        accuracy = intervals(made, "features/costs", where, ["test/acc"])
        shifts = intervals(made, "features/shift", where, ["center", "lost"])
        losses = intervals(made, "features/redraw", where, ["loss", "jump"], factor=1, decimals=2)
        documented.append(f"| {depth} | {words} | {accuracy} | {shifts} | {losses} |\n")
    assert "".join(documented) in (REPOSITORY / "docs/findings.md").read_text()


@pytest.mark.parametrize(
    ("row", "experiment", "model"),
    [*((f"`{model}`", "main", model) for model in PERFORMERS)]
    + [(f"the same, `{option}`", option.split(":")[0], "ClippedRelativePerformer") for option in EXPERIMENTS],
)
def test_the_documented_result_of_the_claim_is_the_committed_one(made, row, experiment, model):
    where = {"experiment": experiment, "model": model}
    datasets = ("MNIST", "FashionMNIST") if experiment == "main" else ("FashionMNIST",)
    cells = [intervals(made, "mini/shift", where | {"dataset": dataset}, ["center", "lost"]) for dataset in datasets]
    blank = " | " if experiment == "main" else " | | | "
    assert f"| {row}{blank}{' | '.join(cells)} |\n" in (REPOSITORY / "docs/claim.md").read_text()


def test_hours_of_other_runs_are_refused(made, tmp_path):
    plan = pd.read_csv(RESOURCES / "plan_h100.csv")
    with pytest.raises(UserError, match=r"other.csv has other runs than config.yaml: make it again with plan.py"):
        tabulate(made / "results/claims/tables", tmp_path / "page.md", csv(tmp_path / "other.csv", plan[1:]))


@pytest.mark.parametrize(
    ("rule", "ours", "other", "holds"),
    [
        (claims.at_least(30), (30, 10, 50), (0, 0, 0), True),
        (claims.at_least(30), (29.9, 10, 50), (0, 0, 0), False),
        (claims.at_most(10), (10, 0, 20), (0, 0, 0), True),
        (claims.at_most(10), (10.1, 0, 20), (0, 0, 0), False),
        (claims.keeps, (20, 0, 40), (80, 70, 90), True),
        (claims.keeps, (20.1, 0, 40), (80, 70, 90), False),
        (claims.as_high, (80, 0, 0), (80, 70, 90), True),
        (claims.lower, (80, 0, 0), (80, 70, 90), False),
        (claims.interval_above, (95, 90.1, 99), (80, 70, 90), True),
        (claims.interval_above, (95, 90, 99), (80, 70, 90), False),
        (claims.not_above, (90, 0, 99), (80, 70, 90), True),
        (claims.not_above, (90.1, 0, 99), (80, 70, 90), False),
        (claims.overlaps, (60, 50, 70), (80, 70, 90), True),
        (claims.overlaps, (95, 90.1, 99), (80, 70, 90), False),
        (claims.contains_zero, (1, 0, 2), (0, 0, 0), True),
        (claims.contains_zero, (1, 0.1, 2), (0, 0, 0), False),
    ],
)
def test_a_rule_holds_up_to_its_limit(rule, ours, other, holds):
    assert rule(Statistic(*ours), Statistic(*other))[1] == holds


@pytest.mark.parametrize("test", sorted({test for _, test in claims.TESTED.values()}))
def test_a_test_that_decides_a_claim_exists(test):
    file, _, name = test.partition("::")
    assert f"\ndef {name}(" in (REPOSITORY / "tests" / file).read_text()
