"""What every command shares: one-line errors with exit code 2, and argument types."""

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn


class UserError(Exception):
    """A fault that the user can mend. Its text is one line that names the bad value and the remedy."""


class Stopped(Exception):
    """A signal stopped a command, which goes on from there when it is started again."""


class ArgumentParser(argparse.ArgumentParser):
    """An argparse parser that reports a wrong argument in one line and knows no abbreviations."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")

    def option_names(self) -> list[str]:
        """The long options that the parser knows."""
        return [text for text in self._option_string_actions if text.startswith("--")]


def test_parser(description: str | None, epilog: str) -> ArgumentParser:
    """The command line that the commands for testing trained runs share."""
    parser = ArgumentParser(description=description, epilog=epilog)
    parser.add_argument("--output", type=Path, required=True, metavar="CSV", help="the file to write")
    parser.add_argument("--data_path", type=Path, help="folder with DATASET.npz (default: where the run found it)")
    parser.add_argument("--limit_test", type=positive_int, metavar="N", help="test on the first so many images only")
    parser.add_argument("--accelerator", choices=("auto", "cpu", "cuda"), default="auto", help="default auto")
    parser.add_argument("--threads", type=positive_int, metavar="N", help="CPU threads (default: all cores)")
    return parser


def run(main: Callable[[], None]) -> None:
    """Call a command's `main`; a UserError ends it with one line on stderr and exit code 2, Stopped with 75."""
    try:
        main()
    except UserError as error:
        sys.exit(_report(str(error), 2))
    except Stopped as stop:
        sys.exit(_report(str(stop), os.EX_TEMPFAIL))
    except KeyboardInterrupt:
        sys.exit(_report("interrupted", 130))


def _report(message: str, code: int) -> int:
    print(f"{sys.argv[0].rpartition('/')[2]}: error: {message}", file=sys.stderr)
    return code


def nearest(value: str, choices: Iterable[str]) -> str:
    """Return the text that names what is allowed, with the nearest spelling of `value` if there is one."""
    choices = list(choices)
    close = difflib.get_close_matches(value, choices, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"choose from {', '.join(choices)}{hint}"


def choice(what: str, choices: Iterable[str]) -> Callable[[str], str]:
    """Return an argparse type that accepts `choices` only; `what` names them in the error."""

    def parse(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"unknown {what} {text!r}: {nearest(text, choices)}")
        return text

    return parse


def positive_int(text: str) -> int:
    """Argparse type: an integer of at least 1."""
    return _bounded(int, text, 1, "a positive integer")


def natural(text: str) -> int:
    """Argparse type: an integer of at least 0."""
    return _bounded(int, text, 0, "an integer of at least 0")


def class_label(text: str) -> int:
    """Argparse type: one of the ten classes."""
    value = natural(text)
    if value > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a class from 0 to 9")
    return value


def positive_float(text: str) -> float:
    """Argparse type: a finite number above 0."""
    value = _bounded(float, text, 0.0, "a number above 0")
    if value == 0 or value == float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def nonnegative(text: str) -> float:
    """Argparse type: a finite number of at least 0."""
    value = _bounded(float, text, 0.0, "a number of at least 0")
    if value == float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0")
    return value


def probability(text: str) -> float:
    """Argparse type: a number of at least 0 and below 1."""
    value = _bounded(float, text, 0.0, "a number from 0 to below 1")
    if value >= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to below 1")
    return value


def _bounded(kind: Callable[[str], Any], text: str, least: float, what: str) -> Any:
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not value >= least:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return value
