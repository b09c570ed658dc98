"""A state dict, and the model that it is loaded into."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from relative_performer.errors import UserError

# buffers that once had other names: the ends of both
RENAMED_BUFFERS = {".distance_features": ".distance_projection_matrix", ".features": ".projection_matrix"}


def load_weights(
    model: nn.Module, state: Mapping[str, Tensor], source: Path, described_in: str = "hparams.yaml"
) -> None:
    """Load a state dict; raises UserError, naming `source` and the first misfit, if it is of another model.

    described_in: the name of the file that describes the model.
    """
    try:
        model.load_state_dict({present_name(name): value for name, value in state.items()})
    except RuntimeError as error:
        raise UserError(f"{source}: does not fit {described_in} ({str(error).splitlines()[1].strip()})") from None


def present_name(name: str) -> str:
    """Return the present name of a parameter or buffer in an old checkpoint."""
    former = next((end for end in RENAMED_BUFFERS if name.endswith(end)), "")
    return name.removesuffix(former) + RENAMED_BUFFERS[former] if former else name


def former_name(name: str) -> str:
    """Return the first name of a parameter or buffer, under which checksums count it."""
    present = {end: former for former, end in RENAMED_BUFFERS.items()}
    end = next((end for end in present if name.endswith(end)), "")
    return name.removesuffix(end) + present[end] if end else name
