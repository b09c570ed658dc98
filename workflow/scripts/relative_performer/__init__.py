"""Performers with translation-equivariant relative positions (Horn et al., 2021)."""

__all__ = ["build_model"]


def __getattr__(name: str) -> object:
    # torch takes seconds to import, and the commands that only read CSV files run without it
    if name == "build_model":
        from relative_performer.models import build_model

        return build_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
