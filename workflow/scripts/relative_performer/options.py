"""The options of models and of training, as data: `train.py`, `build_model` and the pipeline read them from here."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from relative_performer.cli import choice, natural, nearest, positive_float, positive_int, probability
from relative_performer.names import EMBEDDINGS, MODELS

FAVOR_MODELS = tuple(model for model in MODELS if model != "ClippedRelativePerformer")


@dataclass(frozen=True)
class Option:
    """One option. A default of False makes a flag; `models` are those that have it."""

    name: str
    default: Any
    parse: Callable[[str], Any]
    help: str
    models: tuple[str, ...] = MODELS


MODEL_OPTIONS = (
    Option("embedding_type", "linear", choice("embedding", EMBEDDINGS), "how a pixel becomes a token"),
    Option("dim", 128, positive_int, "width of a token"),
    Option("depth", 4, positive_int, "number of blocks"),
    Option("heads", 4, positive_int, "attention heads per block"),
    Option("attn_dropout", 0.1, probability, "dropout after attention (ClippedRelativePerformer has no dropout)"),
    Option("ff_dropout", 0.1, probability, "dropout in the feed-forward (ClippedRelativePerformer has no dropout)"),
    Option(
        "key_stabilizer",
        "batch",
        choice("key stabilizer", ("batch", "head")),
        "subtract from keys' features the maximum over the batch (as published) or per image and head",
    ),
    Option(
        "feature_redraw_interval",
        1000,
        positive_int,
        "redraw random features after this many training steps (the next one redraws)",
        FAVOR_MODELS,
    ),
    Option("no_projection", False, bool, "exact softmax attention instead of random features", FAVOR_MODELS),
    Option("pos_scales", 4, positive_int, "frequencies per axis of the relative positions", ("RelativePerformer",)),
    Option(
        "content_rel_attn",
        False,
        bool,
        "second positional part, rotated by the query's content",
        ("RelativePerformer",),
    ),
    Option(
        "clipping_dist", 8, positive_int, "distance from which on all pixels count as far", ("ClippedRelativePerformer",)
    ),
    Option(
        "class_position",
        "corner",
        choice("class position", ("corner", "none")),
        "where the class token asks from: below the bottom-left pixel (as published) or nowhere",
        ("ClippedRelativePerformer",),
    ),
)

TRAINING_OPTIONS = (
    Option("learning_rate", 1e-3, positive_float, "peak learning rate of Adam"),
    Option("schedule", "constant", choice("schedule", ("constant", "noam")), "learning rate after the warmup"),
    Option("warmup", 0, natural, "steps of linear warmup; 0: none, and a constant learning rate"),
    Option("batch_size", 16, positive_int, "images per step, over all devices"),
    Option("seed", 0, natural, "seed of weights, random features, data order and dropout"),
    Option("max_epochs", 1000, positive_int, "epochs at most; early stopping usually ends a run before"),
    Option("max_steps", None, positive_int, "steps at most"),
    Option("limit_train", None, positive_int, "train on the first so many images"),
    Option("limit_val", None, positive_int, "validate on the first so many images"),
)


def check_model(name: str) -> str:
    """Return `name`; raises ValueError if there is no such model."""
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}: {nearest(name, MODELS)}")
    return name


def options_of(model: str) -> list[Option]:
    """The options of training the model `model`, its own first."""
    return [option for option in MODEL_OPTIONS + TRAINING_OPTIONS if model in option.models]


def model_options(model: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Complete `chosen` by the defaults of the options that `model` has, and check the values.

    Raises TypeError for an option that `model` does not have, ValueError for a value that it cannot have.
    """
    own = [option for option in MODEL_OPTIONS if model in option.models]
    complete = fill_defaults(model, own, chosen)
    check_sizes(model, complete)
    return complete


def fill_defaults(model: str, own: Iterable[Option], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return name: value for the options `own`, `chosen` or default; raises as `model_options` does."""
    known = {option.name: option for option in own}
    for name, value in chosen.items():
        if name not in known:
            raise TypeError(f"{model} has no option {name!r}: {nearest(name, known)}")
        check_value(known[name], value)
    return {name: chosen.get(name, option.default) for name, option in known.items()}


def check_value(option: Option, value: Any) -> None:
    """Raise ValueError unless `value` is one that the command line could have given for `option`."""
    if value == option.default and type(value) is type(option.default):
        return
    try:
        valid = type(value) is bool if option.parse is bool else option.parse(str(value)) == value
    except Exception as error:
        raise ValueError(f"{option.name}: {error}") from None
    if not valid:
        raise ValueError(f"{option.name}: {value!r} is not allowed ({option.help})")


def check_sizes(model: str, options: Mapping[str, Any]) -> None:
    """Raise ValueError where sizes do not go together."""
    dim, heads = options["dim"], options["heads"]
    if dim % heads:
        raise ValueError(f"dim {dim} is not divisible by heads {heads}")
    if dim // heads < 2:
        raise ValueError(f"dim {dim} over heads {heads} leaves a width of 1 per head, which has no random features")
    if model == "Performer" and dim % 4:
        raise ValueError(f"dim {dim} is not divisible by 4, as Performer's absolute positions need")
