"""The page of claims is that of the committed results, and new results decide open claims."""

import re

import pandas as pd
import pytest

import compare_published
import tabulate_claims
from helpers import REPOSITORY, TINY, checkout, csv, run_row, snakemake
from relative_performer.data import DATASETS
from relative_performer.errors import UserError
from relative_performer.results import claims
from relative_performer.results.claims import Statistic

RESOURCES = REPOSITORY / "resources"


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
