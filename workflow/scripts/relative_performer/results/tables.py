"""Tables of results: the same cells in Markdown and LaTeX, and the tidy table as CSV."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from relative_performer.files import write_atomically, write_csv

Cells = Sequence[Sequence[str]]  # header first; texts may have **bold**, ± and −
OVER_SEEDS = "mean ± standard deviation [bootstrap 95 % interval of the mean] over seeds; a single seed has neither"


def write_tables(stem: Path, tidy: pd.DataFrame, sections: Mapping[str, Cells], title: str, note: str) -> None:
    """Write STEM.csv (`tidy`), and STEM.md and STEM.tex with a table per section."""
    write_csv(stem.with_suffix(".csv"), tidy)
    write_atomically(stem.with_suffix(".md"), markdown(sections, title, note).encode())
    write_atomically(stem.with_suffix(".tex"), latex(sections, title, note).encode())


def markdown(sections: Mapping[str, Cells], title: str, note: str) -> str:
    """Return a Markdown page with a table per section."""
    text = f"# {title}\n\n{note}\n"
    for heading, (header, *body) in sections.items():
        lines = [header, ["---"] * len(header), *body]
        text += f"\n## {heading}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return text


def latex(sections: Mapping[str, Cells], title: str, note: str) -> str:
    """Return a LaTeX table per section; needs the package booktabs."""
    return "\n".join(_latex_table(cells, f"{title}, {heading}. {note}") for heading, cells in sections.items())


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
    return text.replace("±", r"$\pm$").replace("−", "$-$")


def percent(row: Mapping[Any, Any], prefix: str = "", signed: bool = False) -> str:
    """Return the fractions PREFIXmean, PREFIXstd, PREFIXlow and PREFIXhigh as text in percent; blank for NaN."""
    mean, std, low, high = (100 * row[prefix + name] for name in ("mean", "std", "low", "high"))
    text = number(mean, signed)
    if std == std:
        text += f" ± {std:.2f} [{number(low, signed)}, {number(high, signed)}]"
    return text


def number(value: float, signed: bool = False) -> str:
    """Return a number with two decimals, blank for NaN; a signed one with + or −, and zero with neither."""
    if value != value:
        return ""
    rounded = round(value, 2) or 0.0  # never -0.0
    sign = "+" if signed and rounded else ""
    return f"{rounded:{sign}.2f}".replace("-", "−")
