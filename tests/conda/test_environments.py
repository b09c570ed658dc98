"""The environments of conda name what the scripts of their rules import, in the versions of pip's requirements."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from conftest import REPOSITORY
from relative_performer.sources import SCRIPTS, sources
from specs import conda_name, required, specified

PACKAGES = packages_distributions()
ENVIRONMENTS = sorted(REPOSITORY.glob("envs/*.yaml"))
# what no script imports itself: Lightning writes events with tensorboard, and vit-pytorch needs einops
INDIRECT = {"train": {"tensorboard", "einops", "pip"}}


def scripts_of(environment: str) -> set[str]:
    """The scripts of the rules that name the environment."""
    text = "".join(path.read_text() for path in [REPOSITORY / "Snakefile", *REPOSITORY.glob("workflow/rules/*.smk")])
    rules = [rule for rule in re.split(r"^rule ", text, flags=re.MULTILINE) if f"envs/{environment}.yaml" in rule]
    return {script for rule in rules for script in re.findall(r"workflow/scripts/(\w+\.py)", rule)}


def imported(script: str) -> set[str]:
    """The packages, by conda-forge's names, that a script and the library modules that it imports import anywhere."""
    trees = [ast.parse(Path(path).read_text()) for path in sources(script)]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    ours = {"relative_performer", *(path.stem for path in SCRIPTS.glob("*.py"))}
    modules = {name.partition(".")[0] for name in names} - ours - sys.stdlib_module_names
    return {conda_name(package) for module in modules for package in PACKAGES[module]}


@pytest.mark.parametrize("file", ENVIRONMENTS, ids=lambda file: file.stem)
def test_an_environment_has_the_versions_of_the_requirements(file):
    constraints = required(REPOSITORY / "constraints.txt")
    specs = specified(file)
    assert specs.pop("python") == "3.11"
    specs.pop("pip", None)
    assert specs.items() <= constraints.items()
    assert required(REPOSITORY / "requirements.txt").items() <= constraints.items()


@pytest.mark.parametrize("file", ENVIRONMENTS, ids=lambda file: file.stem)
def test_an_environment_has_what_its_scripts_import_and_no_more(file, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    scripts = scripts_of(file.stem)
    assert scripts
    needed = set().union(*map(imported, scripts)) | INDIRECT.get(file.stem, set()) | {"python"}
    assert specified(file).keys() == needed
