"""The declaration of a model, which does not import torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from relative_performer.options import Option, complete

LineStyle = str | tuple[int, tuple[int, ...]]


@dataclass(frozen=True)
class Model:
    """The declaration of a model.

    `network`, `naive` and `attention_map` name a class or function as MODULE:NAME, where MODULE is a module in the
    model's folder.
    """

    package: str
    """The package of the model's folder: `__name__`."""
    name: str
    """The name in command lines, configurations, CSV files and checkpoints."""
    network: str
    """The class of the model: (in_features, num_classes, options) → module."""
    options: tuple[Option, ...] = ()
    """The options of the model, in the order of `--help`."""
    check: Callable[[Mapping[str, Any]], None] = lambda options: None
    """Raises ValueError for option values that do not fit together."""
    label: str = ""
    """The label in figures; the name if empty."""
    color: str = "#7A3B00"
    linestyle: LineStyle = (0, (5, 1))
    marker: str = "v"
    order: int = 1000
    """The position in lists, tables and figures, in ascending order; equal values are sorted by name."""
    positions: str = "none"
    """The positions that the model uses: `absolute`, `relative` or `none`."""
    attention_map: str | None = None
    """(model, radius) → first head, maps (layers, heads, n, n): the attention over relative positions."""
    naive: str | None = None
    """(options, state, images) → logits: the naive model in float64. None: there is none."""
    baseline: bool = False
    """Whether the model is one of the paper's baselines, which have their own training protocol and no embedding."""
    largest_image: tuple[int, int] | None = None
    """The height and width of the largest images that the model accepts. None: any."""
    authors_parameters: tuple[tuple[str, str], ...] = ()
    """Patterns of parameter names in the authors' code that only this model has, and their replacements."""
    published: Mapping[str, str] = field(default_factory=dict)
    """Option values of the published runs that the published tables do not give. Empty: a model outside the paper."""

    @property
    def title(self) -> str:
        """The label, or the name if there is no label."""
        return self.label or self.name

    @property
    def folder(self) -> Path:
        """The folder of the model, relative to the folder of all models."""
        return Path(self.package.rpartition(".")[2])

    def has_option(self, name: str) -> bool:
        """Return whether the model has the option `name`."""
        return any(option.name == name for option in self.options)

    def load(self, place: str) -> Any:
        """Return the class or function MODULE:NAME of the model's folder."""
        module, _, name = place.partition(":")
        return getattr(import_module(f"{self.package}.{module}"), name)

    def complete(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """Return the value of every option of the model: those in `chosen`, and the defaults of the others.

        Raises TypeError for an option that the model does not have, ValueError for an invalid value.
        """
        values = complete(self.name, self.options, chosen)
        self.check(values)
        return values

    def check_image_size(self, dataset: str, height: int, width: int) -> None:
        """Raise ValueError if the images of the dataset are too large for the model."""
        if self.largest_image and (height > self.largest_image[0] or width > self.largest_image[1]):
            most = "×".join(map(str, self.largest_image))
            raise ValueError(f"{self.name} takes images of at most {most} pixels, and {dataset} has {height}×{width}")
