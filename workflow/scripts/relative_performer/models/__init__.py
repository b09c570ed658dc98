"""The models, one folder each: a declaration in `__init__.py`, which does not import torch, and the mathematics.

Every folder here is a model of the project and defines `MODEL`. `performer` is a short example, and
`declaration.Model` documents what a declaration contains.
"""

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from relative_performer.errors import nearest, shown
from relative_performer.models.declaration import Model
from relative_performer.options import Option

if TYPE_CHECKING:
    from torch import nn


def _declared() -> dict[str, Model]:
    folders = [module.name for module in iter_modules(__path__) if module.ispkg]
    models = [import_module(f"{__name__}.{folder}").MODEL for folder in folders]
    return {model.name: model for model in sorted(models, key=lambda model: (model.order, model.name))}


MODELS: Mapping[str, Model] = _declared()


def find_model(name: str) -> Model:
    """Return the declaration of the model `name`; raises ValueError if there is none."""
    if name not in MODELS:
        raise ValueError(f"unknown model {shown(name)}: {nearest(str(name), MODELS)}")
    return MODELS[name]


def _options() -> tuple[Option, ...]:
    options: dict[str, Option] = {}
    for model in MODELS.values():
        for option in model.options:
            options.setdefault(option.name, option)
    return tuple(options.values())


MODEL_OPTIONS = _options()
"""The options of all models, each name once."""


def build_model(name: str, *, in_features: int, num_classes: int = 10, **chosen: Any) -> "nn.Module":
    """Return the untrained model `name`, with the defaults of the command line for options that are not given.

    The model maps images (B, h, w, in_features), float or, for the lookup embedding, uint8, to logits
    (B, num_classes).

    Raises ValueError for an unknown name or value, TypeError for an option that the model does not have.
    """
    model = find_model(name)
    options = model.complete(chosen)
    return model.load(model.network)(in_features, num_classes, SimpleNamespace(**options))
