"""The files of code that compute the numbers of a run or of a result.

Numbers are computed in the packages PACKAGES, and in the scripts of tables and figures. The other modules (command
lines, messages, configuration, run folders) change no number, and `__init__.py` files only declare. So the code of a
training consists of the modules of PACKAGES that its training loop, its data and its own model import.
"""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from relative_performer.files import checksum
from relative_performer.models import MODELS

SCRIPTS = Path(__file__).resolve().parents[2]
PACKAGE = SCRIPTS / "relative_performer"
PACKAGES = ("ops", "models", "data", "training", "evaluation", "results")
DECLARATIONS = {"models": "models/*/__init__.py", "data": "data/datasets/*.py"}


def training_code(model: str) -> list[Path]:
    """Return the files that compute the numbers of training `model`."""
    return _computing(PACKAGE / "training/loop.py", PACKAGE / "data/prepared.py", *_own(model, MODELS[model].network))


def evaluation_code(module: str, model: str) -> list[Path]:
    """Return the files that compute what evaluation/`module`.py measures of a run of `model`."""
    places = [MODELS[model].network, MODELS[model].attention_map if module == "attention_maps" else None]
    return _computing(PACKAGE / f"evaluation/{module}.py", *(file for place in places for file in _own(model, place)))


def script_code(script: str) -> list[Path]:
    """Return the files that make what a script writes, with the declarations of models and datasets if it uses them."""
    files = set(_reached(SCRIPTS / script))
    for package, declarations in DECLARATIONS.items():
        if PACKAGE / package / "__init__.py" in files:
            files |= set(PACKAGE.glob(declarations))
    return sorted(files)


def versions(*files: Path) -> list[str]:
    """Return each file with the beginning of its checksum, once."""
    return [f"{name}@{sha256[:12]}" for name, sha256 in checksums(dict.fromkeys(files)).items()]


def checksums(files: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of files of code, by their paths relative to the folder of the scripts."""
    return {str(file.relative_to(SCRIPTS)): _checksum(file) for file in files}


@cache
def _checksum(file: Path) -> str:
    return checksum(file)


def _own(model: str, place: str | None) -> list[Path]:
    """Return the file of a model's class or function MODULE:NAME, if there is one."""
    return [PACKAGE / "models" / MODELS[model].folder / f"{place.partition(':')[0]}.py"] if place else []


def _computing(*roots: Path) -> list[Path]:
    files = {file for root in roots for file in _reached(root)}
    return sorted(file for file in files if file.name != "__init__.py")


@cache
def _reached(root: Path) -> frozenset[Path]:
    """Return a file and the modules of PACKAGES that it imports, anywhere and at any depth."""
    found, waiting = {root}, [root]
    while waiting:
        for file in imported(waiting.pop()):
            if file.relative_to(PACKAGE).parts[0] in PACKAGES and file not in found:
                found.add(file)
                if file.name != "__init__.py":
                    waiting.append(file)
    return frozenset(found)


@cache
def imported(file: Path) -> frozenset[Path]:
    """Return the modules of the package that a file imports, but for type checking alone."""
    found = set()
    for node in statements(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {module for name in names if (module := _module(name))}
    return frozenset(found)


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what a syntax tree consists of, except what is for type checking alone."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield child
            yield from statements(child)


def _module(name: str) -> Path | None:
    """Return the file of the module NAME, or of the module that has NAME; None if it is not of the package."""
    parts = name.split(".")
    if parts[0] != PACKAGE.name:
        return None
    path = PACKAGE.joinpath(*parts[1:])
    places = [file for place in (path, path.parent) for file in (place.with_suffix(".py"), place / "__init__.py")]
    return next((place for place in places if place.is_file()), None)
