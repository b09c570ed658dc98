"""The structure of the package: layers without cycles, and what must not import torch."""

import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

from helpers import SCRIPTS
from relative_performer.runs.code import imported

PACKAGE = SCRIPTS / "relative_performer"
# a module imports from its own layer and from layers to the left; layers in one tuple do not import each other
LAYERS = [
    ("errors", "files"), ("options",), ("ops", "data"), ("models",), ("config",), ("runs",),
    ("training", "evaluation", "results"), ("cli",),
]  # fmt: skip
WITHOUT_TORCH = ["relative_performer", "relative_performer.cli", "relative_performer.runs.provenance"]
WITHOUT_TORCH += [
    f"relative_performer.{layer}.{path.stem}"
    for layer in ("config", "results")
    for path in sorted((PACKAGE / layer).glob("[a-z]*.py"))
]


def rank(file: Path) -> int:
    layer = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return next(number for number, layers in enumerate(LAYERS) if layer in layers)


def test_no_module_imports_upwards_or_sideways():
    for file in PACKAGE.rglob("*.py"):
        if file == PACKAGE / "__init__.py":
            continue
        here = file.relative_to(PACKAGE).parts[0]
        for other in imported(file):
            there = other.relative_to(PACKAGE).parts[0]
            assert there == here or rank(other) < rank(file), f"{file} imports {other}"


def test_no_cycle():
    graph = {file: imported(file) - {file} for file in PACKAGE.rglob("*.py") if file != PACKAGE / "__init__.py"}
    TopologicalSorter(graph).prepare()


def test_no_script_imports_another():
    names = {path.stem for path in SCRIPTS.glob("*.py")}
    for path in SCRIPTS.glob("*.py"):
        lines = path.read_text().splitlines()
        words = [line.split()[1].split(".")[0] for line in lines if line.startswith(("import ", "from "))]
        assert not names & set(words), path


def test_declarations_configuration_and_results_import_no_torch():
    code = f"import sys, {', '.join(WITHOUT_TORCH)}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, check=True)
