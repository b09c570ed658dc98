"""What every command shares: one-line errors with exit code 2, and argument types."""

import argparse
import difflib
import errno
import math
import os
import reprlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

MOST = 2**31 - 1  # images, steps and seeds are held in 32 bits in places
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


class UserError(Exception):
    """A fault that the user can mend. Its text is one line that names the bad value and the remedy."""


class Stopped(Exception):
    """A signal stopped a command, which goes on from there when it is started again."""


class ArgumentParser(argparse.ArgumentParser):
    """An argparse parser that reports a wrong argument in one line and knows no abbreviations."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {one_line(message)} (see {self.prog} --help)\n")

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
    parser.add_argument("--threads", type=integer(1, 1024), metavar="N", help="CPU threads (default: all cores)")
    return parser


def run(main: Callable[[], None]) -> None:
    """Call a command's `main`; a UserError or a fault of a file ends it with one line on stderr and exit code 2.

    Stopped ends it with exit code 75.
    """
    try:
        main()
    except UserError as error:
        sys.exit(_report(str(error), 2))
    except Stopped as stop:
        sys.exit(_report(str(stop), os.EX_TEMPFAIL))
    except OSError as error:
        if not error.filename and error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        place = f"{error.filename}: " if error.filename else "cannot write: "
        sys.exit(_report(f"{place}{error.strerror}", 2))
    except KeyboardInterrupt:
        sys.exit(_report("interrupted", 130))


def _report(message: str, code: int) -> int:
    print(f"{sys.argv[0].rpartition('/')[2]}: error: {one_line(message)}", file=sys.stderr)
    return code


def one_line(text: object) -> str:
    """Return a text in one line, what a terminal would not show escaped, and the middle of a very long one left out."""
    words = " ".join(str(text).split())
    line = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in words)
    return line if len(line) <= 2000 else f"{line[:1000]} ... {line[-900:]}"


def shown(value: object) -> str:
    """Return a value as Python writes it, shortened."""
    return _SHORT.repr(value)


def nearest(value: str, choices: Iterable[str]) -> str:
    """Return the text that names what is allowed, with the nearest spelling of `value` if there is one."""
    choices = list(choices)
    spelt = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(value[:100].lower(), spelt, n=1, cutoff=0.5)
    hint = f"; did you mean {spelt[close[0]]}?" if close else ""
    return f"choose from {', '.join(choices)}{hint}"


def choice(what: str, choices: Iterable[str]) -> Callable[[str], str]:
    """Return an argparse type that accepts `choices` only; `what` names them in the error."""

    def parse(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"unknown {what} {shown(text)}: {nearest(text, choices)}")
        return text

    return parse


def integer(least: int, most: int) -> Callable[[str], int]:
    """Return an argparse type: an integer from `least` to `most`."""
    return lambda text: _bounded(int, text, least, most, f"an integer from {least} to {most}")


def positive_int(text: str) -> int:
    """Argparse type: an integer from 1 to MOST."""
    return _bounded(int, text, 1, MOST, f"a positive integer up to {MOST}")


def natural(text: str) -> int:
    """Argparse type: an integer from 0 to MOST."""
    return _bounded(int, text, 0, MOST, f"an integer from 0 to {MOST}")


def class_label(text: str) -> int:
    """Argparse type: one of the ten classes."""
    return _bounded(int, text, 0, 9, "a class from 0 to 9")


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
