"""Performers with translation-equivariant relative positions (Horn et al., 2021).

`build_model` makes an untrained model and `load_model` a trained one. `MODELS` and `DATASETS` list what there is.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from relative_performer.models import MODELS, build_model

if TYPE_CHECKING:
    from relative_performer.data import DATASETS
    from relative_performer.runs.load import load_model

__all__ = ["DATASETS", "MODELS", "build_model", "load_model"]

# Importing torch takes seconds, which commands that only read CSV files need not wait for. An exported model can be
# loaded where only torch and safetensors are installed, and the datasets need NumPy.
_PLACES = {"DATASETS": "relative_performer.data", "load_model": "relative_performer.runs.load"}


def __getattr__(name: str) -> object:
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
