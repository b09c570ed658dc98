"""What a training costs beside its time: the machine, the peak memory, the work."""

import math
import platform
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from relative_performer.runs.checkpoints import new_model
from relative_performer.training.roofline import gradient_step, inference_step


class Work(NamedTuple):
    """The floating-point operations of all products and convolutions for one image."""

    training: int
    inference: int


def work_per_image(hparams: Mapping[str, Any], arrays: Mapping[str, np.ndarray], run_dir: Path) -> Work | None:
    """Count the work of a run's model for one image, in the plain form of its operations; None if it cannot be counted.

    Nothing is computed. A model that reads the values of its tensors cannot be counted.
    """
    part = max(2, math.ceil(hparams["batch_size"] / hparams["accumulate_grad_batches"]))  # 2: batch normalisation
    step = (lambda: new_model(hparams, run_dir)), (part, *arrays["train_images"].shape[1:])
    lookup = hparams.get("embedding_type") == "lookup"
    try:
        return Work(*(count(*step, lookup).flop // part for count in (gradient_step, inference_step)))
    except RuntimeError as error:
        print(f"{run_dir}: the work of the model cannot be counted ({type(error).__name__})", flush=True)
        return None


def costs(
    work: Work | None, summary: Mapping[str, Any], hparams: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Return machine, peak_bytes (of this process, or of its GPU) and flop of the run that `summary` describes.

    flop is the work of all training and validation images, or None.
    """
    validated = summary["epochs"] * len(arrays["val_images"][: hparams["limit_val"]])
    on_gpu = hparams["accelerator"] == "cuda"
    return {
        "machine": torch.cuda.get_device_name() if on_gpu else processor(),
        "peak_bytes": torch.cuda.max_memory_allocated() if on_gpu else peak_resident_bytes(),
        "flop": work and summary["images_seen"] * work.training + validated * work.inference,
    }


def processor() -> str:
    """Return the name of this machine's processor or, where the system does not tell it, its architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def peak_resident_bytes() -> int:
    """Return the largest amount of memory that this process has occupied so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
