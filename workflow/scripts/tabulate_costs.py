"""Tabulate the accuracy of every configuration beside its number of parameters and what its training cost."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from relative_performer.cli import ArgumentParser, run
from relative_performer.results.configurations import CONFIGURATION, describe, join, named
from relative_performer.results.intervals import statistics_of
from relative_performer.results.read import read_csv, read_evaluations
from relative_performer.results.tables import by_dataset, interval_text, number, write_tables

TIMES = {
    "run_dir": str, "accelerator": str, "devices": int, "seconds": float, "core_seconds": float, "machine": str,
    "peak_bytes": float, "flop": float,
}  # fmt: skip
NOTE = (
    "Accuracy: test accuracy in percent. Core seconds: the CPU time of a training and its validation. Both: mean over "
    "seeds [bootstrap 95 % interval]; a single seed has no interval. Core hours, GPU hours and TFLOP are sums over "
    "runs. TFLOP: the counted work (10^12 floating-point operations) of all products and convolutions. GB: the largest "
    "memory of the GPU or, without one, of the process. Values of several datasets are separated by slashes. A cell is "
    "empty where a run of an earlier version did not record it. All but accuracy and TFLOP depend on the machine."
)
COSTS = ["core hours", "GPU hours", "TFLOP", "GB", "machine", "runs"]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Write costs.csv, costs.md and costs.tex: the test accuracy of every configuration over its\n"
        "seeds, its number of parameters, and what its trainings cost: time, work, memory, machine. The last section\n"
        "has the totals. Unlike other tables, it depends on the machine.",
        epilog="example:\n"
        "  tabulate_costs.py --evaluations results/paper/model_evaluations.csv \\\n"
        "    --times results/paper/training_times.csv --out results/paper/tables",
    )
    parser.add_argument("--evaluations", type=Path, required=True, metavar="CSV", help="one row per run")
    parser.add_argument("--times", type=Path, required=True, metavar="CSV", help="one row per run")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the three files")
    options = parser.parse_args(arguments)
    evaluations = read_evaluations(options.evaluations)
    runs = describe(evaluations).merge(evaluations[["run_dir", "seed", "test/acc", "n_parameters"]], on="run_dir")
    times = join(runs, read_csv(options.times, TIMES, once=("run_dir",)), options.times)
    summary = summarize(times)
    sections = {str(name): _cells(part) for name, part in summary.groupby("experiment", sort=False, observed=True)}
    sections["all runs"] = [COSTS, _costs(sums(times) | {"runs": len(times)})]
    write_tables(options.out / "costs", summary, sections, "Accuracy and cost", NOTE)


def summarize(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row per configuration and dataset: n_seeds, n_parameters, statistics of test/acc, core_seconds; `sums`.

    runs: a row per run, joined with its costs.
    """
    groups = runs.astype({"n_parameters": int}).groupby(CONFIGURATION, observed=True)
    counts = groups.agg(n_seeds=("seed", "nunique"), n_parameters=("n_parameters", "first"))
    totals = pd.DataFrame([sums(group) for _, group in groups], index=counts.index)
    return counts.join(groups.agg(**statistics_of("test/acc", "core_seconds"))).join(totals).reset_index()


def sums(runs: pd.DataFrame) -> dict[str, Any]:
    """Return what runs cost together: core_hours, gpu_hours, flop, peak_bytes (the largest), machines.

    A number is NaN if a run lacks it.
    """
    gpu_seconds = (runs["seconds"] * runs["devices"]).where(runs["accelerator"] == "cuda", 0)
    return {
        "core_hours": runs["core_seconds"].sum(skipna=False) / 3600,
        "gpu_hours": gpu_seconds.sum(skipna=False) / 3600,
        "flop": runs["flop"].sum(skipna=False),
        "peak_bytes": runs["peak_bytes"].max(skipna=False),
        "machines": "; ".join(sorted(set(runs["machine"]) - {""})),
    }


def _cells(part: pd.DataFrame) -> list[list[str]]:
    table = named(part)
    rows = table.to_dict("records")
    texts = {
        "accuracy": [interval_text(row, "test/acc_", 100) for row in rows],
        "core seconds": [interval_text(row, "core_seconds_", decimals=1) for row in rows],
        "parameters": [f"{row['n_parameters']:,}" for row in rows],
        **{name: list(column) for name, column in zip(COSTS, zip(*map(_costs, rows), strict=True), strict=True)},
    }
    return by_dataset(
        table.assign(**texts), ["model", "embedding"], ["accuracy", "core seconds"], ["parameters", *COSTS]
    )


def _costs(row: Mapping[Any, Any]) -> list[str]:
    hours = [number(row["core_hours"]), number(row["gpu_hours"])]
    return [*hours, number(row["flop"] / 1e12), number(row["peak_bytes"] / 1e9), row["machines"], str(row["runs"])]


if __name__ == "__main__":
    run(main)
