"""The folders that Snakemake writes beside the results, for the profile to check before Snakemake starts."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path


def ensure_writable(arguments: Sequence[str]) -> None:
    """Let Snakemake and matplotlib keep their caches in the working directory if HOME cannot be written.

    arguments: the command line of Snakemake. If its working directory cannot be written, this ends the process with one
    line and exit code 2.
    """
    if not {"-h", "--help", "-v", "--version"}.isdisjoint(arguments):
        return
    folder = _working_directory(arguments).resolve()
    if not can_write(folder / ".snakemake"):
        snakefile = Path(__file__).resolve().parents[3] / "Snakefile"
        print(f"error: cannot write in {folder}: start snakemake elsewhere, with -s {snakefile}", file=sys.stderr)
        sys.exit(2)
    if not can_write(Path(os.getenv("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))):
        cache = folder / ".snakemake" / "cache"
        print(f"HOME cannot be written: caches are in {cache}, unless XDG_CACHE_HOME names a folder", file=sys.stderr)
        os.environ["XDG_CACHE_HOME"] = str(cache)
        os.environ.setdefault("MPLCONFIGDIR", str(cache / "matplotlib"))


def _working_directory(arguments: Sequence[str]) -> Path:
    for argument, value in zip(arguments, [*arguments[1:], ""], strict=True):
        name, equals, given = argument.partition("=")
        if name in ("-d", "--directory"):
            return Path(given if equals else value)
    return Path()


def can_write(path: Path) -> bool:
    """Return whether a file or folder can be written, or made if it does not exist."""
    there = next(place for place in (path, *path.parents) if place.exists())
    return os.access(there, os.W_OK)
