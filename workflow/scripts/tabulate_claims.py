"""Tabulate the claims: what decides each one, what is expected, our value, and whether it holds."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from relative_performer.cli import ArgumentParser, run
from relative_performer.files import write_atomically
from relative_performer.results.claims import FOUND, TESTED, Claim, Statistic
from relative_performer.results.evidence import Plan, Results, statistic
from relative_performer.results.published import BASELINES, OPTIONS, read_shifts, unusual
from relative_performer.results.read import PLACE
from relative_performer.results.shift_results import FAR
from relative_performer.results.tables import markdown, number

EPILOG = """\
example:
  tabulate_claims.py results/claims/tables --published_shift resources/published_shift.csv \\
    --configs config/baselines.yaml config.yaml --plan resources/plan_h100.csv --out docs/claims.md

`snakemake claims` makes the folder of tables and calls this script. Its folder NAME has the tables of the results in
resources/reference/NAME. A claim for which there are no results is open. The first configuration that has its runs says
how to decide it. --plan has the hours of the runs of the last configuration, from `plan.py --gpu`.
"""
HEADER = ["claim", "command", "time", "hardware", "expected", "ours", "holds"]
# the parts of the claim in claim.csv: in words, the quantity, and how it is compared with the limit
PARTS = {
    "accuracy at shift 0": ("classifies unshifted images", "center", "≥"),
    "loses much": ("loses its accuracy under shifts", "lost", "≥"),
    "loses little": ("keeps its accuracy under shifts", "lost", "≤"),
    "interval apart from Performer's": ("loses less than Performer, intervals apart", "lost", "interval below"),
}
# by which our interval may miss a published accuracy, which is that of one run: points, or this part of its error
POINTS, PART = 0.5, 0.1
SHIFT_POINTS = 5.0  # the same for the points that are lost under shifts
PUBLISHED = {  # experiments of the published runs; the others are ablations
    "resize_fixed_relative_redraw1000": "Published accuracies: Performers",
    "clipped_relative": "Published accuracies: Performers",
    BASELINES: "Published accuracies: baselines",
}
ABLATIONS = "Published accuracies: ablations"
NOTE = f"""\
Every claim of the paper and of this project, and what decides it. This page is made from the CSV files in `resources`:

    .venv/bin/snakemake --cores 1 claims

- **time**, **hardware**: of the trainings of the command that ran, without the tests. An empty cell was not recorded.
- **expected**, **ours**: accuracies, and points lost under shifts, in percent; a loss; core seconds. Brackets hold the
  95 % interval over seeds. Lost is the accuracy at shift 0 minus the mean over shifts of at least {FAR} columns
  ({FAR // 2} on images of half their side).
- **holds**: `test` is a claim that holds if its test passes. `open` is a claim that no results of ours decide yet. Its
  time is a lower bound for its three seeds, from
  `.venv/bin/python workflow/scripts/plan.py config.yaml --gpu H100 --csv resources/plan_h100.csv`.
- A published accuracy is that of one run. It is reproduced if our interval misses it by at most {POINTS} points or
  {100 * PART:.0f} % of its error, whichever is more; points lost, by at most {SHIFT_POINTS:.0f} points.
- Published runs with `content_rel_attn` are compared with runs without it, which is what
  [really ran](reproduction.md#published-numbers-beside-ours)."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Write a page with a row per claim: the claim, the command, its time and hardware, the expected\n"
        "value, ours with its interval, and whether the claim holds.",
        epilog=EPILOG,
    )
    parser.add_argument("tables", type=Path, metavar="TABLES", help="folder with the tables of each reference")
    parser.add_argument("--published_shift", type=Path, required=True, metavar="CSV", help="published shift tests")
    parser.add_argument("--configs", nargs="+", type=Path, required=True, metavar="CONFIG", help="what can be run")
    parser.add_argument("--plan", type=Path, required=True, metavar="CSV", help="hours of the last configuration")
    parser.add_argument("--out", type=Path, required=True, metavar="PAGE.md", help="the file to write")
    options = parser.parse_args(arguments)
    results, plan = Results(options.tables), Plan(options.configs, options.plan)
    sections = {
        "The paper's claim, with small models": list(small_models(results)),
        **accuracies(results, plan),
        "Published shift tests": list(shift_tests(results, plan, options.published_shift)),
        **{title: [judged(results, claim) for claim in claims()] for title, claims in FOUND.items()},
        "Decided by tests": [tested(*item) for item in TESTED.items()],
    }
    counts = Counter(line[-1] for lines in sections.values() for line in lines)
    said = f"{counts['yes']} claims hold, {counts['no']} do not, {counts['test']} are decided by tests, and "
    said += f"{counts['open']} are open, for which an H100 needs at least {sum(plan.needed.values()):.0f} hours."
    cells = {title: [HEADER, *lines] for title, lines in sections.items()}
    write_atomically(options.out, markdown(cells, "Claims", f"{NOTE}\n\n{said}").encode())


def verdict(holds: bool) -> str:
    return "yes" if holds else "no"


def small_models(results: Results) -> Iterator[list[str]]:
    """Yield the parts of the paper's claim in the reference of make mini."""
    for row in results.rows("mini/claim"):
        if row["experiment"] == "main":
            words, quantity, sign = PARTS[row["part"]]
            place = {name: row[name] for name in ("experiment", "dataset", "model", "settings")}
            ours = results.statistic("mini/reference", place, quantity)
            expected = f"{sign} {number(100 * float(row['limit']))}"
            claim = f"{row['model']} on {row['dataset']} {words}"
            yield [claim, *results.source("mini/claim"), expected, str(ours), verdict(row["holds"] == "True")]


def accuracies(results: Results, plan: Plan) -> dict[str, list[list[str]]]:
    """Return sections of the published accuracies; the first reference with full runs of the same options decides."""
    tables = {name: results.rows(f"{name}/reproduction") for name in results.names}
    sections: dict[str, list[list[str]]] = {title: [] for title in [*PUBLISHED.values(), ABLATIONS]}
    for group in zip(*tables.values(), strict=True):
        row = group[0]
        if row["comparison"] != "as run":
            continue
        full = [(name, theirs) for name, theirs in zip(tables, group, strict=True) if theirs["status"] == "full"]
        published = 100 * float(row["published"])
        margin = max(POINTS, PART * (100 - published))
        claim = ", ".join(filter(None, (row["model"], row["dataset"], unusual(row))))
        claim += ", validation" if row["metric"] == "val/acc" else ""
        if full:
            name, theirs = full[0]
            ours = statistic(theirs, "ours")
            source, decided = results.source(name), [str(ours), verdict(near(ours, published, margin))]
        else:
            wanted = {name: row[name] for name in [*PLACE, *OPTIONS] if row[name]}
            wanted |= {"content_rel_attn": "false"} if row["content_rel_attn"] else {}  # it had no effect
            source, decided = plan.source(wanted), ["", "open"]
        line = [claim, *source, f"{number(published)} ± {number(margin)}", *decided]
        sections[PUBLISHED.get(row["experiment"], ABLATIONS)].append(line)
    return sections


def near(ours: Statistic, published: float, margin: float) -> bool:
    """Return whether a published value is in our interval, or at most `margin` outside; without one, of our mean."""
    low, high = (ours.mean if end != end else end for end in (ours.low, ours.high))
    return low - margin <= published <= high + margin


def shift_tests(results: Results, plan: Plan, path: Path) -> Iterator[list[str]]:
    """Yield what the published models lose under shifts, decided by the reference `paper`."""
    curves = read_shifts(path)
    for (dataset, model), curve in curves[curves["variant"] == 0].groupby(["dataset", "model"], observed=True):
        accuracy = 100 * curve.set_index("shift")["accuracy_mean"]
        published = accuracy[0] - accuracy[[abs(shift) >= FAR for shift in accuracy.index]].mean()
        claim, expected = f"{model} on {dataset}, points lost", f"{number(published)} ± {number(SHIFT_POINTS)}"
        row = {"experiment": "main", "model": str(model), "dataset": str(dataset), "embedding_type": "linear"}
        if "paper" in results.names:
            ours = results.statistic("paper/shift", row, "lost")
            holds = verdict(near(ours, published, SHIFT_POINTS))
            yield [claim, *results.source("paper/shift"), expected, str(ours), holds]
        else:
            yield [claim, *plan.source(row), expected, "", "open"]


def judged(results: Results, claim: Claim) -> list[str]:
    """Return the row of a claim that a row of a table decides."""
    ours = results.statistic(claim.table, claim.row, claim.quantity)
    other = results.statistic(claim.table, claim.other, claim.quantity) if claim.other else ours
    expected, holds = claim.rule(ours, other)
    return [claim.text, *results.source(claim.table), expected, str(ours), verdict(holds)]


def tested(claim: str, decided: tuple[str, str]) -> list[str]:
    """Return the row of a claim that a test decides."""
    expected, test = decided
    return [claim, f"`python -m pytest tests/{test}`", "seconds", "CPU", expected, "", "test"]


if __name__ == "__main__":
    run(main)
