"""The options of a run: those of its model, and those of training."""

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from relative_performer.data import DATASETS
from relative_performer.errors import nearest, shown
from relative_performer.models import MODEL_OPTIONS, MODELS, find_model
from relative_performer.options import (
    Option,
    complete,
    integer,
    natural,
    nonnegative,
    positive_float,
    positive_int,
    probability,
)

TRAINING_OPTIONS = (
    Option("learning_rate", positive_float, 1e-3, "peak learning rate of Adam"),
    Option("schedule", ("constant", "noam"), "constant", "learning rate after the warmup"),
    Option("warmup", natural, 0, "steps of linear warmup; 0: a constant learning rate"),
    Option("beta2", probability, 0.98, "Adam's decay of the mean squared gradient"),
    Option("gradient_clip_norm", nonnegative, 0.5, "norm to which gradients are clipped; 0: no clipping"),
    Option("batch_size", positive_int, 16, "images per step, over all devices"),
    Option(
        "accumulate_grad_batches",
        positive_int,
        1,
        "parts in which a batch passes, for less memory; each part counts for redraws",
    ),
    Option("precision", ("32-true", "bf16-mixed"), "32-true", "float32, or matrix products in bfloat16"),
    Option("compile", bool, False, "torch.compile the model: minutes at the start, less memory, but may be slower"),
    Option("deterministic", bool, False, "use only deterministic algorithms: on a GPU, a seed then gives one result"),
    Option("seed", integer(0, 2**32 - 1), 0, "seed of weights, random features, order of images and dropout"),
    Option("max_epochs", positive_int, 1000, "most epochs; early stopping usually ends a run before"),
    Option("max_steps", positive_int, None, "most steps"),
    Option("patience", natural, 20, "epochs without a higher val/acc after which training stops; 0: never"),
    Option("test_checkpoint", ("best", "last"), "best", "checkpoint to test: of the best val/acc, or the last epoch"),
    Option("limit_train", positive_int, None, "train on the first N images"),
    Option("limit_val", positive_int, None, "validate on the first N images"),
)
OPTIONS = {option.name: option for option in (*MODEL_OPTIONS, *TRAINING_OPTIONS)}
FORMER_NAMES = {
    "max_norm": "gradient_clip_norm",
    "accumulate": "accumulate_grad_batches",
    "tested": "test_checkpoint",
}


def options_of(model: str) -> list[Option]:
    """Return the options of training the model `model`, its own first; raises ValueError if there is no such model."""
    own = {option.name: option for option in find_model(model).options}
    return [own[option.name] for option in MODEL_OPTIONS if option.name in own] + list(TRAINING_OPTIONS)


def run_options(model: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of every option of training `model`: those in `chosen`, and the defaults of the others.

    Raises TypeError for an option that `model` does not have, ValueError for a value that it cannot have.
    """
    try:
        values = complete(model, options_of(model), chosen)
    except TypeError as error:
        raise TypeError(f"{error}{renamed(chosen)}") from None
    find_model(model).check(values)
    return values


def renamed(names: Iterable[str]) -> str:
    """Return a hint at the present name of the first option in `names` that had another name before, if any."""
    former = next((name for name in names if name in FORMER_NAMES), None)
    return f"; {former} is now called {FORMER_NAMES[former]}" if former else ""


def complete_hparams(hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hparams of a run that may be older than some options: present names, and defaults for missing ones."""
    present = {FORMER_NAMES.get(name, name): value for name, value in hparams.items()}
    defaults: dict[str, Any] = {option.name: option.default for option in TRAINING_OPTIONS}
    if (dataset := DATASETS.get(str(hparams.get("dataset")))) is not None:
        defaults |= {"num_classes": len(dataset.classes), "normalisation": as_lists(dataset.normalisation)}
    return defaults | present


def as_lists(values: Any) -> Any:
    """Return nested tuples as lists, as YAML reads them."""
    return [as_lists(value) for value in values] if isinstance(values, tuple) else values


def check_run(model: str, dataset: str, options: Mapping[str, Any]) -> None:
    """Raise ValueError if the model cannot be trained on the dataset with these options."""
    declaration, entry = find_model(model), DATASETS[dataset]
    declaration.check(options)
    parts, batch_size = options["accumulate_grad_batches"], options["batch_size"]
    if parts > batch_size:
        raise ValueError(f"accumulate_grad_batches {parts} exceeds batch_size {batch_size}: parts would be empty")
    declaration.check_image_size(dataset, entry.height, entry.width)


def add_options(parser: argparse._ActionsContainer, options: Iterable[Option]) -> None:
    """Add `options` to a command line. The help shows defaults, and which models have an option where not all do."""
    for option in options:
        default = "" if option.default is None or option.default is False else f" (default {option.default})"
        text = option.help + default + _owners(option.name)
        if option.kind is bool:
            parser.add_argument(f"--{option.name}", action="store_true", help=text)
        else:
            choices = "{" + ",".join(option.kind) + "}" if isinstance(option.kind, tuple) else "N"
            parser.add_argument(
                f"--{option.name}", type=option.parse, default=option.default, metavar=choices, help=text
            )


def _owners(name: str) -> str:
    if all(name != option.name for option in MODEL_OPTIONS):
        return ""
    owners = [model for model in MODELS.values() if any(name == option.name for option in model.options)]
    others = [model for model in MODELS.values() if model not in owners]
    if all(model.baseline for model in others):
        return " [not the baselines]"
    return f" [{', '.join(model.name for model in owners)}]"


def check_value(name: str, value: Any) -> None:
    """Raise ValueError if there is no option `name`, or if it cannot have this value."""
    if name not in OPTIONS:
        hint = renamed([name]) or f": {nearest(name, OPTIONS)}"
        raise ValueError(f"there is no option {shown(name)}{hint}")
    OPTIONS[name].value(value)
