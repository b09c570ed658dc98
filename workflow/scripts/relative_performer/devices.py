"""The processors that a command uses."""

import torch

from relative_performer.cli import UserError


def set_threads(threads: int | None) -> None:
    """Use so many CPU threads; None leaves torch's choice."""
    if threads:
        torch.set_num_threads(threads)


def pick_device(accelerator: str, devices: int = 1) -> torch.device:
    """Return the device for `accelerator` (auto, cpu or cuda); raises UserError if there are not so many devices."""
    found = torch.cuda.device_count()
    if accelerator == "auto":
        accelerator = "cuda" if found else "cpu"
    if accelerator == "cuda" and found < devices:
        raise UserError(
            f"{devices} CUDA device(s) asked for and {found} found; choose fewer --devices or --accelerator cpu"
        )
    return torch.device(accelerator)
