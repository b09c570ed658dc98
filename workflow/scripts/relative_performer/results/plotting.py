"""The visual style of all figures: pages and panels, the look of a model, the legend, saving.

Figures have their printed size: the width of a page's text, and at most its height. Text has at least 7 points.
"""

import io
import textwrap
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MultipleLocator, NullFormatter

from relative_performer.data import DATASETS
from relative_performer.files import write_atomically
from relative_performer.models import MODELS
from relative_performer.models.declaration import Model

WIDTH, HEIGHT = 6.3, 7.87  # inches: 16 × 20 cm
ROW = {1: 2.3, 2: 2.1, 3: 1.7}  # inches: the height of a row by its number of panels, with titles and ticks
VARIANTS = (((0, (5, 1)), "D"), ((0, (3, 1, 1, 1)), "v"), ((0, (1, 1)), "P"), ((0, (8, 2)), "<"), ((0, (2, 2)), "*"))
SHADES = ((0.65, 0.0), (0.6, 0.4), (0.35, 0.0), (0.35, 0.65))  # of variants: shares of the model's colour and of white
PANEL = ["experiment", "dataset", "embedding_type"]
OVER_IMAGES = "Wilson 95 % interval over the test images"
CHANCE: dict[str, Any] = {"label": "chance", "color": "0.4", "linestyle": "-", "linewidth": 0.6, "marker": ""}
THEME = {
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "axes.titlepad": 4,
    "axes.labelpad": 2.5,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "axes.linewidth": 0.6,
    "grid.linewidth": 0.4,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.8,
    "lines.markeredgecolor": "white",
    "lines.markeredgewidth": 0.4,
    "pdf.fonttype": 42,
}


def look(model: str, settings: str = "", variant: int = 0) -> dict[str, Any]:
    """Return label, color, linestyle and marker of a model. Variants 1, 2, … have other shades, lines and markers."""
    declared = MODELS.get(model) or Model(package="", name=model, network="")  # the model may no longer exist
    chosen: dict[str, Any] = {"label": declared.title + settings}
    chosen |= {name: getattr(declared, name) for name in ("color", "linestyle", "marker")}
    if variant:
        share, white = SHADES[(variant - 1) % len(SHADES)]
        red, green, blue = (share * part + white for part in to_rgb(chosen["color"]))
        chosen["color"] = to_hex((red, green, blue))
        chosen["linestyle"], chosen["marker"] = VARIANTS[(variant - 1) % len(VARIANTS)]
    return chosen


def lines_of_panel(part: pd.DataFrame) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """Return look and rows of every configuration, in order of models and settings."""
    lines = []
    for _, rows in part.groupby(["model", "variant"], observed=True):
        first = rows.iloc[0]
        lines.append((look(first["model"], first["settings"], first["variant"]), rows))
    return lines


def page(height: float, width: float = WIDTH) -> Figure:
    """Return an empty figure, not higher than a page; sizes in inches."""
    sns.set_theme(style="whitegrid", rc=THEME)
    return Figure(figsize=(width, min(height, HEIGHT)), layout="constrained")


def stack(figure: Figure, heights: Sequence[float]) -> list[SubFigure]:
    """Return subfigures of these heights, one below the other."""
    figure.subfigures(len(heights), 1, height_ratios=heights)
    return list(figure.subfigs)


def panels(figure: Figure | SubFigure, count: int, columns: int, **options: Any) -> list[Axes]:
    """Return `count` new panels in rows of `columns`, in reading order; the last row may be shorter."""
    axes = list(figure.subplots(-(-count // columns), columns, squeeze=False, **options).flat)
    for panel in axes[count:]:
        panel.remove()
    return axes[:count]


def columns_of(titles: Collection[str]) -> int:
    """Return the number of columns for square panels with these titles: at most 3, or 4 if they are many and short."""
    longest = max(len(line) for title in titles for line in title.splitlines())
    return min(len(titles), 4 if len(titles) > 9 and longest <= 26 else 3)


def comparison(
    results: pd.DataFrame, draw: Callable[[Axes, pd.DataFrame], None], xlabel: str, ylabel: str, below: float = 0
) -> Figure:
    """Return a figure with a panel for every experiment, dataset and embedding that has runs.

    results: rows joined with the table of `describe`. draw: draws the rows of one panel. below: inches to leave empty
    below the panels, as the second subfigure.
    """
    parts = [part for _, part in results.groupby(PANEL, observed=True)]
    columns = 2 if len(parts) == 4 else min(3, len(parts))
    height = ROW[columns] * -(-len(parts) // columns) + 0.3
    figure = page(height + below)
    body = stack(figure, [height, below] if below else [height])[0]
    several = [column for column in PANEL if results[column].nunique() > 1]
    for panel, part in zip(panels(body, len(parts), columns, sharey=True), parts, strict=True):
        draw(panel, part)
        panel.set_title(_title(part.iloc[0], several))
    body.supxlabel(xlabel, fontsize=THEME["axes.labelsize"])
    body.supylabel(ylabel, fontsize=THEME["axes.labelsize"])
    return figure


def _title(first: pd.Series, several: Sequence[str]) -> str:
    title = ", ".join([first["dataset"], *[first["experiment"]] * ("experiment" in several)])
    if "embedding_type" in several and first["embedding_type"]:  # baselines have no embedding
        title += f"\n{first['embedding_type']} embedding"
    return title


def chance(dataset: str) -> float:
    """Return the accuracy of guessing a class; NaN for a dataset that no longer exists."""
    return 1 / len(DATASETS[dataset].classes) if dataset in DATASETS else float("nan")


def accuracy_scale(panel: Axes, name: str) -> None:
    """Let the axis `name` (x or y) of accuracies go from 0 to 1."""
    panel.set(**{f"{name}lim": (-0.03, 1.03)})
    getattr(panel, f"{name}axis").set_major_locator(MultipleLocator(0.2))


def log_scale(panel: Axes, name: str, values: Sequence[float] | np.ndarray | pd.Series, form: Any = "{x:g}") -> None:
    """Make the axis `name` (x or y) logarithmic; where `values` span little, with ticks between powers of ten too."""
    panel.set(**{f"{name}scale": "log"})
    axis = getattr(panel, f"{name}axis")
    decades = np.ptp(np.log10(values))
    axis.set_major_locator(LogLocator(subs=(1,) if decades > 1.5 else (1, 2, 5) if decades > 0.7 else range(1, 10)))
    axis.set_major_formatter(form)
    axis.set_minor_formatter(NullFormatter())


def legend(figure: Figure, styles: Sequence[dict[str, Any]]) -> None:
    """Put a legend of these looks, which include the label, above the panels, which keep their size; row by row."""
    columns = max((n for n in range(1, 6) if _legend_width(styles, n) < figure.get_figwidth()), default=1)
    rows = -(-len(styles) // columns)
    columns = -(-len(styles) // rows)
    handles = [Line2D([], [], **style) for style in styles]
    by_column = [handle for column in range(columns) for handle in handles[column::columns]]
    figure.set_figheight(min(HEIGHT, figure.get_figheight() + 0.05 + 0.16 * rows))
    figure.legend(
        handles=by_column, loc="outside upper center", ncols=columns, frameon=False, handlelength=2.8, columnspacing=1.2
    )


def _legend_width(styles: Sequence[dict[str, Any]], columns: int) -> float:
    """Return about how many inches a legend with so many columns needs."""
    letters = [[len(style["label"]) for style in styles[column::columns]] for column in range(columns)]
    return sum(0.5 + 0.052 * max(column, default=0) for column in letters)


def seeds_note(runs: pd.DataFrame, mark: str, of_one: str = OVER_IMAGES) -> str:
    """Return what `mark` (bands or lines) shows, given the number of seeds of the configurations.

    of_one: what it shows for a single seed.
    """
    seeds = runs.groupby([*PANEL, "model", "settings"], observed=True)["run_dir"].nunique()
    if seeds.max() == 1:
        return f"One seed. {mark}: {of_one}."
    number = f"{seeds.min()}" if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"
    single = f"; for a single seed, {of_one}" if seeds.min() == 1 else ""
    return f"Mean over {number} seeds. {mark}: bootstrap 95 % interval over the seeds{single}."


def footnote(figure: Figure, text: str) -> None:
    """Put a small line of text below the panels."""
    lines = [textwrap.fill(line, int(20 * figure.get_figwidth())) for line in text.splitlines()]
    figure.supxlabel("\n".join(lines), fontsize=7, color="0.3")


def save(figure: Figure, out_dir: Path, name: str) -> None:
    """Write DIR/NAME.pdf and DIR/NAME.png (200 dpi); equal figures give equal bytes."""
    stamps = {"pdf": {"CreationDate": None, "Creator": None, "Producer": None}, "png": {"Software": None}}
    for suffix, metadata in stamps.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format=suffix, dpi=200, metadata=metadata)
        write_atomically(out_dir / f"{name}.{suffix}", buffer.getvalue())
