"""Compare our results with the published ones, row by row."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from relative_performer.cli import ArgumentParser, run
from relative_performer.data import DATASETS
from relative_performer.models import MODELS
from relative_performer.results.intervals import STATISTICS, statistics_of, wilson
from relative_performer.results.published import OPTIONS, read_published, unusual
from relative_performer.results.read import in_order, normal, read_evaluations
from relative_performer.results.tables import OVER_SEEDS, number, percent, write_tables

PLACE = ["model", "dataset", "embedding_type"]
SPLITS = {"train": "training", "val": "validation", "test": "test"}
BASELINE_EPOCHS = 20
SECTIONS = {"full": "Run in full", "reduced": "Run at a smaller scale, so not a reproduction"}
COMMAND = "`snakemake all --cores N --configfile config.yaml`"
NOTE = (
    f"In percent. Ours: {OVER_SEEDS}; of a full run alone, [Wilson 95 % interval over its images]. Published: one run. "
    "Difference: ours minus published. Within: whether the published value is inside our interval. May explain it: the "
    "published value is outside, but inside the Wilson interval of one run with our mean accuracy. Full: trained to "
    "the end and tested, both on all images. Differs: what our runs do not share with the published one. "
    "content_rel_attn had no effect in the authors' code. Its rows are compared with our runs without it and with our "
    "runs in which it takes effect."
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Write reproduction.csv (fractions), reproduction.md and reproduction.tex (percent; needs\n"
        "booktabs). The CSV lists every published run with our runs of the same model, dataset, embedding and\n"
        "options. The tables list those that we have, first the ones that ran in full.",
        epilog="example:\n"
        "  compare_published.py results/paper/model_evaluations.csv \\\n"
        "    --published resources/published_evaluations.csv --cnn resources/published_cnn.csv \\\n"
        "    --out results/paper/tables",
    )
    parser.add_argument("evaluations", type=Path, metavar="EVALUATIONS.csv", help="our runs, one row each")
    parser.add_argument("--published", type=Path, required=True, metavar="CSV", help="published runs of the Performers")
    parser.add_argument("--cnn", type=Path, required=True, metavar="CSV", help="published runs of the baselines")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the three files")
    options = parser.parse_args(arguments)
    table = reproduction(read_evaluations(options.evaluations), read_published(options.published, options.cnn))
    ran = {heading: table[table["status"] == status] for status, heading in SECTIONS.items()}
    sections = {heading: _cells(part) for heading, part in ran.items() if len(part)}
    write_tables(options.out / "reproduction", table, sections, "Our results and the published results", _note(table))


def _note(table: pd.DataFrame) -> str:
    counts = {status: (table["status"] == status).sum() for status in (*SECTIONS, "not run")}
    text = f"{len(table)} rows: {', '.join(f'{count} {status}' for status, count in counts.items())}."
    if counts["not run"]:
        text += f" {COMMAND} runs all of them, and reproduction.csv lists them."
    return f"{text} {NOTE}" if counts["not run"] < len(table) else text


def reproduction(runs: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Return one row per published run and, for those with content_rel_attn, a second one marked `intended`.

    Columns after those of the published run: comparison (as run, or intended), metric, published, n_seeds, ours_mean,
    ours_std, ours_low, ours_high, difference, within and explanation (only for full runs), status, scale. The interval
    of a single full run is over its images.
    """
    runs = runs.assign(scale=[scale(row) for row in runs.to_dict("records")])
    rows = []
    for row in published.to_dict("records"):
        # in the authors' code the flag never reached the attention, so their runs trained the model without it
        rows.append(_compared(runs, row, row | {"content_rel_attn": row["content_rel_attn"] and "false"}, "as run"))
        if row["content_rel_attn"] == "true":
            rows.append(_compared(runs, row, row, "intended"))
    return pd.DataFrame(rows)


def _compared(
    runs: pd.DataFrame, row: Mapping[Hashable, Any], wanted: Mapping[Hashable, Any], comparison: str
) -> dict[Hashable, Any]:
    metric, split = ("val/acc", "val") if np.isnan(row["test/acc"]) else ("test/acc", "test")
    chosen = matching(runs, wanted)
    ours: dict[Hashable, Any] = {f"ours_{name}": np.nan for name in STATISTICS}
    if len(chosen):
        values = chosen[[metric]].rename(columns={metric: "ours"})
        (ours,) = values.groupby(lambda _: 0).agg(**statistics_of("ours")).to_dict("records")
    scales = sorted(set(chosen["scale"]))
    status = "not run" if chosen.empty else "reduced" if any(scales) else "full"
    within = explanation = ""
    if status == "full":
        of_one = wilson(ours["ours_mean"], float(chosen[f"{split}_images"].iloc[0]))
        if len(chosen) == 1:
            ours["ours_low"], ours["ours_high"] = of_one
        inside = ours["ours_low"] <= row[metric] <= ours["ours_high"]
        within = str(inside).lower()
        if not inside and of_one[0] <= row[metric] <= of_one[1]:
            low, high = (number(100 * end) for end in of_one)
            explanation = f"one run has the interval [{low}, {high}] over its images"
    return {
        **{name: row[name] for name in ["experiment", *PLACE, *OPTIONS]},
        "comparison": comparison,
        "metric": metric,
        "published": row[metric],
        "n_seeds": len(chosen),
        **ours,
        "difference": ours["ours_mean"] - row[metric],
        "within": within,
        "explanation": explanation,
        "status": status,
        "scale": "; ".join(scales),
        "run_dirs": "; ".join(chosen["run_dir"]),
    }


def matching(runs: pd.DataFrame, row: Mapping[Hashable, Any]) -> pd.DataFrame:
    """Return the runs, one per seed, with the options of a published row; only full runs if there are any.

    An option that the row does not give must have its published value in the runs that have this option.
    """
    same = pd.Series(True, runs.index)
    for name in [*PLACE, *OPTIONS]:
        if row[name]:
            same &= _normal(runs, name) == normal(row[name])
    for name, value in MODELS[str(row["model"])].published.items():
        same &= _normal(runs, name).isin(["", normal(value)])
    # runs with the same seed are the same run, not two samples
    chosen = runs[same].sort_values("scale", key=lambda scales: scales.str.len() > 0, kind="stable")
    if (chosen["scale"] == "").any():
        chosen = chosen[chosen["scale"] == ""]
    return chosen.drop_duplicates("seed")


def _normal(runs: pd.DataFrame, name: str) -> pd.Series:
    return runs[name].astype(str).map(normal).astype(str) if name in runs else pd.Series("", runs.index)


def scale(run: Mapping[Hashable, Any]) -> str:
    """Return a description of how a run is smaller than a published one; empty for a full run."""
    return ", ".join(_reductions(run))


def _reductions(run: Mapping[Hashable, Any]) -> Iterator[str]:
    if run["dataset"] not in DATASETS or run["model"] not in MODELS:
        yield "unknown model or dataset"
        return
    full = dict(zip(SPLITS, DATASETS[str(run["dataset"])].images, strict=True))
    for split, words in SPLITS.items():
        count, limit = _count(run, f"{split}_images"), _count(run, f"limit_{split}")
        of = full[split]
        if count is None:
            yield f"unknown number of {words} images"
        elif count < of or (limit is not None and limit < of):
            yield f"{count:,} {words} images"
    epochs, most = _count(run, "epochs"), _count(run, "max_epochs")
    if epochs is None:
        yield "unknown number of epochs"
        return
    # the published baselines trained for a fixed number of epochs, the Performers until early stopping
    few = most is not None and epochs >= most
    early = epochs < BASELINE_EPOCHS if MODELS[str(run["model"])].baseline else few
    if early or _ended_by_steps(run, epochs):
        yield f"{epochs} epoch{'s' * (epochs != 1)}"


def _ended_by_steps(run: Mapping[Hashable, Any], epochs: int) -> bool:
    most, images, batch = (_count(run, name) for name in ("max_steps", "train_images", "batch_size"))
    if most is None or images is None or batch is None:
        return most is not None
    return epochs * -(-images // batch) >= most


def _count(run: Mapping[Hashable, Any], name: str) -> int | None:
    text = str(run.get(name, ""))
    return int(float(text)) if text not in ("", "nan") else None


def _cells(part: pd.DataFrame) -> list[list[str]]:
    datasets = in_order(part["dataset"], list(DATASETS))
    lines = [_line(row) for name in datasets for row in part[part["dataset"] == name].to_dict("records")]
    filled = [column for column in lines[0] if any(line[column] for line in lines)]
    return [filled, *([line[column] for column in filled] for line in lines)]


def _line(row: Mapping[Hashable, Any]) -> dict[str, str]:
    intended = "content_rel_attn takes effect" if row["comparison"] == "intended" else ""
    return {
        "dataset": row["dataset"],
        "model": row["model"],
        "options": unusual(row),
        "metric": row["metric"],
        "published": number(100 * row["published"]),
        "ours": percent(row, "ours_"),
        "seeds": str(row["n_seeds"]),
        "difference": number(100 * row["difference"], True),
        "within": {"true": "yes", "false": "no", "": ""}[row["within"]],
        "may explain it": row["explanation"],
        "differs": ", ".join(filter(None, (intended, row["scale"]))),
    }


if __name__ == "__main__":
    run(main)
