"""The options of models and of training, as data: `train.py`, `build_model` and the pipeline read them from here."""

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from relative_performer.cli import (
    choice,
    integer,
    natural,
    nearest,
    nonnegative,
    positive_float,
    positive_int,
    probability,
    shown,
)
from relative_performer.names import EMBEDDINGS, MODELS, PERFORMERS

FAVOR_MODELS = tuple(model for model in PERFORMERS if model != "ClippedRelativePerformer")


@dataclass(frozen=True)
class Option:
    """One option. `kind` parses its text, or lists its choices, or (bool) makes a flag; `models` have it."""

    name: str
    kind: Callable[[str], Any] | tuple[str, ...]
    default: Any
    help: str
    models: tuple[str, ...] = MODELS

    @property
    def parse(self) -> Callable[[str], Any]:
        """The function that turns the option's text into its value."""
        return choice(self.name, self.kind) if isinstance(self.kind, tuple) else self.kind


MODEL_OPTIONS = (
    Option("embedding_type", EMBEDDINGS, "linear", "how a pixel becomes a token", PERFORMERS),
    Option("dim", integer(1, 16384), 128, "width of a token", PERFORMERS),
    Option("depth", integer(1, 1024), 4, "number of blocks", PERFORMERS),
    Option("heads", integer(1, 1024), 4, "attention heads per block", PERFORMERS),
    Option("attn_dropout", probability, 0.1, "dropout after attention; ClippedRelativePerformer has none", PERFORMERS),
    Option(
        "ff_dropout", probability, 0.1, "dropout in the feed-forward; ClippedRelativePerformer has none", PERFORMERS
    ),
    Option(
        "key_stabilizer",
        ("batch", "head"),
        "batch",
        "maximum subtracted from keys' features: over the batch (as published), or per image and head",
        PERFORMERS,
    ),
    Option(
        "feature_redraw_interval",
        positive_int,
        1000,
        "training steps without redrawing the random features; the next one redraws",
        FAVOR_MODELS,
    ),
    Option("no_projection", bool, False, "exact softmax attention instead of random features", FAVOR_MODELS),
    Option("pos_scales", integer(1, 1024), 4, "frequencies of the relative positions", ("RelativePerformer",)),
    Option(
        "content_rel_attn",
        bool,
        False,
        "a second positional part of queries and keys, rotated by the query's content",
        ("RelativePerformer",),
    ),
    Option("clipping_dist", integer(1, 62), 8, "distance from which pixels are far", ("ClippedRelativePerformer",)),
    Option(
        "class_position",
        ("corner", "none"),
        "corner",
        "where the class token asks from: below the bottom-left pixel (as published), or nowhere",
        ("ClippedRelativePerformer",),
    ),
)

TRAINING_OPTIONS = (
    Option("learning_rate", positive_float, 1e-3, "peak learning rate of Adam"),
    Option("schedule", ("constant", "noam"), "constant", "learning rate after the warmup"),
    Option("warmup", natural, 0, "steps of linear warmup; 0: a constant learning rate"),
    Option("beta2", probability, 0.98, "Adam's decay of the mean squared gradient"),
    Option("max_norm", nonnegative, 0.5, "norm to which gradients are clipped; 0: they are not"),
    Option("batch_size", positive_int, 16, "images per step, over all devices"),
    Option("accumulate", positive_int, 1, "parts in which a batch passes: less memory, a redraw counts each part"),
    Option("precision", ("32-true", "bf16-mixed"), "32-true", "numbers of float32, or matrix products in bfloat16"),
    Option("compile", bool, False, "torch.compile the model: minutes at the start, and slower on a CPU"),
    Option("seed", natural, 0, "seed of weights, random features, order of images and dropout"),
    Option("max_epochs", positive_int, 1000, "most epochs; early stopping usually ends a run before"),
    Option("max_steps", positive_int, None, "most steps"),
    Option("patience", natural, 20, "epochs without a higher val/acc after which training stops; 0: it does not"),
    Option(
        "tested", ("best", "last"), "best", "the epoch whose weights are tested: with the highest val/acc, or the last"
    ),
    Option("limit_train", positive_int, None, "train on the first so many images only"),
    Option("limit_val", positive_int, None, "validate on the first so many images only"),
)
# what the hparams of a run mean that is older than an option
TRAINING_DEFAULTS = {option.name: option.default for option in TRAINING_OPTIONS}


def add_options(parser: argparse._ActionsContainer, options: Iterable[Option]) -> None:
    """Add `options` to a command line; the help shows defaults, and the models where not all have an option."""
    for option in options:
        default = "" if option.default is None or option.default is False else f" (default {option.default})"
        models = {MODELS: "", PERFORMERS: " [Performers]"}.get(option.models, f" [{', '.join(option.models)}]")
        text = option.help + default + models
        if option.kind is bool:
            parser.add_argument(f"--{option.name}", action="store_true", help=text)
        else:
            choices = "{" + ",".join(option.kind) + "}" if isinstance(option.kind, tuple) else "N"
            parser.add_argument(
                f"--{option.name}", type=option.parse, default=option.default, metavar=choices, help=text
            )


def check_model(name: str) -> str:
    """Return `name`; raises ValueError if there is no such model."""
    if name not in MODELS:
        raise ValueError(f"unknown model {shown(name)}: {nearest(str(name), MODELS)}")
    return name


def options_of(model: str) -> list[Option]:
    """The options of training the model `model`, its own first."""
    return [option for option in MODEL_OPTIONS + TRAINING_OPTIONS if model in option.models]


def model_options(model: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Complete `chosen` by the defaults of the model options that `model` has, and check the values.

    Raises TypeError for an option that `model` does not have, ValueError for a value that it cannot have.
    """
    return _complete(model, [option for option in MODEL_OPTIONS if model in option.models], chosen)


def run_options(model: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The same for all options of training `model`."""
    return _complete(model, options_of(model), chosen)


def _complete(model: str, own: Iterable[Option], chosen: Mapping[str, Any]) -> dict[str, Any]:
    known = {option.name: option for option in own}
    complete = {name: option.default for name, option in known.items()}
    for name, value in chosen.items():
        if name not in known:
            raise TypeError(f"{model} has no option {name!r}" + (f": {nearest(name, known)}" if known else ""))
        complete[name] = value_of(known[name], value)
    check_sizes(model, complete)
    return complete


def value_of(option: Option, value: Any) -> Any:
    """Return `value`, parsed if it is text (as 5e-5 is in YAML); raises ValueError if the option cannot have it."""
    if value is None and option.default is None:
        return None
    if option.kind is bool:
        if type(value) is not bool:
            raise ValueError(f"{option.name}: {shown(value)} is not true or false")
        return value
    try:
        return option.parse("null" if value is None else str(value).lower() if isinstance(value, bool) else str(value))
    except argparse.ArgumentTypeError as error:
        raise ValueError(f"{option.name}: {error}") from None


def check_sizes(model: str, options: Mapping[str, Any]) -> None:
    """Raise ValueError where sizes do not go together."""
    if model == "ResNet18" and "batch_size" in options and options["batch_size"] < 2 * options.get("devices", 1):
        raise ValueError(
            f"batch_size {options['batch_size']} leaves ResNet18's batch normalisation fewer than two images"
        )
    if model not in PERFORMERS:
        return
    dim, heads = options["dim"], options["heads"]
    if dim % heads:
        raise ValueError(f"dim {dim} is not divisible by heads {heads}")
    if dim < 2 * heads:
        raise ValueError(f"dim {dim} over {heads} heads leaves a width of 1, which has no random features")
    if model == "Performer" and dim % 4:
        raise ValueError(f"dim {dim} is not divisible by 4, as Performer's absolute positions need")
