"""The claims: what each one says, the row of a table that decides it, and the rule that this row has to follow.

The tables are made from the committed results in `resources/reference/NAME`. Accuracies and points are in percent.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from relative_performer.models import MODELS
from relative_performer.results.claim import ABSOLUTE
from relative_performer.results.tables import number

MUCH, SHARE, LITTLE = 30, 25, 10  # points lost; percent of what Performer loses; points lost
GUESSING = math.log(10)  # the loss of guessing one of ten classes
KEEPERS = [name for name, model in MODELS.items() if model.positions == "relative" or not model.published]
LATER = [name for name, model in MODELS.items() if not model.published]


class Statistic(NamedTuple):
    """A mean over seeds and its interval; NaN for one seed."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{number(self.mean)}{self.interval}" if self.low == self.low else number(self.mean)

    @property
    def interval(self) -> str:
        """The interval as text."""
        return f" [{number(self.low)}, {number(self.high)}]"


Verdict = tuple[str, bool]  # what is expected, and whether it holds
Rule = Callable[[Statistic, Statistic], Verdict]  # of ours and of that with which it is compared


class Claim(NamedTuple):
    """A claim that a row of the table NAME/TABLE of results decides, alone or compared with the row `other`."""

    text: str
    table: str
    row: Mapping[str, str]
    quantity: str
    rule: Rule
    other: Mapping[str, str]


def at_least(limit: float) -> Rule:
    """Return the rule that the mean is at least `limit`."""
    return lambda ours, _: (f"≥ {number(limit)}", ours.mean >= limit)


def at_most(limit: float) -> Rule:
    """Return the rule that the mean is at most `limit`."""
    return lambda ours, _: (f"≤ {number(limit)}", ours.mean <= limit)


def keeps(ours: Statistic, other: Statistic) -> Verdict:
    """Judge whether ours is at most SHARE percent of the other."""
    limit = SHARE / 100 * other.mean
    return f"≤ {number(limit)} ({SHARE} % of {number(other.mean)})", ours.mean <= limit


def as_high(ours: Statistic, other: Statistic) -> Verdict:
    """Judge whether our mean is at least the other."""
    return f"≥ {number(other.mean)}", ours.mean >= other.mean


def lower(ours: Statistic, other: Statistic) -> Verdict:
    """Judge whether our mean is below the other."""
    return f"< {number(other.mean)}", ours.mean < other.mean


def interval_above(ours: Statistic, other: Statistic) -> Verdict:
    """Judge whether our interval is above the other one."""
    return f"interval above{other.interval}", ours.low > other.high


def not_above(ours: Statistic, other: Statistic) -> Verdict:
    """Judge whether our mean is not above the other interval."""
    return f"not above{other.interval}", ours.mean <= other.high


def overlaps(ours: Statistic, other: Statistic) -> Verdict:
    """Judge whether the intervals have a value in common."""
    return f"interval overlaps{other.interval}", ours.low <= other.high and other.low <= ours.high


def contains_zero(ours: Statistic, _: Statistic) -> Verdict:
    """Judge whether our interval contains zero."""
    return "interval contains 0", ours.low <= 0 <= ours.high


def random_features() -> Iterator[Claim]:
    """Yield the claims about RelativePerformer on MNIST16 with redraws at several intervals."""
    for depth in ("2", "4"):

        def row(interval: str, exact: str = "False", depth: str = depth) -> dict[str, str]:
            return {"settings": f", depth {depth}, feature_redraw_interval {interval}, no_projection {exact}"}

        exact = row("1000", "True")
        for interval in ("1", "10", "100", "1000", "100000"):
            often = interval in ("1", "10", "100")
            redraws = f"redraw interval {int(interval):,}" if interval != "100000" else "no redraw"
            start = f"RelativePerformer, depth {depth}, {redraws}:"
            lost = at_most(LITTLE) if often else at_least(MUCH)
            says = "little" if often else "much"
            yield Claim(f"{start} shifts cost {says}", "features/shift", row(interval), "lost", lost, {})
            learns = not_above if often else interval_above
            says = "no more" if often else "more"
            text = f"{start} it learns {says} of all classes than with exact softmax"
            yield Claim(text, "features/redraw", row(interval), "acc", learns, exact)
            if not often:
                text = f"{start} a redraw raises the test loss to that of guessing or more"
                yield Claim(text, "features/redraw", row(interval), "redrawn_loss", at_least(GUESSING), {})
        text = f"RelativePerformer, depth {depth}, exact softmax: shifts cost little"
        yield Claim(text, "features/shift", exact, "lost", at_most(LITTLE), {})


def published_quirks() -> Iterator[Claim]:
    """Yield the claims about the class token's corner and the stabiliser over the batch."""
    row = {"model": "ClippedRelativePerformer", "dataset": "FashionMNIST"}
    main, head = row | {"experiment": "main"}, row | {"experiment": "key_stabilizer"}
    text = "The class token's corner does not make shifts to the left and to the right differ"
    yield Claim(text, "mini/reference", main, "skew", contains_zero, {})
    text = "The stabiliser over the batch costs no points that three seeds could show"
    yield Claim(text, "mini/reference", main, "lost", overlaps, head)


def later_answers() -> Iterator[Claim]:
    """Yield the claims that a model keeps its accuracy and learns all classes, which together were looked for."""
    for dataset in ("MNIST16", "FashionMNIST16"):
        performer = {"model": ABSOLUTE, "dataset": dataset}
        for model in KEEPERS:
            row, where = performer | {"model": model}, f"{model} on {dataset}"
            yield Claim(f"{where} keeps its accuracy under shifts", "rivals/shift", row, "lost", keeps, performer)
            text = f"{where} learns all classes as well as {ABSOLUTE}"
            yield Claim(text, "rivals/costs", row, "test/acc", as_high, performer)
        row = performer | {"model": "CovarianceTransformer"}
        text = f"CovarianceTransformer on {dataset} needs fewer core seconds than {ABSOLUTE}"
        yield Claim(text, "rivals/costs", row, "core_seconds", lower, performer)


def border() -> Iterator[Claim]:
    """Yield the claims that equivariance up to the border is not enough."""
    for dataset in ("MNIST16", "FashionMNIST16"):
        for model in ("RotaryPerformer", "CosPerformer"):
            text = f"{model} on {dataset} loses much under shifts, through the border alone"
            yield Claim(text, "rivals/shift", {"model": model, "dataset": dataset}, "lost", at_least(MUCH), {})


def other_shifts() -> Iterator[Claim]:
    """Yield the claims about shifts along rows and around the image, on FashionMNIST16."""
    row, performer = {"model": "CovarianceTransformer"}, {"model": ABSOLUTE}
    text = "CovarianceTransformer keeps its accuracy along rows"
    yield Claim(text, "rivals/rows", row, "lost", keeps, performer)
    text = "CovarianceTransformer loses much when images of all classes move around the image"
    yield Claim(text, "rivals/circular", row, "lost", at_least(MUCH), {})
    text = "NoposPerformer loses nothing when images of all classes move around the image"
    yield Claim(text, "rivals/circular", {"model": "NoposPerformer"}, "lost", at_most(0.01), {})


FOUND = {
    "Random features leak positions": random_features,
    "The class token's corner and the batch": published_quirks,
    "Which later answer keeps what": later_answers,
    "The border leaks positions": border,
    "What the shift test does not see": other_shifts,
}
EXACT = "change < 1e-12 in float64"
# claims that a test decides: what is expected, and FILE::NAME below tests/
TESTED = {
    "Logits and loss are those of the authors' code": ("± 1e-5", "models/test_models.py::test_reference_outputs"),
    "Gradients are those of the authors' code": (
        "± 1e-5 of the largest gradient",
        "models/test_models.py::test_reference_outputs",
    ),
    "The fast operations compute the formulas": ("± 1e-9 in float64", "models/test_models.py::test_fast_equals_naive"),
    "Models have the published numbers of parameters": ("equal", "models/test_models.py::test_parameter_counts"),
    "The shift test takes the published images": (
        "854 and 791 images",
        "data/test_shifts.py::test_published_numbers_of_images",
    ),
    "Memory grows linearly with images and tokens": (
        "the same bytes for each",
        "models/test_models.py::test_memory_is_linear_in_images_tokens_and_distance",
    ),
    "RelativePerformer with exact softmax is equivariant": (
        EXACT,
        "models/test_models.py::test_only_relative_positions_are_equivariant",
    ),
    f"{', '.join(LATER)} with `circular`: circular shifts change nothing": (
        EXACT,
        "models/test_rivals.py::test_circular_shifts_change_nothing_with_circular",
    ),
    "RotaryPerformer and CosPerformer: only the border tells where the image is": (
        EXACT,
        "models/test_rivals.py::test_the_place_in_a_canvas_changes_nothing_without_the_pixels_around",
    ),
}
