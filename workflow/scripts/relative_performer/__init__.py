"""Performers with translation-equivariant relative positions (Horn et al., 2021).

`build_model` makes an untrained model and `load_model` a trained one. `MODELS` and `DATASETS` list what there is.
"""

from importlib import import_module

from relative_performer.data import DATASETS
from relative_performer.models import MODELS, build_model

__all__ = ["DATASETS", "MODELS", "build_model", "load_model"]


def __getattr__(name: str) -> object:
    # importing torch takes seconds, which commands that only read CSV files need not wait for
    if name == "load_model":
        return import_module("relative_performer.runs.checkpoints").load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
