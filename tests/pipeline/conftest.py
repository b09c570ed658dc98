from pathlib import Path

import pytest

from helpers import TINY, checkout, snakemake


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> Path:
    """A copy of the project in which the tiny configuration has been run."""
    folder = checkout(tmp_path_factory.mktemp("project"), TINY)
    done = snakemake(folder, "all")
    assert done.returncode == 0, done.stderr + done.stdout
    return folder
