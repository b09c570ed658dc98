"""Trained weights in resources/weights: the pipeline tests them again, and draws the shift figure from them alone."""

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd

from helpers import SCRIPTS, snakemake


def script(folder: Path, name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SCRIPTS / name, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_exported_weights_give_the_curves_of_their_runs(project, tmp_path):
    folder = shutil.copytree(project, tmp_path / "copy")
    run_dirs = sorted(path.relative_to(folder) for path in folder.glob("results/tiny/runs/*/*"))
    exported = script(folder, "export.py", *run_dirs, "--out", "resources/weights/tiny")
    assert exported.returncode == 0, exported.stderr
    reference = folder / "resources/reference/tiny"
    reference.mkdir()
    for name in ("model_evaluations.csv", "Digits_shift.csv"):
        shutil.move(folder / "results/tiny" / name, reference / name)
    shutil.rmtree(folder / "results")
    done = snakemake(folder, "weights")
    assert done.returncode == 0, done.stderr
    assert not (folder / "results/tiny/runs").exists()
    assert (folder / "figures/tiny/weights/shift.png").read_bytes().startswith(b"\x89PNG")
    ours, theirs = folder / "results/tiny/weights/Digits_shift.csv", reference / "Digits_shift.csv"
    assert sorted(ours.read_text().splitlines()) == sorted(theirs.read_text().splitlines())

    def compare() -> tuple[int, list[str]]:
        done = script(folder, "compare_curves.py", "results/tiny/weights", "--reference", reference)
        return done.returncode, (done.stdout + done.stderr).splitlines()

    same = f"4 of 4 curves equal those of {reference} (largest difference of losses 0)"
    assert compare() == (0, [same])
    table = pd.read_csv(theirs)
    rounding = ", 1 up to rounding, as between kinds of processors"
    for column, change, differs, summary in (
        ("loss_mean", 1e-7, [], f"4 of 4 curves equal those of {reference} ("),
        ("loss_mean", 1e-5, [], f"3 of 4 curves equal those of {reference}{rounding} ("),
        ("loss_mean", 1e-4, ["0 in accuracy and 0.0001 in loss"], f"3 of 4 curves equal those of {reference} ("),
        ("accuracy_mean", 1e-9, ["1e-09 in accuracy and 0 in loss"], f"3 of 4 curves equal those of {reference} ("),
    ):
        changed = table.assign(**{column: table[column].where(table.index != 3, table[column] + change)})
        changed.to_csv(theirs, index=False)
        code, (*found, last) = compare()
        assert code == bool(differs)
        assert found == [f"{table['run_dir'][3]}: differs by at most {text}" for text in differs]
        assert last.startswith(summary)
    table = pd.read_csv(ours)
    table[1:].to_csv(ours, index=False)
    lacking = f"results/tiny/weights/Digits_shift.csv: {table['run_dir'][0]} lacks shift -3"
    assert compare() == (2, [f"compare_curves.py: error: {lacking}"])
