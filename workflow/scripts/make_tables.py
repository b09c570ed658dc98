"""Tabulate the accuracy of every configuration over its seeds: tidy CSV, Markdown and LaTeX."""

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from relative_performer.cli import ArgumentParser, run
from relative_performer.files import write_atomically, write_csv
from relative_performer.frames import PLACE, read_evaluations, varied_options


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Write accuracy.csv (fractions), accuracy.md and accuracy.tex (percent; package booktabs):\n"
        "test accuracy of every model and embedding on every dataset, mean ± standard deviation over seeds, a table\n"
        "per experiment. Options that vary within an experiment become columns; the best of each dataset is bold.",
        epilog="example:\n  make_tables.py results/paper/model_evaluations.csv --out results/paper/tables",
    )
    parser.add_argument("evaluations", type=Path, metavar="EVALUATIONS.csv", help="one row per run")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the three files")
    options = parser.parse_args(arguments)
    summary = summarize(read_evaluations(options.evaluations))
    write_csv(options.out / "accuracy.csv", summary)
    write_atomically(options.out / "accuracy.md", markdown(summary).encode())
    write_atomically(options.out / "accuracy.tex", latex(summary).encode())


def summarize(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per experiment, model, dataset, embedding and varied options, over the seeds.

    Columns after these: n_seeds, test/acc_mean, test/acc_std, val/acc_mean, val/acc_std (fractions; the sample
    standard deviation, NaN for one seed), n_parameters, images_seen_mean.
    """
    groups = runs.groupby(["experiment", *PLACE, *varied_options(runs)], observed=True)
    summary = groups.agg(
        n_seeds=("seed", "size"),
        **{f"{name}_{how}": (name, how) for name in ("test/acc", "val/acc") for how in ("mean", "std")},
        n_parameters=("n_parameters", "first"),
        images_seen_mean=("images_seen", "mean"),
    )
    return summary.astype({"n_parameters": "Int64"}).reset_index()


def markdown(summary: pd.DataFrame) -> str:
    """Return a Markdown table per experiment of what `summarize` returned."""
    text = "# Test accuracy\n\nPercent: mean ± standard deviation over seeds. The best of each dataset is bold.\n"
    for experiment, part in _experiments(summary):
        header, *body = _cells(part, bold="**{}**")
        lines = [header, ["---"] * len(header), *body]
        text += f"\n## {experiment}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return text


def latex(summary: pd.DataFrame) -> str:
    """Return a LaTeX table per experiment of what `summarize` returned; needs the package booktabs."""
    return "\n".join(_latex_table(experiment, part) for experiment, part in _experiments(summary))


def _latex_table(experiment: str, part: pd.DataFrame) -> str:
    cells = _cells(part, bold=r"\textbf{{{}}}")
    header, *body = ["    " + " & ".join(map(_escape, line)) + r" \\" for line in cells]
    numbers = part["dataset"].nunique() + 1
    return "\n".join([
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{Test accuracy (\%), {_escape(experiment)}: mean $\pm$ standard deviation over seeds.}}",
        rf"  \begin{{tabular}}{{{'l' * (len(cells[0]) - numbers)}{'r' * numbers}}}",
        r"    \toprule",
        header,
        r"    \midrule",
        *body,
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
        "",
    ])  # fmt: skip


def _escape(text: str) -> str:
    return re.sub(r"([_&%#$])", r"\\\1", text).replace("±", r"$\pm$")


def _experiments(summary: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(str(name), part) for name, part in summary.groupby("experiment", observed=True)]


def _cells(part: pd.DataFrame, bold: str) -> list[list[str]]:
    """Return the header and the rows of one experiment's table; `bold` formats the best cell of each dataset."""
    options = varied_options(part[_row_columns(part)])
    rows = ["model", "embedding_type", *options]
    part = part.assign(text=_texts(part, bold)).sort_values(rows).astype(dict.fromkeys(rows, str))
    datasets = [str(name) for name in part["dataset"].cat.remove_unused_categories().cat.categories]
    table = [["model", "embedding", *options, *datasets, "runs"]]
    for place, group in part.groupby(rows, sort=False):
        of = group.set_index("dataset")
        counts = [str(of["n_seeds"].get(name, 0)) for name in datasets]
        runs = counts[0] if len(set(counts)) == 1 else "/".join(counts)
        table.append([*map(str, place), *(of["text"].get(name, "") for name in datasets), runs])
    return table


def _row_columns(summary: pd.DataFrame) -> list[str]:
    return list(summary.columns[: summary.columns.get_loc("n_seeds")])


def _texts(part: pd.DataFrame, bold: str) -> list[str]:
    percent = (100 * part["test/acc_mean"]).round(2)
    rivals = percent.groupby(part["dataset"], observed=True)
    best = (percent == rivals.transform("max")) & (rivals.transform("size") > 1)
    stds = 100 * part["test/acc_std"]
    texts = [f"{mean:.2f}" + (f" ± {std:.2f}" if std == std else "") for mean, std in zip(percent, stds, strict=True)]
    return [bold.format(text) if first else text for text, first in zip(texts, best, strict=True)]


if __name__ == "__main__":
    run(main)
