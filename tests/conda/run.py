"""The pipeline with `--sdm conda`, its environments made from a local channel. `make test-conda` runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import REPOSITORY, TINY, checkout, snakemake, stale

HERE = Path(__file__).parent
# LinformerViT needs what pip adds
MODELS = ["ClippedRelativePerformer", "LinformerViT"]
CONFIG = {**TINY, "experiments": {"main": {"dataset": "Digits", "models": dict.fromkeys(MODELS)}}}
PIP_PACKAGES = ["linformer", "vit-pytorch"]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the project in which every rule has been run in its environment."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the environments need Python 3.11, which .venv does not have: no conda environment was made")
    pytest.importorskip("rattler", reason="py-rattler could not be installed: no conda environment was made")
    from channel import make_channel

    wheels, channel = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("channel")
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", wheels, *PIP_PACKAGES]
    if subprocess.run([*download, "--constraint", REPOSITORY / "constraints.txt"], check=False).returncode:
        pytest.skip(f"pip cannot download {' and '.join(PIP_PACKAGES)}: no conda environment was made")
    make_channel(channel)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{HERE / 'bin'}{os.pathsep}{os.environ['PATH']}")
        patch.setenv("CONDA_CHANNEL", channel.as_uri())
        # pip must not add what an environment lacks
        patch.setenv("PIP_NO_DEPS", "1")
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(wheels))
        folder = checkout(tmp_path_factory.mktemp("project"), CONFIG)
        done = snakemake(folder, "all", "published", "equivariance", "redraws", "plan", "claims", "--sdm", "conda")
        assert done.returncode == 0, done.stderr + done.stdout
        yield folder


def test_every_rule_runs_in_its_environment(project):
    rules = "".join(path.read_text() for path in [project / "Snakefile", *project.glob("workflow/rules/*.smk")])
    named = {rule.partition(":")[0] for rule in re.split(r"^rule ", rules, flags=re.MULTILINE) if "envs/" in rule}
    logs = "".join(path.read_text() for path in project.glob(".snakemake/log/*.log"))
    assert named <= set(re.findall(r"^(\w+) +\d+$", logs, re.MULTILINE))
    created = [path.read_text() for path in project.glob(".snakemake/conda/*.yaml")]
    assert sorted(created) == sorted(path.read_text() for path in project.glob("envs/*.yaml"))
    assert (project / "figures/tiny/attention_ClippedRelativePerformer_Digits.png").exists()
    assert (project / "figures/published/shift.png").exists()


def test_conda_and_pin_files_can_come_and_go_without_training_again(project):
    assert stale(project) == set()
    pins = project / "envs/train.linux-64.pin.txt"
    pins.write_text("@EXPLICIT\n")
    assert "Nothing to be done" in snakemake(project, "all", "--dry-run", "--sdm", "conda").stdout
    pins.unlink()
    assert "train" in stale(project, "all", "--rerun-triggers", "software-env")


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("seaborn-base", "seabron-base", "No candidates were found for seabron-base 0.13.2"),
        ("- seaborn-base=0.13.2", "", "No module named 'seaborn'"),
    ],
)
def test_a_misspelt_or_missing_package_is_named(project, was, now, said):
    path = project / "envs/plot.yaml"
    before = path.read_text()
    path.write_text(before.replace(was, now))
    done = snakemake(project, "plot_published", "--forcerun", "plot_published", "--sdm", "conda")
    path.write_text(before)
    assert done.returncode != 0
    assert said in done.stderr + done.stdout
