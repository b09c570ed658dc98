import os
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"

torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # for the commands that tests start


@pytest.fixture
def shared() -> Path:
    """The folder with reference outputs and real datasets, which is not part of the project."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not there: reference outputs and real datasets are not checked")
    return SHARED
