"""The package as a library, and its dependencies compared with the lock file of the project."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from helpers import PARTS, REPOSITORY, SCRIPTS

DEPENDENCIES = [
    Requirement(text) for text in tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
]
OUTSIDE = ("/".join(["..", "shared"]), "/".join(["", "work", ""]))
USE = """
import torch
from relative_performer import DATASETS, MODELS, build_model
model = build_model("RelativePerformer", in_features=1, dim=16, depth=1, heads=2)
print(model(torch.rand(2, 5, 7, 1)).shape, len(MODELS), len(DATASETS))
"""


def test_an_installed_package_builds_models_in_any_folder(tmp_path):
    copy = tmp_path / "copy"
    for name in ("pyproject.toml", "README.md", "workflow/scripts/relative_performer"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).symlink_to(REPOSITORY / name)
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target"]
    subprocess.run([*install, tmp_path / "site", copy], check=True)
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n{USE}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "torch.Size([2, 10]) 11 6\n"
    assert str(SCRIPTS) not in done.stderr


def test_the_version_is_the_same_everywhere():
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    newest = re.search(r"^## (\S+) \((\S+)\)$", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest
    assert newest.groups() == (citation["version"], str(citation["date-released"]))
    assert version == citation["version"]
    assert {"abstract", "keywords", "license"} <= citation.keys()


def test_the_lock_satisfies_the_dependencies():
    lock = (REPOSITORY / "requirements.txt").read_text()
    pins = dict(re.findall(r"^([\w.-]+)(?:\[\w+\])?==(\S+)$", lock, re.MULTILINE))
    pins = {canonicalize_name(name): pin for name, pin in pins.items()}
    for dependency in DEPENDENCIES:
        assert dependency.specifier.contains(pins[canonicalize_name(dependency.name)]), dependency


def test_the_package_depends_on_what_it_imports():
    trees = [ast.parse(path.read_text()) for path in (SCRIPTS / "relative_performer").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    modules = {alias.name.partition(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module.partition(".")[0] for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    needed = {name for module in modules - sys.stdlib_module_names for name in packages_distributions().get(module, [])}
    declared = {canonicalize_name(dependency.name) for dependency in DEPENDENCIES}
    # Lightning writes events with tensorboard, which nothing imports
    assert {canonicalize_name(name) for name in needed} == declared - {"tensorboard"}


def test_no_file_names_a_folder_outside_the_repository():
    parts = [*PARTS, "README.md", "Makefile", "Containerfile", "pyproject.toml", "docs", "tests", "benchmarks"]
    files = [file for part in parts for file in (REPOSITORY / part, *(REPOSITORY / part).rglob("*")) if file.is_file()]
    texts = [file for file in files if file.suffix in (".py", ".md", ".yaml", ".smk", ".toml", ".sh", ".rst", "")]
    assert len(texts) > 150
    for file in texts:
        if "peers" not in file.parts:
            assert not any(outside in file.read_text() for outside in OUTSIDE), file
