"""The tables that decide claims, and what the claims need that no table decides."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from relative_performer.config.grid import expand
from relative_performer.config.validate import read_configs
from relative_performer.errors import UserError
from relative_performer.results.claims import Statistic
from relative_performer.results.read import normal, read_csv

FURTHER = "`make rivals` and a [further test](findings.md#what-the-shift-test-does-not-see)"
COMMANDS = {  # of a table, or of all tables in a folder; else: the configuration with the name of the folder
    "mini": "`make mini`",
    "rivals": "`make rivals`",
    "rivals/rows": FURTHER,
    "rivals/circular": FURTHER,
    "features": "`snakemake all redraws --configfile config/features.yaml`",
    "paper": "`snakemake all`",
}
NO_UNIT = ("redrawn_loss", "core_seconds")  # the other quantities are fractions


class Results:
    """The tables NAME/TABLE.csv of every reference NAME, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = sorted(path.parent.name for path in folder.glob("*/reproduction.csv"))

    def rows(self, name: str) -> list[dict[str, str]]:
        """Return the rows of a table, as text."""
        table = read_csv(self.folder / f"{name}.csv", {})
        return [{str(column): row[column] for column in row} for row in table.to_dict("records")]

    def statistic(self, table: str, where: Mapping[str, str], quantity: str) -> Statistic:
        """Return a quantity in the one row that has these values; raises UserError if there is not one."""
        rows = self.rows(table)
        if "quantity" in rows[0]:  # the columns of reference.csv are those of one quantity
            where, columns = {**where, "quantity": quantity}, "ours"
        else:
            columns = quantity
        found = [row for row in rows if all(row[name] == value for name, value in where.items())]
        if len(found) != 1:
            raise UserError(f"{self.folder / table}.csv: {len(found)} rows have {dict(where)}: expected one")
        unit = 1 if quantity in NO_UNIT else 100
        return statistic(found[0], columns, unit)

    def source(self, table: str) -> list[str]:
        """Return command, time and hardware of the results in a table."""
        name = table.partition("/")[0]
        command = COMMANDS.get(table) or COMMANDS.get(name, f"`snakemake all --configfile config/{name}.yaml`")
        if not (self.folder / name / "costs.csv").exists():  # the reference has no training_times.csv
            return [command, "", ""]
        costs = self.rows(f"{name}/costs")
        core, gpu = (sum(float(row[kind]) for row in costs) for kind in ("core_hours", "gpu_hours"))
        time = f"{gpu:.2f} GPU hours" if gpu else f"{core:.2f} core hours"
        return [command, time, "; ".join(sorted({machine for row in costs for machine in row["machines"].split("; ")}))]


class Plan:
    """What the open claims need: the configurations that have their runs, and the hours of the last one's runs."""

    def __init__(self, configs: Sequence[Path], hours: Path) -> None:
        table = read_csv(hours, {"experiment": str, "run": str, "machine": str, "hours": float})
        keys = list(zip(table["experiment"], table["run"], strict=True))
        self.hours, self.machine = dict(zip(keys, table["hours"], strict=True)), table["machine"][0]
        settings = {path: read_configs([path]) for path in configs}
        self.runs = {path: expand(config) for path, config in settings.items()}
        self.hardware = {path: "CPU" if config.get("gpus") == 0 else "" for path, config in settings.items()}
        self.last = configs[-1]
        if keys != list(self.runs[self.last]):
            raise UserError(f"{hours} has other runs than {self.last}: make it again with plan.py --csv")
        self.needed: dict[tuple[str, str], float] = {}

    def source(self, wanted: Mapping[str, str]) -> list[str]:
        """Return command, time and hardware of runs that would decide a claim; raises UserError if there are none.

        wanted: options of the runs, and their experiment. Their hours are added to those that are needed.
        """
        for path, runs in self.runs.items():
            keys = [key for key, options in runs.items() if has({**options, "experiment": key[0]}, wanted)]
            if keys and path == self.last:
                self.needed |= {key: self.hours[key] for key in keys}
                return ["`snakemake all`", f"≥ {sum(self.hours[key] for key in keys):.2g} GPU hours", self.machine]
            if keys:
                return [f"`snakemake all --configfile {path}`", "", self.hardware[path]]
        raise UserError(f"no configuration has runs with {dict(wanted)}")


def has(options: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    """Return whether options have these values."""
    return all(normal(str(options.get(name, ""))) == normal(value) for name, value in wanted.items())


def statistic(row: Mapping[str, Any], columns: str, unit: float = 100) -> Statistic:
    """Return the statistic in the columns COLUMNS_mean, COLUMNS_low and COLUMNS_high of a row of text."""
    return Statistic(*(unit * float(row[f"{columns}_{name}"] or "nan") for name in Statistic._fields))
