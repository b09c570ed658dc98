"""Tabulate what a redraw of the random features does to the loss and accuracy of every configuration."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from relative_performer.cli import ArgumentParser, run
from relative_performer.results.configurations import CONFIGURATION, describe, join
from relative_performer.results.intervals import statistics_of
from relative_performer.results.read import read_csv, read_evaluations
from relative_performer.results.tables import OVER_SEEDS, interval_text, percent, write_tables

REDRAWN = {"run_dir": str, "draw": int, "accuracy_mean": float, "loss_mean": float}
NOTE = (
    "Test accuracy and mean test loss with the random features of the last training step, and with newly drawn ones "
    f"(mean over the draws). Jump: the loss after the redraw minus the loss before. Accuracy in percent: {OVER_SEEDS}."
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Write redraw.csv, redraw.md and redraw.tex: for every configuration the test loss and accuracy\n"
        "before and after a redraw of the random features.",
        epilog="example:\n"
        "  tabulate_redraws.py --evaluations results/redraw/model_evaluations.csv \\\n"
        "    --redrawn results/redraw/MNIST16_redrawn.csv --out results/redraw/tables",
    )
    parser.add_argument("--evaluations", type=Path, required=True, metavar="CSV", help="one row per run")
    parser.add_argument(
        "--redrawn", nargs="+", type=Path, required=True, metavar="CSV", help="results of test_redrawn.py"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the three files")
    options = parser.parse_args(arguments)
    runs = describe(read_evaluations(options.evaluations))
    tests = [join(runs, read_csv(path, REDRAWN, once=("run_dir", "draw")), path) for path in options.redrawn]
    summary = summarize(pd.concat(tests))
    sections = {
        f"{experiment}, {dataset}": _cells(part)
        for (experiment, dataset), part in summary.groupby(CONFIGURATION[:2], sort=False, observed=True)
    }
    write_tables(options.out / "redraw", summary, sections, "A redraw of the random features", NOTE)


def summarize(draws: pd.DataFrame) -> pd.DataFrame:
    """Return a row per configuration: n_seeds and statistics of loss, redrawn_loss, jump, acc and redrawn_acc.

    draws: a row per run and draw, joined with the runs; draw 0 is before the redraw.
    """
    key = ["run_dir", *CONFIGURATION]
    means = {"loss": ("loss_mean", "mean"), "acc": ("accuracy_mean", "mean")}
    before = draws[draws["draw"] == 0].groupby(key, observed=True).agg(**means)
    after = draws[draws["draw"] > 0].groupby(key, observed=True).agg(**means)
    runs = before.join(after.add_prefix("redrawn_")).reset_index()
    runs = runs.assign(jump=runs["redrawn_loss"] - runs["loss"])
    quantities = statistics_of("loss", "redrawn_loss", "jump", "acc", "redrawn_acc")
    return runs.groupby(CONFIGURATION, observed=True).agg(n_seeds=("run_dir", "nunique"), **quantities).reset_index()


def _cells(part: pd.DataFrame) -> list[list[str]]:
    return [
        ["model", "embedding", "accuracy", "redrawn", "loss", "redrawn", "jump", "runs"],
        *(
            [
                *(row["model"] + row["settings"], row["embedding_type"]),
                *(percent(row, f"{name}_") for name in ("acc", "redrawn_acc")),
                *(interval_text(row, f"{name}_") for name in ("loss", "redrawn_loss", "jump")),
                str(row["n_seeds"]),
            ]
            for row in part.to_dict("records")
        ),
    ]


if __name__ == "__main__":
    run(main)
