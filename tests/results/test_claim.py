"""The sentences about the claim say what the results show, and no more."""

from itertools import product

import pandas as pd
import pytest

import tabulate_shifts
import write_claim
from helpers import csv, run_row
from relative_performer.errors import UserError
from relative_performer.results.claim import accuracy_sentences, shift_sentences
from relative_performer.results.read import read_evaluations
from relative_performer.results.shift_results import read_shift_table

# model → by seed: test accuracy, accuracy at shift 0 and at shifts −3 and +3
SUPPORTED = {
    "Performer": [(0.90, 0.98, 0.2, 0.3), (0.92, 0.96, 0.3, 0.2)],
    "NoposPerformer": [(0.30, 0.97, 0.97, 0.97), (0.32, 0.95, 0.95, 0.95)],
    "CovarianceTransformer": [(0.94, 0.99, 0.98, 0.99), (0.95, 0.97, 0.97, 0.98)],
    "RotaryPerformer": [(0.97, 0.99, 0.1, 0.3), (0.91, 0.99, 0.9, 0.9)],
}


def written(tmp_path, results, axis="columns", **options):
    """Write evaluations and shift table of one dataset; return both paths."""
    rows, shifts = [], []
    for model, seeds in results.items():
        for seed, (acc, center, left, right) in enumerate(seeds):
            rows.append(run_row(model, "MNIST16", seed, acc, **options))
            for shift, value in ((-3, left), (-2, 0.5), (-1, 0.5), (0, center), (1, 0.5), (2, 0.5), (3, right)):
                moved = {"shift": shift} if axis == "columns" else {"shift": 0, "row_shift": shift, "circular": True}
                shifts.append({"run_dir": rows[-1]["run_dir"], **moved, "accuracy_mean": value})
    evaluations = csv(tmp_path / "evaluations.csv", rows)
    tests = csv(tmp_path / "shifts.csv", [row | {"accuracy_std": 0, "loss_mean": 1} for row in shifts])
    arguments = ["--evaluations", evaluations, "--shift", f"MNIST16={tests}", "--out", tmp_path]
    tabulate_shifts.main([str(argument) for argument in arguments])
    return evaluations, tmp_path / "shift.csv"


def sentence(tmp_path, results, **options):
    evaluations, shift = written(tmp_path, results, **options)
    (text,) = shift_sentences(read_shift_table(shift), read_evaluations(evaluations))
    return text


def test_the_most_accurate_model_that_keeps_its_accuracy_is_named(tmp_path):
    # RotaryPerformer is more accurate, but one of its seeds loses as much as Performer does
    assert sentence(tmp_path, SUPPORTED) == (
        "On MNIST16, Performer (91.0 % on all test images) loses 72.0 [71.0, 73.0] points of accuracy when the image "
        "moves by 3 columns; CovarianceTransformer (94.5 %) loses 0.0 [−0.5, 0.5]."
    )


def test_other_shifts_are_named(tmp_path):
    assert "when the image moves circularly by 3 rows;" in sentence(tmp_path, SUPPORTED, axis="rows")


@pytest.mark.parametrize(
    "other",
    [
        [(0.95, 0.99, 0.99, 0.99), (0.95, 0.99, 0.2, 0.2)],  # a seed loses more than a seed of Performer
        [(0.95, 0.30, 0.30, 0.30), (0.95, 0.20, 0.20, 0.20)],  # loses nothing, but has nothing to lose
    ],
)
def test_no_claim_without_a_model_that_keeps_its_accuracy(tmp_path, other):
    results = {"Performer": SUPPORTED["Performer"], "CovarianceTransformer": other}
    assert sentence(tmp_path, results) == (
        "On MNIST16, Performer (91.0 % on all test images) loses 72.0 [71.0, 73.0] points of accuracy when the image "
        "moves by 3 columns; the runs show no model that loses less and is more accurate on the moved images."
    )


def test_no_claim_if_performer_may_lose_nothing(tmp_path):
    results = SUPPORTED | {"Performer": [(0.9, 0.9, 0.2, 0.2), (0.9, 0.9, 0.9, 0.92)]}
    said = "On MNIST16, the runs show no loss of Performer when the image moves by 3 columns: 34.5 [−1.0, 70.0] points."
    assert sentence(tmp_path, results) == said


def test_single_seeds_show_no_difference(tmp_path):
    evaluations, shift = written(tmp_path, {model: seeds[:1] for model, seeds in SUPPORTED.items()})
    runs = read_evaluations(evaluations)
    assert shift_sentences(read_shift_table(shift), runs) == [
        "On MNIST16, Performer (90.0 % on all test images) loses 73.0 points of accuracy when the image moves by 3 "
        "columns; CovarianceTransformer (94.0 %) loses 0.5. A single seed does not show that they differ."
    ]
    assert accuracy_sentences(runs) == [
        "On MNIST16, RotaryPerformer has the highest test accuracy, 97.0 %; CovarianceTransformer has 94.0 %. A single "
        "seed does not show that they differ."
    ]


def test_without_absolute_positions_there_is_nothing_to_say(tmp_path):
    results = {model: seeds for model, seeds in SUPPORTED.items() if model != "Performer"}
    evaluations, shift = written(tmp_path, results)
    runs = read_evaluations(evaluations)
    assert shift_sentences(read_shift_table(shift), runs) == accuracy_sentences(runs) == []


def accuracies(tmp_path, *rows):
    return accuracy_sentences(read_evaluations(csv(tmp_path / "evaluations.csv", rows)))


def test_the_most_accurate_model_is_compared_with_the_next_by_seed(tmp_path):
    values = {"Performer": (0.80, 0.84), "RotaryPerformer": (0.84, 0.90), "CosPerformer": (0.5, 0.5)}
    rows = [run_row(model, seed=seed, acc=acc) for model, accs in values.items() for seed, acc in enumerate(accs)]
    # the intervals overlap, the paired difference excludes 0
    assert accuracies(tmp_path, *rows) == [
        "On MNIST, RotaryPerformer has the highest test accuracy, 87.0 %, which is 5.0 [4.0, 6.0] points more than "
        "that of Performer."
    ]
    rows[0]["test/acc"] = 0.85
    assert accuracies(tmp_path, *rows) == [
        "On MNIST, RotaryPerformer has the highest test accuracy, 87.0 %; the seeds do not tell it from Performer, "
        "84.5 % (2.5 [−1.0, 6.0] points less)."
    ]


def test_sentences_are_about_the_first_experiment_and_embedding(tmp_path):
    places = product(("a", "b"), ("linear", "MLP"), ("MNIST", "FashionMNIST"), ("Performer", "CosPerformer"))
    rows = [
        run_row(model, dataset, embedding=embedding, experiment=experiment)
        for experiment, embedding, dataset, model in places
    ]
    where = [text.partition(",")[0] for text in accuracies(tmp_path, *rows)]
    assert where == [f"On {name} with the linear embedding in the experiment a" for name in ("MNIST", "FashionMNIST")]


def test_page_and_text_have_table_sentences_figure_and_command(tmp_path):
    evaluations, shift = written(tmp_path, SUPPORTED)
    table = pd.read_csv(shift)
    # an earlier version did not record the seconds
    seconds = table["model"].map({"Performer": 12.4, "NoposPerformer": 7.0, "CovarianceTransformer": 7.0})
    costs = csv(tmp_path / "costs.csv", table.assign(n_parameters=25_842, core_seconds_mean=seconds))
    (tmp_path / "shift.png").write_bytes(b"\x89PNG")
    words = ["--costs", costs, "--shift", shift, "--figure", tmp_path / "shift.png", "--command", "snakemake <all>"]
    words = [str(word) for word in [evaluations, *words, "--out", tmp_path]]
    write_claim.main(words)
    text = (tmp_path / "claim.html").read_text()
    parts = ["<p>On MNIST16, Performer", 'src="data:image/png;base64,iVBORw=="', "<p>On MNIST16, CovarianceTransformer"]
    parts += ["<strong>94.50 ± 0.71 [94.00, 95.00]</strong>", "<pre>snakemake &lt;all&gt;</pre>"]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    lines = [line.split() for line in (tmp_path / "claim.txt").read_text().splitlines()]
    assert lines[1:5] == [
        ["Performer", "97.0", "25.0", "72.0", "25,842", "12", "2"],
        ["NoposPerformer", "96.0", "96.0", "0.0", "flat", "25,842", "7", "2"],
        ["CovarianceTransformer", "98.0", "98.0", "0.0", "flat", "25,842", "7", "2"],
        ["RotaryPerformer", "99.0", "55.0", "44.0", "25,842", "2"],
    ]
    assert "On MNIST16, Performer (91.0 % on all test images) loses" in (tmp_path / "claim.txt").read_text()
    (tmp_path / "shift.png").unlink()
    with pytest.raises(UserError, match=r"cannot read .*shift\.png: No such file"):
        write_claim.main(words)
    pd.read_csv(shift).drop(columns="far").to_csv(shift, index=False)
    with pytest.raises(UserError, match="lacks the column far"):
        write_claim.main(words)
