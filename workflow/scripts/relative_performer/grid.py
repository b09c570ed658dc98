"""The pipeline's configuration: checked in one line, and expanded from experiments to runs."""

import itertools
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from relative_performer.checks import check_structure, read_yaml, wording
from relative_performer.cli import UserError, nearest, shown
from relative_performer.options import MODEL_OPTIONS, TRAINING_OPTIONS, options_of, run_options, value_of

MOST_RUNS = 10_000
LONGEST_NAME = 200  # it is the name of files, which have at most 255 characters
SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "config.schema.yaml"


def read_configs(paths: list[Path]) -> dict[str, Any]:
    """Return the configuration of several files, checked; raises UserError."""
    config: dict[str, Any] = {"options": {}, "data": {"path": "data"}}
    for path in paths:
        merge(config, read_yaml(path))
    check_config(config)
    return config


def merge(config: dict[str, Any], other: Mapping[str, Any]) -> None:
    """Put the values of `other` into `config`, mapping by mapping, as snakemake does."""
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(config.get(key), dict):
            merge(config[key], value)
        else:
            config[key] = value


def check_config(config: Mapping[str, Any]) -> None:
    """Raise UserError, in one line that names key and value, unless `config` satisfies the schema."""
    check_structure(config)
    error = jsonschema.exceptions.best_match(_validator().iter_errors(config))
    if error is not None:
        raise UserError(wording(error))


@cache
def _validator() -> Any:
    draft = jsonschema.Draft202012Validator
    # 3.0 is an integer to JSON Schema, but not on a command line
    types = draft.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    return jsonschema.validators.extend(draft, type_checker=types)(yaml.safe_load(SCHEMA.read_text()))


def expand(config: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return (experiment, run): options for every run of the configuration.

    A run is named by its model, dataset, embedding, every other option that its experiment varies, and seed.
    The options for every run mean the models that have them. Raises UserError for an option that a model of an
    experiment does not have, a value that it cannot have, two runs of an experiment with one name, or MOST_RUNS.
    """
    everywhere = config.get("options", {})
    _check_options(everywhere)
    runs: dict[tuple[str, str], dict[str, Any]] = {}
    for experiment, grid in config["experiments"].items():
        for model, chosen, varied in _choices(everywhere, grid):
            dataset = chosen.pop("dataset")
            try:
                options = run_options(model, chosen)
            except (TypeError, ValueError) as error:
                raise UserError(f"experiments.{experiment}: {error}") from None
            others = [f"{key}{chosen[key]}" for key in varied if key not in ("dataset", "embedding_type", "seed")]
            embedding = [options["embedding_type"]] if "embedding_type" in options else []
            run = "_".join([model, dataset, *embedding, *others, f"seed{options['seed']}"])
            if (experiment, run) in runs:
                raise UserError(f"experiments.{experiment}: {run} stands there twice")
            if len(run) > LONGEST_NAME:
                raise UserError(
                    f"experiments.{experiment}: varies so much that the name of a run is too long: {shown(run)}"
                )
            if len(runs) == MOST_RUNS:
                raise UserError(f"experiments.{experiment}: its lists make more than {MOST_RUNS} runs")
            runs[experiment, run] = {"model": model, "dataset": dataset, **options}
    return runs


def _check_options(everywhere: Mapping[str, Any]) -> None:
    """Check the options for every run, also those that no model of the configuration has."""
    known = {option.name: option for option in MODEL_OPTIONS + TRAINING_OPTIONS}
    for name, values in everywhere.items():
        if name not in known:
            raise UserError(f"options: there is no option {shown(name)}: {nearest(name, known)}")
        for value in values if isinstance(values, list) else [values]:
            try:
                value_of(known[name], value)
            except ValueError as error:
                raise UserError(f"options.{error}") from None


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
    """The options that other models have and `model` does not."""
    return {option.name for option in MODEL_OPTIONS + TRAINING_OPTIONS} - {o.name for o in options_of(model)}


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
