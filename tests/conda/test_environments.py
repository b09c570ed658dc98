"""The conda environments have what the scripts of their rules import, in the versions of pip's requirements."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from helpers import REPOSITORY, SCRIPTS
from relative_performer.runs.code import imported, statements
from specs import conda_name, required, specified

PACKAGE = SCRIPTS / "relative_performer"
PACKAGES = packages_distributions()
ENVIRONMENTS = sorted(REPOSITORY.glob("envs/*.yaml"))
# not imported by any script: Lightning writes events with tensorboard, and vit-pytorch needs einops
INDIRECT = {"train": {"tensorboard", "einops", "pip"}}
# imported by name when needed: networks, and readers of archives
LOADED = {"train": "models/*/*.py", "data": "data/datasets/*.py"}


def scripts_of(environment: str) -> set[str]:
    """Return the scripts of the rules that have the environment, themselves or inherited from another rule."""
    text = "".join(path.read_text() for path in [REPOSITORY / "Snakefile", *REPOSITORY.glob("workflow/rules/*.smk")])
    rules = re.split(r"^(?=rule |use rule )", text, flags=re.MULTILINE)
    own = {re.match(r"rule (\w+)", rule)[1]: f"envs/{environment}.yaml" in rule for rule in rules if rule[:4] == "rule"}
    chosen = [rule for rule in rules if own.get(rule.split()[2 if rule[:3] == "use" else 1].rstrip(":"))]
    return {name for rule in chosen for name in re.findall(r"\b(\w+\.py)\b", rule)}


def reached(script: str) -> set[Path]:
    """Return a script and the modules of the package that it imports, anywhere and at any depth."""
    found, waiting = set(), [SCRIPTS / script]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += imported(file)
    return found


def packages(file: Path, top_level: bool = False) -> set[str]:
    """Return the conda-forge names of the packages that a file imports, anywhere or at its top level."""
    tree = ast.parse(file.read_text())
    nodes = [*(tree.body if top_level else statements(tree))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    modules = {name.partition(".")[0] for name in names} - {"relative_performer"} - sys.stdlib_module_names
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
def test_an_environment_has_what_its_scripts_import_and_no_more(file):
    files = {module for script in scripts_of(file.stem) for module in reached(script)}
    assert files
    needed = {package for module in files for package in packages(module)}
    declarations = [*PACKAGE.glob("models/*/__init__.py"), *PACKAGE.glob("data/datasets/*.py")]
    needed |= {package for module in declarations for package in packages(module, top_level=True)}
    loaded = PACKAGE.glob(LOADED[file.stem]) if file.stem in LOADED else []
    needed |= {package for module in loaded for package in packages(module)}
    assert specified(file).keys() == needed | INDIRECT.get(file.stem, set()) | {"python"}
