"""Compare shift tests with reference results, and check whether the paper's claim holds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from relative_performer.cli import ArgumentParser, run
from relative_performer.errors import UserError
from relative_performer.files import write_csv
from relative_performer.models import MODELS
from relative_performer.results.configurations import join, settings_of, varied_options
from relative_performer.results.intervals import STATISTICS, statistics_of
from relative_performer.results.read import read_evaluations, read_shift_test
from relative_performer.results.shift_results import FAR_SHIFTS, shift_quantities
from relative_performer.results.tables import OVER_SEEDS, markdown, number, percent, write_tables

PLACE = ["experiment", "dataset", "model", "settings"]
PARTS = ["part", "value", "limit", "holds"]
QUANTITIES = {
    "center": "Accuracy at shift 0",
    "lost": f"Accuracy lost: accuracy at shift 0 minus the mean over all {FAR_SHIFTS}",
    "left": "Accuracy at the largest shift to the left",
    "right": "Accuracy at the largest shift to the right",
    "skew": "Accuracy at the largest shift to the right minus accuracy at the largest shift to the left",
    "all": "Accuracy over all classes, not shifted",
}
(ABSOLUTE,) = (name for name, model in MODELS.items() if model.positions == "absolute")
RELATIVE = [name for name, model in MODELS.items() if model.positions == "relative" and model.published]  # the paper's
LEAST_CENTER, LEAST_LOST, MOST_SHARE = 0.95, 0.30, 0.25
EPILOG = f"""\
example:
  compare_reference.py results/mini --reference resources/reference/mini --out results/mini/tables

Both folders contain model_evaluations.csv and one DATASET_shift.csv per dataset, as the pipeline writes them. The claim
holds if, on every dataset,
  - {ABSOLUTE} and the paper's relative models classify at least {LEAST_CENTER:.0%} of the unshifted images correctly,
  - {ABSOLUTE} loses at least {100 * LEAST_LOST:.0f} points of accuracy, averaged over {FAR_SHIFTS},
  - the relative models lose at most {MOST_SHARE:.0%} of what {ABSOLUTE} loses,
  - the 95 % intervals over seeds of these two losses do not overlap.
An experiment without {ABSOLUTE} is compared with the {ABSOLUTE} of another experiment on the same dataset. Without any
of these models, claim.csv has no rows. Models that the reference lacks have a blank reference.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Write and print the comparison with the reference, reference.{csv,md,tex} (accuracy on shifted\n"
        "images; fractions in the CSV, otherwise percent), and claim.csv (each part of the paper's claim and whether\n"
        "it holds).",
        epilog=EPILOG,
    )
    parser.add_argument("results", type=Path, metavar="RESULTS", help="folder of your results")
    parser.add_argument("--reference", type=Path, required=True, metavar="DIR", help="folder of the reference results")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the four files")
    options = parser.parse_args(arguments)
    theirs = summarize(options.reference)
    ours = summarize(options.results, dict(zip(theirs["dataset"], theirs["edge"], strict=True)))
    table, claims = compare(ours, theirs, options.results), judge(ours)
    sections = {"The claim": _claim_cells(claims)} if len(claims) else {}
    sections |= {title: _cells(table[table["quantity"] == name]) for name, title in QUANTITIES.items()}
    title, note = "Your results and the reference", f"In percent: {OVER_SEEDS}. Difference: yours minus reference."
    write_tables(options.out / "reference", table, sections, title, note)
    write_csv(options.out / "claim.csv", claims)
    print(markdown(sections, title, note))
    for experiment, part in claims.groupby("experiment", sort=False):
        print(f"{experiment}: the claim {'holds' if part['holds'].all() else 'does not hold'}", end="")
        print(f" ({part['holds'].sum()} of its {len(part)} parts do)")


def summarize(folder: Path, edges: Mapping[str, int] = MappingProxyType({})) -> pd.DataFrame:
    """Return a row per experiment, dataset, model and setting, with n_seeds, edge and the statistics of every quantity.

    edge is the largest shift that is used, by dataset: that in `edges` or, where a dataset is not in it, the largest
    one that was tested. Raises UserError if a file is missing or malformed, or a run lacks a shift.
    """
    runs = read_evaluations(folder / "model_evaluations.csv")
    parts = [
        part.assign(settings=settings_of(part, varied_options(part)))
        for _, part in runs.groupby("experiment", observed=True)
    ]
    runs = pd.concat(parts)
    rows = []
    for dataset, part in runs.groupby("dataset", observed=True):
        path = folder / f"{dataset}_shift.csv"
        shifts = join(part[["run_dir"]], read_shift_test(path, ["accuracy_mean"]), path)
        if shifts["row_shift"].any() or shifts["circular"].any():
            raise UserError(f"{path}: the claim is about shifts along columns: test without --axis and --circular")
        rows.append(shift_quantities(part.assign(all=part["test/acc"]), shifts, path, edges.get(str(dataset), 0)))
    grouped = pd.concat(rows).groupby(PLACE, observed=True)
    counts = grouped.agg(n_seeds=("seed", "nunique"), edge=("edge", "first"))
    summary = counts.join(grouped.agg(**statistics_of(*QUANTITIES))).reset_index()
    return summary.astype(dict.fromkeys(PLACE, str))  # the categories of the two folders may differ


def compare(ours: pd.DataFrame, theirs: pd.DataFrame, results: Path) -> pd.DataFrame:
    """Return a row per quantity, experiment, dataset, model and setting: statistics of both sides and the difference.

    A row that the reference lacks has NaN there. Raises UserError if our results, in the folder `results`, lack one.
    """
    here, there = (list(side[PLACE].itertuples(index=False, name=None)) for side in (ours, theirs))
    if lacking := [place for place in there if place not in here]:
        experiment, dataset, model, settings = lacking[0]
        raise UserError(
            f"{results} lacks {model}{settings} on {dataset}, experiment {experiment}; the reference has it"
        )
    pairs = ours.merge(theirs, how="left", on=PLACE, suffixes=("", "_reference"))
    pairs = pairs.fillna({"n_seeds_reference": 0}).astype({"n_seeds_reference": int})
    rows = []
    for quantity in QUANTITIES:
        for pair in pairs.to_dict("records"):
            row = {"quantity": quantity} | {name: pair[name] for name in PLACE}
            for side, suffix in (("ours", ""), ("reference", "_reference")):
                row[f"{side}_seeds"] = pair[f"n_seeds{suffix}"]
                row |= {f"{side}_{name}": pair[f"{quantity}_{name}{suffix}"] for name in STATISTICS}
            rows.append(row | {"difference": row["ours_mean"] - row["reference_mean"]})
    return pd.DataFrame(rows)


def judge(summary: pd.DataFrame) -> pd.DataFrame:
    """Return a row per part of the claim, with the columns of PLACE and PARTS.

    Raises UserError if a dataset has no model with absolute positions to compare with.
    """
    rows = []
    for row in summary[summary["model"].isin([ABSOLUTE, *RELATIVE])].to_dict("records"):
        center, lost = row["center_mean"], row["lost_mean"]
        parts = [("accuracy at shift 0", center, LEAST_CENTER, center >= LEAST_CENTER)]
        if row["model"] == ABSOLUTE:
            parts.append(("loses much", lost, LEAST_LOST, lost >= LEAST_LOST))
        else:
            absolute = _absolute(summary, row["experiment"], row["dataset"])
            most, low = MOST_SHARE * absolute["lost_mean"], absolute["lost_low"]
            parts.append(("loses little", lost, most, lost <= most))
            parts.append((f"interval apart from {ABSOLUTE}'s", row["lost_high"], low, row["lost_high"] < low))
        place = {name: row[name] for name in PLACE}
        rows += [place | dict(zip(PARTS, part, strict=True)) for part in parts]
    return pd.DataFrame(rows, columns=[*PLACE, *PARTS])


def _absolute(summary: pd.DataFrame, experiment: str, dataset: str) -> pd.Series:
    absolute = summary[(summary["model"] == ABSOLUTE) & (summary["dataset"] == dataset)]
    if absolute.empty:
        raise UserError(f"no {ABSOLUTE} was tested on {dataset}: there is nothing to compare {experiment} with")
    own = absolute[absolute["experiment"] == experiment]
    return (absolute if own.empty else own).iloc[0]


def _claim_cells(claims: pd.DataFrame) -> list[list[str]]:
    return [
        ["experiment", "dataset", "model", "part", "yours", "limit", "holds"],
        *(
            [
                *(row["experiment"], row["dataset"], row["model"] + row["settings"], row["part"]),
                *(number(100 * row["value"]), number(100 * row["limit"]), "yes" if row["holds"] else "no"),
            ]
            for row in claims.to_dict("records")
        ),
    ]


def _cells(table: pd.DataFrame) -> list[list[str]]:
    return [
        ["experiment", "dataset", "model", "yours", "reference", "difference", "seeds"],
        *(
            [
                *(row["experiment"], row["dataset"], row["model"] + row["settings"]),
                *(percent(row, "ours_"), percent(row, "reference_"), number(100 * row["difference"], True)),
                f"{row['ours_seeds']}/{row['reference_seeds']}",
            ]
            for row in table.to_dict("records")
        ),
    ]


if __name__ == "__main__":
    run(main)
