"""The pipeline's configuration, expanded from experiments to runs."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from relative_performer.config.options import OPTIONS, check_run, check_value, options_of, run_options
from relative_performer.data import DATASETS
from relative_performer.errors import UserError, shown

MOST_RUNS = 10_000
LONGEST_NAME = 200  # the name is part of the names of files, which have at most 255 characters


def expand(config: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return (experiment, run): options for every run of the configuration.

    A run is named by its model, dataset, embedding, every other option that its experiment varies, and seed.
    The options for every run apply to the models that have them. Raises UserError for an option that a model of an
    experiment does not have, a value that it cannot have, images that it does not take, shifted classes or shifts that
    a dataset does not have, two runs of an experiment with one name, or more than MOST_RUNS runs.
    """
    everywhere = config.get("options", {})
    _check_options(everywhere)
    runs: dict[tuple[str, str], dict[str, Any]] = {}
    for experiment, grid in config["experiments"].items():
        for model, chosen, varied in _choices(everywhere, grid):
            dataset = chosen.pop("dataset")
            try:
                options = run_options(model, chosen)
                check_run(model, dataset, options)
            except (TypeError, ValueError) as error:
                raise UserError(f"experiments.{experiment}: {error}") from None
            # the parsed value, so that 1e-4 and 0.0001 are one run
            others = [f"{key}{options[key]}" for key in varied if key not in ("dataset", "embedding_type", "seed")]
            embedding = [options["embedding_type"]] if "embedding_type" in options else []
            run = "_".join([model, dataset, *embedding, *others, f"seed{options['seed']}"])
            if (experiment, run) in runs:
                raise UserError(f"experiments.{experiment}: {run} occurs twice: leave out values that are equal")
            if len(run) > LONGEST_NAME:
                raise UserError(
                    f"experiments.{experiment}: varies so much that the name of a run is too long: {shown(run)}"
                )
            if len(runs) == MOST_RUNS:
                raise UserError(f"experiments.{experiment}: its lists make more than {MOST_RUNS} runs")
            runs[experiment, run] = {"model": model, "dataset": dataset, **options}
    _check_shift(config.get("shift", {}), {run["dataset"] for run in runs.values()})
    return runs


def _check_options(everywhere: Mapping[str, Any]) -> None:
    """Check the options for every run, also those that no model of the configuration has."""
    for name, values in everywhere.items():
        for value in values if isinstance(values, list) else [values]:
            try:
                check_value(name, value)
            except ValueError as error:
                separator = "." if name in OPTIONS else ": "
                raise UserError(f"options{separator}{error}") from None


def _check_shift(shift: Mapping[str, Any], datasets: set[str]) -> None:
    """Check that every dataset with a border has the classes and the room that the shift test asks for."""
    for dataset in (DATASETS[name] for name in sorted(datasets) if DATASETS[name].border):
        for label in shift.get("labels", []):
            if label >= len(dataset.classes):
                last = len(dataset.classes) - 1
                raise UserError(f"shift.labels: {label} is not a class of {dataset.name}, which has 0 to {last}")
        most, asked = (dataset.width - 1) // 2, shift.get("min_shift", 0)
        if asked > most:
            reason = f"{dataset.name} has {dataset.width} columns, which allow at most {most}"
            raise UserError(f"shift.min_shift: {asked} is too large: {reason}")


def _choices(everywhere: Mapping[str, Any], grid: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
    """Yield model, options and the names of varied options of every run of an experiment."""
    shared = {key: value for key, value in grid.items() if key != "models"}
    for model, own in grid["models"].items():
        general = {key: value for key, value in everywhere.items() if key not in _foreign(model)} | shared
        grids = own if isinstance(own, list) else [own or {}]
        # what one of several grids names tells its runs from those of the others
        apart = list(dict.fromkeys(key for part in grids for key in part)) if isinstance(own, list) else []
        for part in grids:
            for chosen, varied in _combinations(general | part):
                yield model, chosen, [*varied, *(key for key in apart if key in chosen and key not in varied)]


def _foreign(model: str) -> set[str]:
    """Return the options that other models have and `model` does not."""
    return OPTIONS.keys() - {option.name for option in options_of(model)}


def _combinations(grid: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Yield every choice of one value from each list, and the keys that have lists."""
    varied = [key for key, value in grid.items() if isinstance(value, list)]
    for values in itertools.product(*(grid[key] for key in varied)):
        yield {**grid, **dict(zip(varied, values, strict=True))}, varied


def arguments(options: Mapping[str, Any]) -> str:
    """Return the command-line arguments of train.py for a run's options."""
    given = {key: value for key, value in options.items() if value is not None and value is not False}
    model, dataset = given.pop("model"), given.pop("dataset")
    flags = [f"--{key}" if value is True else f"--{key} {value}" for key, value in given.items()]
    return " ".join([*flags, model, dataset])
