"""Performers with translation-equivariant relative positions (Horn et al., 2021)."""

import importlib

__all__ = ["build_model"]


def __getattr__(name: str) -> object:
    # torch takes seconds to import, and the commands that only read CSV files run without it; not an import statement,
    # because the pipeline reads from those which rules depend on which modules
    if name == "build_model":
        return importlib.import_module("relative_performer.models").build_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
