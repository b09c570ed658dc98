"""The code that a script of the pipeline uses."""

import os
from modulefinder import ModuleFinder
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1]


def sources(script: str) -> list[str]:
    """Return the paths of a script and of the library modules that it imports, anywhere and at any depth."""
    finder = ModuleFinder(path=[str(SCRIPTS)])
    finder.run_script(str(SCRIPTS / script))
    files = [getattr(module, "__file__", None) for module in finder.modules.values()]
    return sorted({os.path.relpath(file) for file in files if file})
