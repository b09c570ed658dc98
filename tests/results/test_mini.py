"""The configuration mini, and the comparison of its results with the reference and with the claim."""

import runpy
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

import compare_reference
from helpers import PERFORMERS, REPOSITORY, csv, run_row
from relative_performer.config.grid import expand
from relative_performer.config.validate import read_configs

DATASETS = ("MNIST", "FashionMNIST")
QUIRKS = ("class_position", "key_stabilizer")  # both on FashionMNIST
REFERENCE = REPOSITORY / "resources" / "reference" / "mini"
SEEDS = (0, 1, 2)
LEFT, RIGHT = (-8, -7, -6), (6, 7, 8)
CLIPPED = "ClippedRelativePerformer"
ROWS = len(PERFORMERS) * len(DATASETS) + len(QUIRKS)
# the accuracy that a model loses over far shifts
LOST = {"Performer": 0.6, "NoposPerformer": 0.0, "RelativePerformer": 0.05, CLIPPED: 0.0}


@pytest.fixture
def results(tmp_path):
    """A folder of results in which the claim holds."""
    quirks = [(name, CLIPPED) for name in QUIRKS]
    folder = tmp_path / "mini"
    folder.mkdir()
    runs = []
    for dataset in DATASETS:
        groups = [("main", model) for model in PERFORMERS] + quirks * (dataset == "FashionMNIST")
        own = {"circular": ""}  # an option of other models, and a column of the shift test too
        rows = [run_row(model, dataset, seed, experiment=name, **own) for name, model in groups for seed in SEEDS]
        runs += rows
        shifts = [
            {"run_dir": row["run_dir"], "shift": shift, "accuracy_mean": accuracy(row, shift)}
            for row in rows
            for shift in range(-8, 9)
        ]
        csv(folder / f"{dataset}_shift.csv", shifts)
    csv(folder / "model_evaluations.csv", runs)
    return folder


def accuracy(row: dict, shift: int) -> float:
    return 0.97 + 0.01 * row["seed"] - LOST[row["model"]] * (abs(shift) >= 6)


def compare(results: Path, reference: Path, out: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    compare_reference.main([str(results), "--reference", str(reference), "--out", str(out)])
    return pd.read_csv(out / "reference.csv"), pd.read_csv(out / "claim.csv")


def change(folder: Path, dataset: str, model: str, shifts: Sequence[int], value: float) -> None:
    """Set the accuracy of a model in the experiment main at some shifts."""
    path = folder / f"{dataset}_shift.csv"
    table = pd.read_csv(path)
    chosen = table["run_dir"].str.contains(f"main-{model}-") & table["shift"].isin(shifts)
    assert chosen.any()
    csv(path, table.assign(accuracy_mean=table["accuracy_mean"].mask(chosen, value)))


def test_mini_is_every_performer_on_both_datasets_and_two_quirks():
    runs = expand(read_configs([REPOSITORY / "config" / "mini.yaml"]))
    counts = Counter((experiment, run["model"], run["dataset"]) for (experiment, _), run in runs.items())
    main = {("main", model, dataset): 3 for model in PERFORMERS for dataset in DATASETS}
    quirks = {(name, CLIPPED, "FashionMNIST"): 3 for name in QUIRKS}
    assert counts == main | quirks
    by_place = {(experiment, run["model"], run["dataset"], run["seed"]): run for (experiment, _), run in runs.items()}
    for quirk, value in zip(QUIRKS, ("none", "head"), strict=True):
        for seed in SEEDS:
            main_run = by_place["main", CLIPPED, "FashionMNIST", seed]
            assert by_place[quirk, CLIPPED, "FashionMNIST", seed] == main_run | {quirk: value}


def test_reference_beside_itself_holds_and_differs_in_nothing(results, tmp_path, capsys):
    table, claims = compare(results, results, tmp_path / "out")
    assert len(table) == 6 * ROWS
    assert (table["difference"] == 0).all()
    lost = table[(table["quantity"] == "lost") & (table["experiment"] == "main") & (table["dataset"] == "MNIST")]
    assert lost.set_index("model")["ours_mean"].to_dict() == pytest.approx(LOST)
    # of two datasets: 2 parts of Performer and 3 of each relative model; of one: 3 of each quirk
    assert claims.groupby("experiment").size().to_dict() == {"main": 16, "class_position": 3, "key_stabilizer": 3}
    assert claims["holds"].all()
    said = capsys.readouterr().out
    assert "main: the claim holds (16 of its 16 parts do)" in said
    assert (
        "| main | MNIST | Performer | 60.00 ± 0.00 [60.00, 60.00] | 60.00 ± 0.00 [60.00, 60.00] | 0.00 | 3/3 |" in said
    )


def test_shifts_matter_in_the_reference_as_the_paper_claims(tmp_path):
    table, claims = compare(REFERENCE, REFERENCE, tmp_path)
    assert (table["difference"] == 0).all()
    assert (table["ours_seeds"] == 3).all()
    assert len(table) == 6 * ROWS
    assert claims["holds"][claims["part"] != "accuracy at shift 0"].all()


@pytest.mark.parametrize(
    ("model", "shifts", "value", "fails"),
    [
        ("Performer", [0], 0.94, [("Performer", "accuracy at shift 0")]),
        ("Performer", RIGHT, 0.97, []),
        ("RelativePerformer", [0], 0.949, [("RelativePerformer", "accuracy at shift 0")]),
        ("RelativePerformer", LEFT, 0.65, [("RelativePerformer", "loses little")]),
        (
            CLIPPED,
            [*LEFT, *RIGHT],
            0.3,
            [(CLIPPED, "loses little"), (CLIPPED, "interval apart from Performer's")],
        ),
    ],
)
def test_manipulated_results_do_not_hold(results, tmp_path, capsys, model, shifts, value, fails):
    shutil.copytree(results, tmp_path / "changed")
    change(tmp_path / "changed", "FashionMNIST", model, shifts, value)
    table, claims = compare(tmp_path / "changed", results, tmp_path / "out")
    changed = table[table["difference"] != 0]
    assert set(changed["model"]) == {model}
    assert set(changed["dataset"]) == {"FashionMNIST"}
    failed = claims[~claims["holds"] & (claims["experiment"] == "main")]
    assert [*zip(failed["model"], failed["part"], strict=True)] == fails
    verdict = f"does not hold ({16 - len(fails)} of its 16 parts do)" if fails else "holds (16 of its 16 parts do)"
    assert f"main: the claim {verdict}" in capsys.readouterr().out


def test_one_seed_is_not_enough_for_intervals(results, tmp_path):
    path = results / "model_evaluations.csv"
    runs = pd.read_csv(path)
    csv(path, runs[runs["seed"] == 0].to_dict("records"))
    for dataset in DATASETS:
        shifts = pd.read_csv(results / f"{dataset}_shift.csv")
        csv(results / f"{dataset}_shift.csv", shifts[shifts["run_dir"].str.contains("-0-")])
    _, claims = compare(results, results, tmp_path / "out")
    assert set(claims["part"][~claims["holds"]]) == {"interval apart from Performer's"}


def test_a_model_that_the_reference_lacks_stands_beside_nothing(results, tmp_path):
    shutil.copytree(results, tmp_path / "reference")
    for name in ("model_evaluations.csv", *(f"{dataset}_shift.csv" for dataset in DATASETS)):
        leave_out(tmp_path / "reference", name, "run_dir", "main-Nopos")
    table, claims = compare(results, tmp_path / "reference", tmp_path / "out")
    alone = table["model"] == "NoposPerformer"
    assert alone.sum() == 6 * len(DATASETS)
    assert table[alone][["reference_mean", "difference"]].isna().all(axis=None)
    assert (table[alone]["reference_seeds"] == 0).all()
    assert (table[~alone]["difference"] == 0).all()
    assert claims["holds"].all()


def test_baselines_are_compared_without_a_claim(tmp_path, capsys):
    runs = [run_row("AlexNet", seed=seed, embedding="") for seed in SEEDS]
    csv(tmp_path / "model_evaluations.csv", runs)
    shifts = [
        {"run_dir": run["run_dir"], "shift": shift, "accuracy_mean": 0.9} for run in runs for shift in range(-8, 9)
    ]
    csv(tmp_path / "MNIST_shift.csv", shifts)
    table, claims = compare(tmp_path, tmp_path, tmp_path / "out")
    assert (table["difference"] == 0).all()
    assert claims.empty
    assert "claim" not in capsys.readouterr().out


def leave_out(folder: Path, name: str, column: str, text: str) -> None:
    table = pd.read_csv(folder / name)
    csv(folder / name, table[~table[column].astype(str).str.contains(text)])


PERFORMER = "main-Performer-"
WRONG = [  # file, column, pattern of the rows that are left out, error
    ("MNIST_shift.csv", "shift", "^-8$", "lacks shift -8: test it with --min_shift 8"),
    ("MNIST_shift.csv", "run_dir", "-2-", "lacks shift -8: test it with --min_shift 8"),
    ("MNIST_shift.csv", "shift", "", "MNIST_shift.csv has no rows"),
    ("MNIST_shift.csv", "run_dir", PERFORMER, "lacks shift -8: test it with --min_shift 8"),
    ("model_evaluations.csv", "run_dir", f"{PERFORMER}MNIST-linear-0", "is not among the evaluations"),
    ("model_evaluations.csv", "dataset", "^MNIST", "lacks Performer on MNIST, experiment main; the reference has it"),
]


@pytest.mark.fault(len(WRONG) + 2)
def test_wrong_results_are_refused_in_one_line(results, tmp_path, monkeypatch, capsys):
    script = REPOSITORY / "workflow" / "scripts" / "compare_reference.py"

    def refusal(folder: Path, reference: Path = results) -> str:
        words = [str(folder), "--reference", str(reference), "--out", str(tmp_path / "out")]
        monkeypatch.setattr("sys.argv", [script.name, *words])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(script), run_name="__main__")
        said = capsys.readouterr().err
        assert (end.value.code, said.count("\n")) == (2, 1), said
        assert not (tmp_path / "out").exists()
        return said

    assert "cannot read nowhere/model_evaluations.csv: No such file" in refusal(Path("nowhere"))
    for number, (name, column, text, remedy) in enumerate(WRONG):
        folder = tmp_path / str(number)
        shutil.copytree(results, folder)
        leave_out(folder, name, column, text)
        said = refusal(folder)
        assert remedy in said
        assert str(folder) in said
    for name in ("model_evaluations.csv", *(f"{dataset}_shift.csv" for dataset in DATASETS)):
        leave_out(results, name, "run_dir", PERFORMER)
    assert "no Performer was tested on MNIST: there is nothing to compare main with" in refusal(results)
