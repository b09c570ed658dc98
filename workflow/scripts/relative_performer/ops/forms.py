"""The two forms of the costly operations: a plain one, and one that is written for the caches of a CPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_forced = False


def is_plain(x: Tensor) -> bool:
    """Return whether operations on `x` take their plain form, from which autograd and torch.compile derive the rest.

    On a GPU and while compiling they do. Otherwise they take the form for a CPU, with a backward pass of its own.
    """
    return _forced or x.is_cuda or torch.compiler.is_compiling()


@contextmanager
def plain_form() -> Iterator[None]:
    """Use the plain form on a CPU too."""
    global _forced
    _forced = True
    try:
        yield
    finally:
        _forced = False
