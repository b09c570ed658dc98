"""Errors that a user can act on, and their wording: one line that names the bad value and the remedy."""

import difflib
import reprlib
from collections.abc import Iterable

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


class UserError(Exception):
    """An error that the user can correct. Its text is one line that names the bad value and the remedy."""


class Stopped(Exception):
    """A signal stopped a command. The same command continues from there."""


def one_line(text: object) -> str:
    """Return a text as one line: control characters are escaped, and the middle of a very long text is left out."""
    words = " ".join(str(text).split())
    line = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in words)
    return line if len(line) <= 2000 else f"{line[:1000]} ... {line[-900:]}"


def shown(value: object) -> str:
    """Return a value as Python writes it, shortened."""
    return _SHORT.repr(value)


def nearest(value: str, choices: Iterable[str]) -> str:
    """Return a text that lists the choices and suggests the one that is spelt most like `value`, if any is close."""
    choices = list(choices)
    spelt = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(value[:100].lower(), spelt, n=1, cutoff=0.5)
    hint = f"; did you mean {spelt[close[0]]}?" if close else ""
    return f"choose from {', '.join(choices)}{hint}"
