"""Validation of a configuration: its file, its structure, its schema, and the wording of what is wrong."""

import sys
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from jsonschema import ValidationError

from relative_performer.data import DATASETS, LARGEST_SHIFT, MOST_CLASSES
from relative_performer.errors import UserError, nearest, one_line, shown
from relative_performer.models import MODELS

STDIN = Path("-")
SCHEMA = Path(__file__).resolve().parents[3] / "schemas" / "config.schema.yaml"

MOST_VALUES = 5_000  # config.yaml has 150; an alias can stand for very many
DEEPEST = 12  # config.yaml goes to 6
TYPES = {
    "object": "a mapping",
    "array": "a list",
    "integer": "an integer",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "null": "nothing",
}


class _Loader(yaml.SafeLoader):
    """A safe YAML loader that refuses a key that stands twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                twice = f"the key {shown(key.value)} occurs twice"
                raise yaml.constructor.ConstructorError(None, None, twice, key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds; raises UserError, with the line of the fault, if it holds none."""
    try:
        text = sys.stdin.read() if path == STDIN else path.read_text(encoding="utf-8")
        content = yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        fault = f"{error.context} {error.problem}" if str(error.problem).startswith("but") else error.problem
        raise UserError(f"{path}: {line}{one_line(fault)}") from None
    except (OSError, ValueError, yaml.YAMLError) as error:  # a ValueError is a number, a date or UTF-8
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or one_line(error)})") from None
    except RecursionError:
        raise UserError(f"{path}: cannot be read (nested too deeply)") from None
    if not isinstance(content, dict):
        what = "is empty" if content is None else f"holds {TYPES[_type(content)]}"
        raise UserError(f"{path} {what}, not a mapping of keys to values as in config.yaml")
    return content


def read_configs(paths: list[Path]) -> dict[str, Any]:
    """Return the configuration of several files, checked; raises UserError."""
    config: dict[str, Any] = {"options": {}, "data": {"path": "data"}}
    for path in paths:
        merge(config, read_yaml(path))
    check_config(config)
    return config


def parse_nested(value: Any, given: Any) -> Any:
    """Return a value of a configuration in which texts that stand in `given` are numbers, true, false or null again.

    snakemake's --config leaves null, and values inside mappings and lists, as text.
    """
    if isinstance(given, dict) and isinstance(value, dict):
        return value | {key: parse_nested(value[key], part) for key, part in given.items() if key in value}
    if isinstance(given, list) and isinstance(value, list):
        return [parse_nested(item, item) for item in value]
    if not isinstance(value, str):
        return value
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        return value
    return parsed if parsed is None or isinstance(parsed, bool | int | float) else value


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
    return jsonschema.validators.extend(draft, type_checker=types)(read_schema())


def read_schema() -> dict[str, Any]:
    """Return the schema, completed by the names of models, datasets and archives, and by what shifts there can be."""
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    definitions, properties = schema["$defs"], schema["properties"]
    definitions["model"]["enum"] = list(MODELS)
    definitions["dataset"]["enum"] = list(DATASETS)
    properties["data"]["properties"]["md5"]["properties"] = {
        dataset.name: {
            "type": "object",
            "additionalProperties": False,
            "properties": {archive: {"$ref": "#/$defs/md5"} for archive in dataset.archives},
        }
        for dataset in DATASETS.values()
        if dataset.archives
    }
    properties["data"]["properties"]["md5"]["additionalProperties"] = False
    shift = properties["shift"]["properties"]
    shift["labels"]["items"]["maximum"] = MOST_CLASSES - 1
    shift["min_shift"]["maximum"] = LARGEST_SHIFT
    return schema


def check_structure(config: Mapping[str, Any]) -> None:
    """Raise UserError unless `config` is made of mappings with text as keys, lists and plain values, not too many."""
    for count, (place, value) in enumerate(_walk(config)):
        if count == MOST_VALUES:
            raise UserError(f"more than {MOST_VALUES} values, aliases counted every time: split the configuration")
        if len(place) > DEEPEST:
            raise UserError(f"{dotted(place)}: nested more than {DEEPEST} levels deep")
        if isinstance(value, dict) and (odd := [key for key in value if not isinstance(key, str)]):
            raise UserError(f"{dotted(place)}: the key {shown(odd[0])} is not text: put it in quotes, if it is meant")
        if isinstance(value, int) and abs(value) >= 2**63:
            raise UserError(f"{dotted(place)}: an integer of {value.bit_length()} bits is too large")
        if not isinstance(value, dict | list | str | int | float | None):
            raise UserError(f"{dotted(place)}: {shown(str(value))} is a {type(value).__name__}: put it in quotes")


def _walk(config: Mapping[str, Any]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    waiting: list[tuple[tuple[Any, ...], Any]] = [((), config)]
    while waiting:
        place, value = waiting.pop()
        yield place, value
        parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        waiting += [((*place, key), part) for key, part in parts]


def dotted(place: Sequence[Any]) -> str:
    """Return the place of a value in a configuration: its keys, and its number in a list, joined by dots."""
    return ".".join(one_line(key)[:60] for key in place) or "top level"


def wording(error: ValidationError) -> str:
    """Return what is wrong, in one line: place, value and what is allowed there."""
    return f"{dotted(error.absolute_path)}: {_fault(error, error.instance, error.validator_value)}"


def _fault(error: ValidationError, value: Any, allowed: Any) -> str:
    schema: Any = error.schema
    match error.validator:
        case "additionalProperties":
            unknown = next(key for key in value if key not in schema["properties"])
            return f"unknown key {shown(unknown)}: {nearest(unknown, schema['properties'])}"
        case "required":
            return f"lacks the key {next(key for key in allowed if key not in value)}"
        case "enum":
            unknown = "has no value" if value is None else f"unknown {schema['title']} {shown(value)}"
            return f"{unknown}: {nearest(str(value), allowed)}"
        case "pattern":
            return f"{shown(value)} is not {schema['$comment']}"
        case "type":
            kinds = [allowed] if isinstance(allowed, str) else allowed
            choices = " or ".join(TYPES[kind] for kind in kinds)
            is_empty = value is None and "null" not in kinds
            return f"has no value, give {choices}" if is_empty else f"{shown(value)} is {_aptly(value)}, not {choices}"
        case "minimum" | "maximum":
            return f"{shown(value)} is not an integer from {schema['minimum']} to {schema['maximum']}"
        case "minItems" | "minProperties" | "minLength":
            return "is empty, name at least one"
        case "maxLength":
            return f"{shown(value)} has more than {allowed} characters"
        case "uniqueItems":
            twice = next(item for number, item in enumerate(value) if item in value[:number])
            return f"{shown(twice)} occurs twice"
        case "not":
            return f"{shown(value)} is taken, choose another"
    return one_line(error.message)


def _type(value: Any) -> str:
    kinds = {dict: "object", list: "array", bool: "boolean", int: "integer", float: "number", type(None): "null"}
    return kinds.get(type(value), "string")


def _aptly(value: Any) -> str:
    return "a boolean" if isinstance(value, bool) else TYPES[_type(value)]
