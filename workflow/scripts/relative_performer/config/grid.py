"""The pipeline's configuration, expanded from experiments to runs."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from relative_performer.config.options import OPTIONS, check_run, check_value, options_of, run_options
from relative_performer.data import DATASETS
from relative_performer.errors import UserError, shown
from relative_performer.options import complete

MOST_RUNS = 10_000
MOST_PANELS = 9  # of a figure: three rows of three fit on a page
LONGEST_NAME = 200  # the name is part of the names of files, which have at most 255 characters


def expand(config: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return (experiment, run): options for every run of the configuration.

    The options for every run apply to the models that have them. Raises UserError for an option that a model of an
    experiment does not have, a value that it cannot have, images that it does not take, shifted classes or shifts that
    a dataset does not have, two equal runs of an experiment, or more than MOST_RUNS runs.
    """
    everywhere = config.get("options", {})
    _check_options("options", everywhere)
    runs: dict[tuple[str, str], dict[str, Any]] = {}
    for experiment, grid in config["experiments"].items():
        _check_options(f"experiments.{experiment}.options", grid.get("options", {}))
        shared = {**everywhere, **grid.get("options", {})}
        bases = {model: _base(model, shared) for model in grid["models"]}
        for model, chosen in _choices(shared, grid):
            dataset = chosen.pop("dataset")
            try:
                options = run_options(model, chosen)
                check_run(model, dataset, options)
            except (TypeError, ValueError) as error:
                raise UserError(f"experiments.{experiment}: {error}") from None
            run = _run_name(model, dataset, options, bases[model])
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


def figure_folders(runs: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[str]:
    """Return the folders in figures/NAME of the figures that compare runs: every experiment if there are many panels.

    A figure has a panel for every experiment, dataset and embedding. If one page can hold them all, the only folder is
    figures/NAME itself, an empty text.
    """
    panels = {(experiment, run["dataset"], run.get("embedding_type")) for (experiment, _), run in runs.items()}
    return list(dict.fromkeys(experiment for experiment, _ in runs)) if len(panels) > MOST_PANELS else [""]


def _base(model: str, shared: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a run of `model` that sets none itself: `shared` (the first of a list), or defaults."""
    chosen = {name: value[0] if isinstance(value, list) else value for name, value in shared.items()}
    return complete(model, options_of(model), _without_foreign(model, chosen))


def _run_name(model: str, dataset: str, options: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    """Return the name of a run: model, dataset, embedding, the other options that differ from `base`, and seed.

    It depends on no other run, so that a run keeps its name when its grid grows.
    """
    embedding = [options["embedding_type"]] if "embedding_type" in options else []
    own = [name for name in options if name not in ("embedding_type", "seed") and options[name] != base[name]]
    return "_".join([model, dataset, *embedding, *(f"{name}{options[name]}" for name in own), f"seed{options['seed']}"])


def _check_options(place: str, shared: Mapping[str, Any]) -> None:
    """Check the options that runs share, also those that no model of the configuration has."""
    for name, values in shared.items():
        for value in values if isinstance(values, list) else [values]:
            try:
                check_value(name, value)
            except ValueError as error:
                separator = "." if name in OPTIONS else ": "
                raise UserError(f"{place}{separator}{error}") from None


def _check_shift(shift: Mapping[str, Any], datasets: set[str]) -> None:
    """Check that every dataset of the shift test has the classes and the room that the test asks for."""
    for dataset in (DATASETS[name] for name in sorted(datasets) if DATASETS[name].border or shift.get("circular")):
        for label in shift.get("labels", []):
            if label >= len(dataset.classes):
                last = len(dataset.classes) - 1
                raise UserError(f"shift.labels: {label} is not a class of {dataset.name}, which has 0 to {last}")
        axis, asked = shift.get("axis", "columns"), shift.get("min_shift", 0)
        if asked > (most := dataset.largest_shift(axis)):
            rows, columns = f"{dataset.height} rows", f"{dataset.width} columns"
            size = {"columns": columns, "rows": rows, "both": f"{rows} and {columns}"}[axis]
            reason = f"{dataset.name} has {size}, which allow at most {most}"
            raise UserError(f"shift.min_shift: {asked} is too large: {reason}")


def _choices(shared: Mapping[str, Any], grid: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield model and options of every run of an experiment."""
    of_all = {key: value for key, value in grid.items() if key not in ("models", "options")}
    for model, own in grid["models"].items():
        general = _without_foreign(model, shared) | of_all
        for part in own if isinstance(own, list) else [own or {}]:
            yield from ((model, chosen) for chosen in _combinations(general | part))


def _without_foreign(model: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return `options` without those that other models have and `model` does not."""
    foreign = OPTIONS.keys() - {option.name for option in options_of(model)}
    return {key: value for key, value in options.items() if key not in foreign}


def _combinations(grid: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every choice of one value from each list."""
    varied = [key for key, value in grid.items() if isinstance(value, list)]
    for values in itertools.product(*(grid[key] for key in varied)):
        yield {**grid, **dict(zip(varied, values, strict=True))}


def arguments(options: Mapping[str, Any]) -> str:
    """Return the command-line arguments of train.py for a run's options."""
    given = {key: value for key, value in options.items() if value is not None and value is not False}
    model, dataset = given.pop("model"), given.pop("dataset")
    flags = [f"--{key}" if value is True else f"--{key} {value}" for key, value in given.items()]
    return " ".join([*flags, model, dataset])
