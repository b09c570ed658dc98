"""Options as data, and the values that they accept: command lines, `build_model` and configurations read them alike."""

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from relative_performer.errors import nearest, shown

MOST = 2**31 - 1  # images, steps and seeds are 32-bit integers in places


@dataclass(frozen=True)
class Option:
    """One option. `kind` parses its text, or is the tuple of its choices, or is `bool` for a flag."""

    name: str
    kind: Callable[[str], Any] | tuple[str, ...]
    default: Any
    help: str

    @property
    def parse(self) -> Callable[[str], Any]:
        """The function that turns the option's text into its value."""
        return choice(self.name, self.kind) if isinstance(self.kind, tuple) else self.kind

    def value(self, value: Any) -> Any:
        """Return `value`, parsed if it is text (as 5e-5 is in YAML); raises ValueError if the option cannot have it."""
        if value is None and self.default is None:
            return None
        if self.kind is bool:
            if type(value) is not bool:
                raise ValueError(f"{self.name}: {shown(value)} is not true or false")
            return value
        text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        try:
            return self.parse(text)
        except argparse.ArgumentTypeError as error:
            raise ValueError(f"{self.name}: {error}") from None


def complete(owner: str, options: Iterable[Option], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of every option: those in `chosen`, checked, and the defaults of the others.

    Raises TypeError for a name that is not among the options of `owner`, and ValueError for a value that an option
    cannot have.
    """
    known = {option.name: option for option in options}
    values = {name: option.default for name, option in known.items()}
    for name, value in chosen.items():
        if name not in known:
            raise TypeError(f"{owner} has no option {name!r}" + (f": {nearest(name, known)}" if known else ""))
        values[name] = known[name].value(value)
    return values


def choice(what: str, choices: Iterable[str]) -> Callable[[str], str]:
    """Return an argparse type that accepts `choices` only; `what` names them in the error."""

    def parse(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"unknown {what} {shown(text)}: {nearest(text, choices)}")
        return text

    return parse


def integer(least: int, most: int, what: str = "an integer") -> Callable[[str], int]:
    """Return an argparse type: an integer from `least` to `most`."""
    return lambda text: _bounded(int, text, least, most, f"{what} from {least} to {most}")


def positive_int(text: str) -> int:
    """Argparse type: an integer from 1 to MOST."""
    return _bounded(int, text, 1, MOST, f"a positive integer up to {MOST}")


def natural(text: str) -> int:
    """Argparse type: an integer from 0 to MOST."""
    return _bounded(int, text, 0, MOST, f"an integer from 0 to {MOST}")


def positive_float(text: str) -> float:
    """Argparse type: a finite number above 0."""
    return _bounded(float, text, math.ulp(0), sys.float_info.max, "a number above 0")


def nonnegative(text: str) -> float:
    """Argparse type: a finite number of at least 0."""
    return _bounded(float, text, 0, sys.float_info.max, "a number of at least 0")


def probability(text: str) -> float:
    """Argparse type: a number of at least 0 and below 1."""
    return _bounded(float, text, 0, 1 - sys.float_info.epsilon / 2, "a number from 0 to below 1")


def _bounded(kind: Callable[[str], Any], text: str, least: float, most: float, what: str) -> Any:
    try:
        value = kind(text) if text.isascii() and text.split() == [text] else None
    except ValueError:
        value = None
    if value is None or not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not {what}")
    return value
