"""Plot and tabulate the results of bench.py."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

from contestants import CONTESTANTS, PEER
from relative_performer.cli import ArgumentParser, run
from relative_performer.results import plotting
from relative_performer.results.read import read_csv
from relative_performer.results.tables import write_tables

NUMBERS = (
    "seconds",
    "seconds_median",
    "seconds_per_image",
    "images_per_second",
    "peak_bytes",
    "gflop_per_image",
    "gflop_per_second",
)
STEPS = {"contestant": str, "precision": str, "compile": str, "side": int, "batch": int, "tokens": int, "skipped": str}
STEPS |= dict.fromkeys(NUMBERS, float)
FIGURES = {"seconds_per_image": "Seconds per image", "peak_bytes": "Peak memory (GiB)"}
LOOKS: dict[str, dict[str, Any]] = {
    PEER: {"label": PEER, "color": "#E69F00", "linestyle": (0, (6, 1, 2, 1)), "marker": "P"},
    "torch transformer": {"label": "torch transformer", "color": "#000000", "linestyle": (0, (10, 2)), "marker": "p"},
}


def main() -> None:
    parser = ArgumentParser(
        description=f"{__doc__} Writes steps.{{csv,md,tex}}, and scaling.{{pdf,png}} if there are several image sizes.",
        epilog="example:\n  plot_bench.py results/benchmarks --out figures/benchmarks",
    )
    parser.add_argument("measured", type=Path, metavar="DIR", help="folder with steps.csv and machine.csv")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    options = parser.parse_args()
    steps = read_csv(options.measured / "steps.csv", STEPS)
    machine = read_csv(options.measured / "machine.csv", {"gflop_per_second": float, "load": float})
    steps = steps.merge(machine[["precision", "gflop_per_second"]], on="precision", suffixes=("", "_machine"))
    steps["share"] = steps["gflop_per_second"] / steps["gflop_per_second_machine"]
    where = f"{machine['machine'][0]}, {machine['threads'][0]} CPU threads, torch {machine['torch'][0]}"
    where += f", load average up to {machine['load'][0]:.1f}"
    if steps["side"].nunique() > 1:
        plotting.save(scaling(steps, where), options.out, "scaling")
    write_tables(options.out / "steps", steps, {where: cells(steps)}, "A training step", NOTE)


NOTE = (
    "Times faster: compared with performer-pytorch at the same size in float32. Share: rate of computation divided by "
    "the machine's rate of large matrix products in the same precision. Recomputation counts. All but the median come "
    "from the fastest round."
)


def scaling(steps: pd.DataFrame, where: str) -> Figure:
    """Return the figure of time and memory over tokens, at the largest of the batch sizes with the most image sizes."""
    steps = steps[(steps["precision"] == "float32") & (steps["compile"] == "no") & steps["seconds"].notna()]
    batch = steps.groupby("batch")["side"].nunique()[::-1].idxmax()
    steps = steps[steps["batch"] == batch]
    figure = plotting.page(2.6)
    axes = plotting.panels(figure, len(FIGURES), len(FIGURES))
    styles = []
    for name in [name for name in CONTESTANTS if name in set(steps["contestant"])]:
        rows = steps[steps["contestant"] == name].sort_values("tokens")
        style = LOOKS.get(name) or plotting.look(name)
        for panel, column in zip(axes, FIGURES, strict=True):
            panel.plot(rows["tokens"], rows[column] / (2**30 if column == "peak_bytes" else 1), **style)
        styles.append(style | {"label": f"{style['label']}: {exponents(rows)}"})
    for panel, (column, title) in zip(axes, FIGURES.items(), strict=True):
        panel.set(title=title, xlabel="Tokens")
        plotting.log_scale(panel, "x", steps["tokens"])
        plotting.log_scale(panel, "y", steps[column])
    plotting.legend(figure, styles)
    about = f"A training step in float32, batch {batch}. After the names: the exponents of time and memory over tokens"
    plotting.footnote(figure, f"{about}, between the two largest sizes. {where}.")
    return figure


def exponents(rows: pd.DataFrame) -> str:
    """Return the exponents of time and memory over tokens, from the second largest size to the largest."""
    if len(rows) < 2:
        return "one size"
    (small, large) = np.log(rows[["tokens", *FIGURES]].tail(2).to_numpy(float))
    return ", ".join(f"{value:.2f}" for value in (large - small)[1:] / (large - small)[0])


def cells(steps: pd.DataFrame) -> list[list[str]]:
    """Return the header and the rows of the table."""
    header = ["model", "precision", "compiled", "side", "batch", "s/image", "median", "GiB", "times faster", "share"]
    peer = steps[(steps["contestant"] == PEER) & (steps["precision"] == "float32") & (steps["compile"] == "no")]
    of_peer = peer.set_index(["side", "batch"])["seconds_per_image"]
    return [header, *(_line(row, of_peer.get((row["side"], row["batch"]))) for row in steps.to_dict("records"))]


def _line(row: Mapping[Any, Any], peer: float | None) -> list[str]:
    place = [str(row[name]) for name in ("contestant", "precision", "compile", "side", "batch")]
    if row["skipped"]:
        return [*place, row["skipped"], "", "", "", ""]
    faster = f"{peer / row['seconds_per_image']:.2f}" if peer and peer == peer else ""
    share = f"{row['share']:.2f}" if row["share"] == row["share"] else ""
    seconds = row["seconds_per_image"], row["seconds_median"] / row["batch"]
    numbers = [*(f"{value:.3g}" for value in seconds), f"{row['peak_bytes'] / 2**30:.2f}"]
    return [*place, *numbers, faster, share]


if __name__ == "__main__":
    run(main)
