"""What the commands share: one-line errors with exit code 2, and arguments that several of them have."""

import argparse
import errno
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from relative_performer.data import DATASETS, LARGEST_SHIFT, MOST_CLASSES
from relative_performer.errors import Stopped, UserError, one_line
from relative_performer.options import choice, integer, positive_int

# Idle threads sleep: busy waiting slows a training beside other work. torch reads this when it is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
for stream in (sys.stdout, sys.stderr):
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")  # ± and × on an ASCII terminal


class ArgumentParser(argparse.ArgumentParser):
    """An argparse parser that reports a wrong argument in one line and accepts no abbreviations."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {one_line(message)} (see {self.prog} --help)\n")

    def option_names(self) -> list[str]:
        """Return the long options of the parser."""
        return [text for text in self._option_string_actions if text.startswith("--")]

    def add_dataset(self) -> None:
        """Add the argument DATASET."""
        names = ", ".join(DATASETS)
        self.add_argument("dataset", type=choice("dataset", DATASETS), metavar="DATASET", help=names)

    def add_experiment(self) -> None:
        """Add the option for the experiment of a figure."""
        self.add_argument("--experiment", metavar="NAME", help="draw this experiment only (default: all)")

    def add_min_shift(self, default: int) -> None:
        """Add the option for the largest shift."""
        text = f"largest shift; the name is from the paper's code (default {default})"
        self.add_argument("--min_shift", type=integer(1, LARGEST_SHIFT), default=default, metavar="M", help=text)

    def add_axis(self, axes: Sequence[str]) -> None:
        """Add the options for the kind of shift: along which of `axes`, and whether circular."""
        names = "{" + ",".join(axes) + "}"
        self.add_argument("--axis", type=choice("axis", axes), default="columns", metavar=names, help="default columns")
        text = "shift circularly: pixels that leave on one side enter on the other, and no image needs room"
        self.add_argument("--circular", action="store_true", help=text)


def test_parser(description: str | None, epilog: str) -> ArgumentParser:
    """Return the command line that the commands for testing trained runs share."""
    parser = ArgumentParser(description=description, epilog=epilog)
    parser.add_argument("--output", type=Path, required=True, metavar="CSV", help="the file to write")
    parser.add_argument("--data_path", type=Path, help="folder with DATASET.npz (default: where the run found it)")
    parser.add_argument("--limit_test", type=positive_int, metavar="N", help="test on the first N images")
    parser.add_argument("--accelerator", choices=("auto", "cpu", "cuda"), default="auto", help="default auto")
    parser.add_argument("--threads", type=integer(1, 1024), metavar="N", help="CPU threads (default: all cores)")
    return parser


class_label = integer(0, MOST_CLASSES - 1, "a class")


def run(main: Callable[[], None]) -> None:
    """Call a command's `main`. A UserError or a file error ends it with one line on stderr and exit code 2.

    Stopped ends it with exit code 75.
    """
    try:
        main()
        sys.stdout.flush()
    except UserError as error:
        sys.exit(_report(str(error), 2))
    except Stopped as stop:
        sys.exit(_report(str(stop), os.EX_TEMPFAIL))
    except BrokenPipeError:  # whoever read the output, such as head, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
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
