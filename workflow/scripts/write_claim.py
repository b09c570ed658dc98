"""Write what the results say about the claim: on a page, and as a text for the terminal."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from relative_performer.cli import ArgumentParser, run
from relative_performer.errors import UserError
from relative_performer.files import write_atomically
from relative_performer.results.accuracy import cells, summarize
from relative_performer.results.claim import accuracy_sentences, shift_sentences, summary_table
from relative_performer.results.configurations import CONFIGURATION
from relative_performer.results.read import read_csv, read_evaluations
from relative_performer.results.shift_results import read_shift_table
from relative_performer.results.tables import html

COSTS = {**dict.fromkeys(CONFIGURATION, str), "n_parameters": int, "core_seconds_mean": float}
BRACKETS = (
    "Brackets: bootstrap 95 % intervals of means over seeds. Losses: accuracy on unshifted images minus that on "
    "shifted ones, both in the shift test, averaged over the named shifts in both directions."
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        description="Write claim.html, a page with the shift figure, the table of accuracies, a sentence on what each\n"
        "of them says for each dataset and embedding, and the command that made them. The sentences are computed\n"
        "from the tables: they claim a difference only where the intervals over seeds show one. claim.txt has, for\n"
        "the terminal, what the models keep on moved images, and the sentences.",
        epilog="example:\n"
        "  write_claim.py results/paper/model_evaluations.csv --costs results/paper/tables/costs.csv \\\n"
        "    --shift results/paper/tables/shift.csv --figure figures/paper/shift.png \\\n"
        "    --command 'snakemake all --cores 8' --out results/paper",
    )
    parser.add_argument("evaluations", type=Path, metavar="EVALUATIONS.csv", help="one row per run")
    parser.add_argument("--costs", type=Path, required=True, metavar="CSV", help="the table of tabulate_costs.py")
    parser.add_argument("--shift", type=Path, metavar="CSV", help="the table of tabulate_shifts.py")
    parser.add_argument("--figure", type=Path, metavar="PNG", help="the figure of plot_shift.py")
    parser.add_argument("--command", required=True, help="the command that made the results")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the two files")
    options = parser.parse_args(arguments)
    runs = read_evaluations(options.evaluations)
    parts, text = [], ""
    if options.shift:
        shift = read_shift_table(options.shift)
        text = f"{summary_table(shift, read_csv(options.costs, COSTS))}\n"
        parts.append(_paragraphs(moves := shift_sentences(shift, runs)))
        text += "".join(f"{sentence}\n" for sentence in moves)
    if options.figure:
        parts.append(_image(options.figure))
    parts.append(_paragraphs(accuracies := accuracy_sentences(runs)))
    text += "".join(f"{sentence}\n" for sentence in accuracies)
    for experiment, part in summarize(runs).groupby("experiment", observed=True):
        parts.append(html(cells(part), f"Test accuracy, {experiment} (%)"))
    parts.append(f"<p>{BRACKETS}</p>\n")
    parts.append(f"<p>Made by</p>\n<pre>{escape(options.command)}</pre>\n")
    write_atomically(options.out / "claim.html", "".join(['<meta charset="utf-8">\n', *parts]).encode())
    write_atomically(options.out / "claim.txt", text.encode())


def _paragraphs(sentences: Sequence[str]) -> str:
    return "".join(f"<p>{escape(sentence)}</p>\n" for sentence in sentences)


def _image(path: Path) -> str:
    try:
        content = base64.b64encode(path.read_bytes()).decode()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    style = "max-width: 100%; max-height: 30rem"
    return f'<img alt="Accuracy over shift" style="{style}" src="data:image/png;base64,{content}">\n'


if __name__ == "__main__":
    run(main)
