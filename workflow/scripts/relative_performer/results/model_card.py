"""The model card of exported models: what they are, their data, training, results and limits."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from relative_performer.config.options import OPTIONS
from relative_performer.data import DATASETS
from relative_performer.models import MODELS
from relative_performer.results.configurations import settings_of, varied_options
from relative_performer.results.intervals import statistics_of, wilson
from relative_performer.results.read import read_csv, read_evaluations, read_shift_test
from relative_performer.results.shift_results import FAR_SHIFTS, shift_quantities
from relative_performer.results.tables import number, percent
from relative_performer.runs.folders import METRICS

PLACE = ["dataset", "model", "settings"]
# quantity → its heading, and the column with the number of images (none: an interval over images is not known)
QUANTITIES = {
    "val/acc": ("validation", "val_images"),
    "test/acc": ("test", "test_images"),
    "center": ("shift 0", None),
    "lost": ("lost", None),
}
CARD = """\
---
license: mit
library_name: relative-performer
pipeline_tag: image-classification
tags: [{tags}]
---

# {title}

Small image classifiers for the study of shift equivariance, from a reproduction of "Translational Equivariance in
Kernelizable Attention" (Horn et al., 2021).

    from relative_performer import load_model

    model = load_model("{example}")
    logits = model(images)  # (B, h, w, c) → (B, classes)
    model.hparams  # every option of its training

## Models

{models}

## Data

{data}

## Training

{training}

## Results

{results}

## Limits

{limits}

## Citation and licence

    @article{{horn2021translational,
      title={{Translational Equivariance in Kernelizable Attention}},
      author={{Horn, Max and Shridhar, Kumar and Groenewald, Elrich and Baumann, Philipp F. M.}},
      journal={{arXiv preprint arXiv:2102.07680}},
      year={{2021}}
    }}

The licence of the code and of these weights is MIT.
"""
RESULTS = f"""\
Accuracies in percent. Over several seeds: mean ± standard deviation [bootstrap 95 % interval of the mean]. For a single
run: [Wilson 95 % interval over the images]. Shift 0: the test images of the shift test, not shifted. As published, they
are of class 1 alone, unless the configuration names other classes. Lost: the points of accuracy that they lose,
averaged over {FAR_SHIFTS}.
"""
LIMITS = """\
- The models were trained on few images, for few steps, and are far from the best accuracy on their datasets.
- They classify images of the size and preprocessing above, and have been tested on the test images of their dataset and
  shifts of these alone.
- With `key_stabilizer: batch`, as published, the logits of an image depend on the other images of its batch. The
  results are for batches of `batch_size` test images in their order."""


def measure(run_dirs: Mapping[str, Path], configs: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return a row per run, by name EXPERIMENT/RUN: options, settings, and QUANTITIES with the numbers of images.

    What has not been measured is NaN. Raises UserError if a file of results is damaged.
    """
    hparams = {name: config["hparams"] for name, config in configs.items()}
    runs = pd.DataFrame.from_dict({name: _options(of) for name, of in hparams.items()}, orient="index")
    runs = runs.astype(object).fillna("")
    runs = runs.assign(settings=settings_of(runs, varied_options(runs)))
    measured = pd.DataFrame(index=runs.index, columns=[*QUANTITIES, "val_images", "test_images"], dtype=float)
    for name, run_dir in run_dirs.items():
        if (run_dir / METRICS).exists():
            measured.loc[name, ["val/acc", "val_images"]] = validated(run_dir / METRICS, hparams[name])
    for folder in {run_dir.resolve().parents[2] for run_dir in run_dirs.values()}:
        if (folder / "model_evaluations.csv").exists():
            measured.update(tested(folder))
    places = runs[PLACE].assign(dataset=pd.Categorical(runs["dataset"], [*DATASETS]))
    places = places.assign(model=pd.Categorical(runs["model"], [*MODELS]))
    return places.join(measured).sort_values(PLACE)


def _options(hparams: Mapping[str, Any]) -> dict[str, Any]:
    own = {name: hparams[name] for name in ("model", "dataset", *OPTIONS) if name in hparams}
    return {"experiment": "", "embedding_type": "", **own}


def validated(metrics: Path, hparams: Mapping[str, Any]) -> tuple[float, int]:
    """Return the accuracy in metrics.csv of the epoch that is tested, and the number of validation images."""
    accuracies = read_csv(metrics, {"val/acc": float})["val/acc"]
    images = DATASETS[hparams["dataset"]].images[1]
    accuracy = accuracies.iloc[-1] if hparams["test_checkpoint"] == "last" else accuracies.max()
    return accuracy, min(images, hparams["limit_val"] or images)


def tested(folder: Path) -> pd.DataFrame:
    """Return test/acc, test_images, center and lost of the runs in a folder of results, by name EXPERIMENT/RUN."""
    runs = read_evaluations(folder / "model_evaluations.csv")
    parts = []
    for dataset, part in runs.groupby("dataset", observed=True):
        path = folder / f"{dataset}_shift.csv"
        shifts = read_shift_test(path, ["accuracy_mean"]) if path.exists() else pd.DataFrame()
        if len(shifts) and not (shifts["row_shift"].any() or shifts["circular"].any()):
            part = shift_quantities(part, shifts, path)
        parts.append(part)
    table = pd.concat(parts)
    names = ["/".join(Path(run_dir).parts[-2:]) for run_dir in table["run_dir"]]
    wanted = table.reindex(columns=["test/acc", "test_images", "center", "lost"]).set_axis(names)
    return wanted.astype(float)


def model_card(configs: Mapping[str, Mapping[str, Any]], measured: pd.DataFrame, example: str) -> str:
    """Return the model card (Markdown) of exported models.

    configs: their config.json by name. measured: what `measure` returns. example: the path of one of them.
    """
    hparams = [config["hparams"] for config in configs.values()]
    models = [name for name in MODELS if any(of["model"] == name for of in hparams)]
    datasets = [name for name in DATASETS if any(of["dataset"] == name for of in hparams)]
    return CARD.format(
        tags=", ".join(["performer", "linear-attention", "translation-equivariance", *datasets]),
        title=f"{', '.join(models)} on {', '.join(datasets)}",
        example=example,
        models="\n".join(f"- {_first_line(name)}" for name in models),
        data="\n".join(_data(name, configs) for name in datasets),
        training=_training(configs),
        results=f"{RESULTS}\n{_table(measured)}",
        limits=LIMITS,
    )


def _first_line(model: str) -> str:
    return str(import_module(MODELS[model].package).__doc__).partition("\n")[0]


def _data(dataset: str, configs: Mapping[str, Mapping[str, Any]]) -> str:
    config = next(config for config in configs.values() if config["hparams"]["dataset"] == dataset)
    entry, normalisation = DATASETS[dataset], config["hparams"]["normalisation"]
    scaled = f", then standardised by the means and standard deviations {normalisation}" if normalisation else ""
    return (
        f"- {dataset}: {len(config['classes'])} classes ({', '.join(config['classes'])}).\n"
        f"  Images (h, w, c) of {entry.height}×{entry.width}×{entry.channels}, values divided by 255{scaled}.\n"
        f"  SHA-256 of the prepared data: `{config['hparams'].get('data_sha256')}`"
    )


def _training(configs: Mapping[str, Mapping[str, Any]]) -> str:
    hparams = [config["hparams"] for config in configs.values()]
    shared = {name: hparams[0].get(name) for name in OPTIONS if len({str(of.get(name)) for of in hparams}) == 1}
    lines = [f"- `{name}: {value}`" for name, value in shared.items() if value not in (None, False)]
    trained = pd.DataFrame([(config["commit"], config["hparams"]["model"]) for config in configs.values()])
    models = trained.groupby(0)[1].agg(lambda names: ", ".join(sorted(set(names))))
    if len(models):
        lines += ["", "The code of the training is that of commit", ""]
        lines += [f"- `{commit}`: {names}" for commit, names in models.items()]
    which = "The models have these in common:" if len(configs) > 1 else "Among them are:"
    return "\n".join([f"Every option is in `config.json`. {which}", "", *lines])


def _table(measured: pd.DataFrame) -> str:
    rows = [["dataset", "model", "runs", *(title for title, _ in QUANTITIES.values())]]
    for (dataset, model, settings), group in measured.groupby(PLACE, observed=True):
        (summary,) = group.groupby(lambda _: 0).agg(**statistics_of(*QUANTITIES)).to_dict("records")
        cells = [percent(summary, f"{name}_") for name in QUANTITIES]
        if len(group) == 1:
            cells = [_single(group.iloc[0], name, images) for name, (_, images) in QUANTITIES.items()]
        rows.append([str(dataset), f"{model}{settings}", str(len(group)), *cells])
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _single(run: pd.Series, quantity: str, images: str | None) -> str:
    text = number(100 * run[quantity])
    if text and images:
        low, high = wilson(run[quantity], run[images])
        text += f" [{number(100 * low)}, {number(100 * high)}]"
    return text
