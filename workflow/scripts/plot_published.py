"""Plot the published accuracy over shift: the paper's figure, from the published numbers."""

from collections.abc import Sequence
from pathlib import Path

from relative_performer.cli import ArgumentParser, run
from relative_performer.results import plotting
from relative_performer.results.published import read_shifts
from relative_performer.results.shift_figure import shift_figure


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Draw shift.pdf and shift.png from the published numbers: accuracy over shift, with one panel per\n"
        "dataset and one line per model. A band is the Wilson 95 % interval over test images.",
        epilog="example:\n  plot_published.py resources/published_shift.csv --out figures/published",
    )
    parser.add_argument("shifts", type=Path, metavar="SHIFTS.csv", help="one row per dataset, model and shift")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the figure")
    options = parser.parse_args(arguments)
    shifts = read_shifts(options.shifts)
    runs = [f"{row.dataset} {row.model}{row.settings}" for row in shifts.itertuples()]
    results = shifts.assign(run_dir=runs, experiment="published", embedding_type="linear")
    plotting.save(shift_figure(results, "accuracy"), options.out, "shift")


if __name__ == "__main__":
    run(main)
