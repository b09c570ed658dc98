"""Show the progress of runs: a table of those that have started, on any machine, and the number that have not."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from relative_performer.cli import ArgumentParser, run
from relative_performer.config.grid import expand
from relative_performer.config.validate import read_configs
from relative_performer.errors import UserError
from relative_performer.runs.folders import find_results, find_runs
from relative_performer.runs.progress import STATES, describe

EPILOG = """\
examples:
  status.py config.yaml                          (also counts the runs that have not started)
  watch -n 10 python workflow/scripts/status.py lightning_logs

Everything is read from the run folders, so this works on any machine that has access to them. A training updates its
progress every 10 seconds, or after each step if a step takes longer. `seen` is the time since the last update.
`soonest end` is when early stopping ends the run if no further epoch is better than the best so far. `latest end`
follows from max_epochs and max_steps.
"""
COLUMNS = ("run", "state", "host", "seen", "epoch", "step", "val/acc", "best", "images/s")
TIMES = ("epoch end", "soonest end", "latest end")


def main() -> None:
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="folders of runs, or configurations (YAML)")
    paths = parser.parse_args().paths
    if missing := [path for path in paths if not path.exists()]:
        raise UserError(f"{missing[0]}: no such folder or configuration")
    found = {run_dir for folder in paths if folder.is_dir() for run_dir in find_runs(folder)}
    others: list[Path] = []
    if configs := [path for path in paths if not path.is_dir()]:
        config = read_configs(configs)
        runs = find_results(config["name"]) / "runs"
        wanted = {runs.joinpath(*names) for names in expand(config)}
        others = sorted(set(find_runs(runs)) - wanted)
        found |= wanted
    now = time.time()
    print(report({run_dir: describe(run_dir, now) for run_dir in sorted(found)}))
    if others:
        print("not in the configuration:", *others, sep="\n  ")


def report(described: Mapping[Path, Mapping[str, Any]]) -> str:
    """Return the table of `described` runs. Runs that have not started are only counted."""
    begun = [(run_dir, row) for run_dir, row in described.items() if row["state"] != "waiting"]
    begun.sort(key=lambda item: STATES.index(item[1]["state"]))
    lines = [(*COLUMNS, *TIMES), *(cells(run_dir, row) for run_dir, row in begun)]
    counts = Counter(row["state"] for row in described.values())
    total = ", ".join(f"{counts[state]} {state}" for state in STATES)
    failures = [f"failed: {row['failure']}" for _, row in begun if "failure" in row]
    return "\n".join([*(aligned(lines) if begun else []), *failures, f"{len(described)} runs: {total}"])


def cells(run_dir: Path, row: Mapping[str, Any]) -> list[str]:
    """Return a run's line of the table."""
    texts = [f"{run_dir.parent.name}/{run_dir.name}", row["state"], row.get("host", "")]
    texts.append(f"{row['seen']:.0f} s" if "seen" in row else "")
    texts += ["" if row[key] is None else str(row[key]) for key in ("epoch", "step")]
    texts += [f"{row[key]:.4f}" if key in row else "" for key in ("last", "best")]
    texts.append(f"{row['images_per_second']:.1f}" if row.get("images_per_second") else "")
    ends = [row[key] for key in ("epoch_end", "soonest_end", "latest_end") if key in row]
    texts += [time.strftime("%Y-%m-%d %H:%M", time.localtime(end)) for end in ends]
    return texts + [""] * (len(TIMES) - len(ends))


def aligned(lines: Iterable[Iterable[str]]) -> list[str]:
    """Return the lines with their cells in columns."""
    columns = [list(column) for column in zip(*lines, strict=True)]
    widths = [max(map(len, column)) for column in columns]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in zip(*columns, strict=True)
    ]


if __name__ == "__main__":
    run(main)
