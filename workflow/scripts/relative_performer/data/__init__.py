"""The datasets, one entry each in the folder `datasets`, and the code that they share.

Every module of that folder is a dataset of the project and defines `DATASET`. `datasets/digits.py` is a short example,
and `dataset.Dataset` documents what an entry contains.
"""

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules

from relative_performer.data import datasets
from relative_performer.data.axes import AXES
from relative_performer.data.dataset import Dataset


def _entries() -> dict[str, Dataset]:
    modules = [import_module(f"{datasets.__name__}.{module.name}") for module in iter_modules(datasets.__path__)]
    entries = sorted((module.DATASET for module in modules), key=lambda entry: (entry.order, entry.name))
    return {entry.name: entry for entry in entries}


DATASETS: Mapping[str, Dataset] = _entries()
MOST_CLASSES = max(len(entry.classes) for entry in DATASETS.values())
LARGEST_SHIFT = max(entry.largest_shift(axis) for entry in DATASETS.values() for axis in AXES)


def whole(name: str) -> Dataset | None:
    """Return the dataset of which the dataset `name` has the images at half their side, if it is such a dataset."""
    return DATASETS[name].half_of if name in DATASETS else None
