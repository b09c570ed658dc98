"""The authors' parameter names, and safe reading of checkpoint files."""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from relative_performer.cli import UserError
from relative_performer.options import check_model

RENAMED = (
    (r"^content_embedding\.(net\.)?", "embedding."),
    (r"^output_layer\.", "head."),
    (r"^positional_embedding\.inv_freq$", "positions.frequencies"),
    (r"^performer\.net\.layers\.(\d+)\.0\.norm\.", r"blocks.\1.attention_norm."),
    (r"^performer\.net\.layers\.(\d+)\.1\.norm\.", r"blocks.\1.feed_forward_norm."),
    (r"^performer\.net\.layers\.(\d+)\.1\.fn\.fn\.w1\.", r"blocks.\1.feed_forward.0."),
    (r"^performer\.net\.layers\.(\d+)\.1\.fn\.fn\.w2\.", r"blocks.\1.feed_forward.3."),
    (r"^performer\.net\.layers\.(\d+)\.0\.fn\.", r"blocks.\1.attention."),
    (r"\.fast_attention\.projection_matrix$", ".features"),
    (r"\.relative_attention\.projection_matrix$", ".distance_features"),
    (r"\.rpe$", ".distances"),
    (r"\.to_(q|k)\.content_linear\.", r".to_\1."),
    (r"\.to_q\.(alpha|beta)$", r".\1"),
    (r"\.to_q\.", ".query."),
    (r"\.to_k\.", ".key."),
    (r"\.to_v\.", ".value."),
    (r"\.to_out\.", ".output."),
)


def from_authors(model: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the authors' state dict `state` of `model` under our names; it loads strictly.

    Parameters and buffers keep their shapes, but for the lookup embedding, whose one table of 256·c rows becomes c
    tables. Raises ValueError for an unknown model or a lookup table whose rows are not a multiple of 256.
    """
    check_model(model)
    ours: dict[str, Tensor] = {}
    for name, value in state.items():
        if name == "performer.calls_since_last_redraw":
            ours["_extra_state"] = value
        elif name == "content_embedding.embeddings.weight":
            if len(value) % 256:
                raise ValueError(f"{name} has {len(value)} rows, not a multiple of 256")
            ours |= {f"embedding.channels.{c}.weight": table for c, table in enumerate(value.split(256))}
        elif not name.endswith("offdiag_matrix"):  # a constant that is never used
            ours[rename(name)] = value
    return ours


def rename(name: str) -> str:
    """Return our name of the authors' parameter `name`."""
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint file onto the CPU, weights and plain data only.

    Raises UserError if it is missing, damaged, or needs more than weights_only loading allows.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint; train the run first") from None
    except pickle.UnpicklingError as error:
        unsafe = re.search(r"Unsupported (?:global|operand|class)[^.\n]*?(\S+\.\S+)", str(error))
        what = f" ({unsafe[1]})" if unsafe else ""
        raise UserError(f"{path}: refused, it holds more than weights and plain data{what}") from None
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise UserError(f"{path}: damaged or not a checkpoint ({str(error).splitlines()[0]})") from None
