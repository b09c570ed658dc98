"""The reported progress of runs while they train."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import status
from helpers import REPOSITORY, SCRIPTS
from relative_performer.runs import folders
from relative_performer.runs.progress import SILENCE, describe, ends

NOW = 1e9
PROGRESS = {
    "host": "elsewhere",
    "pid": 1,
    "time": NOW,
    "epoch": 4,
    "step": 450,
    "images_per_second": 20.0,
    "epoch_seconds": 100.0,
    "elapsed": 30.0,
    "least_epochs": 8,
    "most_epochs": 50,
}


def test_estimated_ends_of_epoch_and_run():
    times = {"epoch_end": NOW + 70, "soonest_end": NOW + 370, "latest_end": NOW + 4570}
    assert ends(PROGRESS) == times
    assert ends(PROGRESS | {"elapsed": 130.0})["epoch_end"] == NOW
    assert ends(PROGRESS | {"epoch_seconds": None}) == {}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "running"),
        ({"time": NOW - SILENCE - 1}, "interrupted"),
        ({"host": socket.gethostname(), "pid": os.getpid()}, "running"),
        ({"host": socket.gethostname(), "pid": 2**22 + 1}, "interrupted"),  # above any process ID
    ],
)
def test_a_run_without_a_sign_of_life_is_interrupted(tmp_path, change, expected):
    run_dir = tmp_path / "main" / "x"
    run_dir.mkdir(parents=True)
    assert describe(run_dir, NOW)["state"] == "waiting"
    (run_dir / folders.PROGRESS).write_text(json.dumps(PROGRESS | change))
    (run_dir / folders.METRICS).write_text("epoch,step,val/acc\n0,100,0.5\n1,200,0.75\n2,300,0.25\n")
    row = describe(run_dir, NOW)
    assert row["state"] == expected
    table = status.report({run_dir: row, tmp_path / "y": {"state": "waiting"}}).splitlines()
    cells = dict(zip(*(re.split(" {2,}", line) for line in table[:2]), strict=False))
    assert (cells["run"], cells["val/acc"], cells["best"]) == ("main/x", "0.2500", "0.7500")
    assert cells["step"] == ("450" if expected == "running" else "300")
    assert table[2].startswith("2 runs: ")
    assert f"1 {expected}" in table[2]
    assert "1 waiting" in table[2]


def test_a_failed_run_says_what_ended_it(tmp_path):
    run_dir = tmp_path / "main" / "x"
    run_dir.mkdir(parents=True)
    (run_dir / folders.FAILURE).write_text("the loss became nan\n")
    for content in ("", json.dumps(PROGRESS | {"time": NOW - SILENCE - 1})):
        if content:
            (run_dir / folders.PROGRESS).write_text(content)
        row = describe(run_dir, NOW)
        assert (row["state"], row["failure"]) == ("failed", "the loss became nan")
    assert status.report({run_dir: row}).splitlines()[-2:] == [
        "failed: the loss became nan",
        "1 runs: 0 finished, 1 failed, 0 interrupted, 0 waiting, 0 running",
    ]


def test_runs_of_a_configuration_that_have_not_begun_wait(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text("{name: x, experiments: {a: {dataset: Digits, seed: [0, 1, 2], models: {Performer: }}}}")
    run_dir = Path("results/x/runs/a/Performer_Digits_linear_seed1")
    run_dir.mkdir(parents=True)
    (run_dir / folders.METRICS).write_text("epoch,step,val/acc\n0,100,0.5\n")
    monkeypatch.setattr("sys.argv", ["status.py", "x.yaml"])
    status.main()
    table = capsys.readouterr().out.splitlines()
    assert table[1].split()[:2] == ["a/Performer_Digits_linear_seed1", "interrupted"]
    assert table[2] == "3 runs: 0 finished, 0 failed, 1 interrupted, 2 waiting, 0 running"


def test_a_reader_that_ends_first_causes_no_error():
    """As in `status.py config.yaml | head -1`."""
    command = f"{sys.executable} {SCRIPTS}/status.py {REPOSITORY}/config.yaml | true"
    assert subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False).stderr == ""
