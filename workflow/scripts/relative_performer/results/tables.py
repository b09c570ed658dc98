"""Tables of results: the same cells in Markdown, LaTeX and HTML, and the tidy table as CSV."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from relative_performer.data import DATASETS
from relative_performer.files import write_atomically, write_csv
from relative_performer.results.read import in_order

Cells = Sequence[Sequence[str]]  # header first; texts may have **bold**, `code`, ± and −
OVER_SEEDS = "mean ± standard deviation [bootstrap 95 % interval of the mean] over seeds; a single seed has neither"


def write_tables(stem: Path, tidy: pd.DataFrame, sections: Mapping[str, Cells], title: str, note: str) -> None:
    """Write STEM.csv (`tidy`), and STEM.md and STEM.tex with a table per section."""
    write_csv(stem.with_suffix(".csv"), tidy)
    write_atomically(stem.with_suffix(".md"), markdown(sections, title, note).encode())
    write_atomically(stem.with_suffix(".tex"), latex(sections, title, note).encode())


def by_dataset(
    table: pd.DataFrame, rows: Sequence[str], cells: Sequence[str], shared: Sequence[str] = ("runs",)
) -> list[list[str]]:
    """Return header and lines: a line per value of the columns `rows`, in order, with the columns `cells` per dataset.

    table: `dataset` and the named columns, whose names are the headings; a single one of `cells` has that of its
    dataset. The columns `shared` stand once, as they are usually the same for all datasets; otherwise as in 3/2.
    """
    datasets = in_order(map(str, table["dataset"].unique()), list(DATASETS))
    headings = datasets if len(cells) == 1 else [f"{dataset} {name}" for dataset in datasets for name in cells]
    lines = [[*rows, *headings, *shared]]
    for place, part in table.groupby([*rows], sort=False, observed=True):
        of = {str(row["dataset"]): row for row in part.to_dict("records")}
        line = [str(of[dataset][name]) if dataset in of else "" for dataset in datasets for name in cells]
        for name in shared:
            texts = [str(of[dataset][name]) for dataset in datasets if dataset in of]
            line.append("/".join(texts if len(set(texts)) > 1 else texts[:1]))
        lines.append([*map(str, place), *line])
    return lines


def markdown(sections: Mapping[str, Cells], title: str, note: str) -> str:
    """Return a Markdown page with a table per section."""
    text = f"# {title}\n\n{note}\n"
    for heading, (header, *body) in sections.items():
        lines = [header, ["---"] * len(header), *body]
        text += f"\n## {heading}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return text


def latex(sections: Mapping[str, Cells], title: str, note: str) -> str:
    """Return a LaTeX table per section, or a paragraph if there is none; needs the package booktabs."""
    if not sections:
        return _escape(f"{title}. {note}\n")
    return "\n".join(_latex_table(cells, f"{title}, {heading}. {note}") for heading, cells in sections.items())


def html(cells: Cells, caption: str) -> str:
    """Return an HTML table."""
    header, *body = ["".join(f"<td>{_tagged(cell)}</td>" for cell in line) for line in cells]
    rows = "".join(f"<tr>{line}</tr>\n" for line in body)
    head = f"<caption>{escape(caption)}</caption>\n<thead><tr>{header.replace('td>', 'th>')}</tr></thead>\n"
    return f"<table>\n{head}<tbody>\n{rows}</tbody>\n</table>\n"


def _tagged(text: str) -> str:
    return re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", escape(text))


def _latex_table(cells: Cells, caption: str) -> str:
    header, *body = ["    " + " & ".join(map(_escape, line)) + r" \\" for line in cells]
    alignment = "".join("r" if all(map(_is_number, column[1:])) else "l" for column in zip(*cells, strict=True))
    return "\n".join([
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{_escape(caption)}}}",
        rf"  \begin{{tabular}}{{{alignment}}}",
        r"    \toprule",
        header,
        r"    \midrule",
        *body,
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
        "",
    ])  # fmt: skip


def _is_number(cell: str) -> bool:
    return not cell or re.match(r"[*−+-]*\d", cell) is not None


def _escape(text: str) -> str:
    text = re.sub(r"([_&%#$])", r"\\\1", text)
    text = re.sub(r"\*\*(.+?)\*\*", r"\\textbf{\1}", text)
    text = re.sub(r"`(.+?)`", r"\\texttt{\1}", text)
    return text.replace("±", r"$\pm$").replace("−", "$-$")


def percent(row: Mapping[Any, Any], prefix: str = "", signed: bool = False) -> str:
    """Return the fractions PREFIXmean, PREFIXstd, PREFIXlow and PREFIXhigh as text in percent; blank for NaN."""
    mean, std, low, high = (100 * row[prefix + name] for name in ("mean", "std", "low", "high"))
    text = number(mean, signed)
    if std == std:
        text += f" ± {std:.2f}"
    return f"{text} [{number(low, signed)}, {number(high, signed)}]" if low == low else text


def interval_text(row: Mapping[Any, Any], prefix: str = "", factor: int = 1, decimals: int = 2) -> str:
    """Return PREFIXmean with PREFIXlow and PREFIXhigh, times `factor`, as text; blank for NaN."""
    mean, low, high = (number(factor * row[prefix + name], decimals=decimals) for name in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]" if low else mean


def number(value: float, signed: bool = False, decimals: int = 2) -> str:
    """Return a rounded number, blank for NaN; a signed one with + or −, and zero with neither."""
    if value != value:
        return ""
    rounded = round(value, decimals) or 0.0  # never -0.0
    sign = "+" if signed and rounded else ""
    return f"{rounded:{sign}.{decimals}f}".replace("-", "−")
