"""Show the progress of runs: a table of those that have started, on any machine, and the number that have not."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from relative_performer.cli import ArgumentParser, run
from relative_performer.config.grid import expand, figure_folders
from relative_performer.config.validate import read_configs
from relative_performer.data import DATASETS
from relative_performer.errors import UserError
from relative_performer.models import MODELS
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
TESTS = ("evaluations", "confusion", "shift", "redrawn")
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
        results, runs = find_results(config["name"], configs[0]), expand(config)
        others = leftovers(results, results.parents[1] / "figures" / config["name"], runs)
        found |= {results.joinpath("runs", *names) for names in runs}
    now = time.time()
    print(report({run_dir: describe(run_dir, now) for run_dir in sorted(found)}))
    if others:
        print("not in the configuration:", *others, sep="\n  ")


def leftovers(results: Path, figures: Path, runs: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[Path]:
    """Return the folders and files of runs, models, datasets or experiments that are not among `runs`, sorted by path.

    results, figures: folders of the configuration. runs: options by experiment and name.
    """
    found = [path for path in find_runs(results / "runs") if path.parts[-2:] not in runs]
    tests = (path for kind in TESTS for path in results.glob(f"{kind}/*/*.csv"))
    found += [path for path in tests if (path.parent.name, path.stem) not in runs]
    drawn = [*figures.glob("**/*.p[dn][fg]")]
    folders = {figures / name for name in figure_folders(runs)}
    compare = [path for path in drawn if not path.stem.startswith(("attention_", "equivariance_"))]
    found += [path for path in compare if path.parent not in folders]
    for path in [*results.glob("*.csv"), *results.glob("*/*.csv"), *drawn]:
        words = set(path.stem.split("_"))
        models, datasets = words & MODELS.keys() or MODELS, words & DATASETS.keys() or DATASETS
        if not any(run["model"] in models and run["dataset"] in datasets for run in runs.values()):
            found.append(path)
    return sorted({*found})


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
