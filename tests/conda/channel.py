"""A local conda channel of the packages in the current Python environment, whose contents are links into it.

It replaces conda-forge: the solver sees real names, versions and dependencies, and an environment has only the modules
of the requested packages and their dependencies. Nothing is copied, so that even torch takes no space.
"""

import asyncio
import io
import json
import platform
import sys
import tarfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from rattler import Subdir
from rattler.index import index_fs

from specs import conda_name

PYTHON = "{}.{}".format(*sys.version_info)


def make_channel(folder: Path) -> None:
    """Write the packages, python among them, and their index."""
    subdir = folder / str(Subdir.current())
    subdir.mkdir(parents=True)
    (folder / "noarch").mkdir()
    interpreter = Path(sys._base_executable)
    # an interpreter beside pyvenv.cfg uses the environment of its own folder
    config = f"home = {interpreter.parent}\ninclude-system-site-packages = false\n"
    write_package(subdir, "python", platform.python_version(), [], {"bin/python": interpreter, "pyvenv.cfg": config})
    installed = list(distributions())
    for dist, links in zip(installed, links_of(installed), strict=True):
        depends = [f"python {PYTHON}.*", *dependencies(dist)]
        contents = {f"lib/python{PYTHON}/site-packages/{path}": target for path, target in links.items()}
        write_package(subdir, conda_name(dist.name), dist.version, depends, contents)
    asyncio.run(index_fs(folder))


def dependencies(dist: Distribution, extras: tuple[str, ...] = ("",)) -> Iterator[str]:
    """Yield what a package requires on this machine, including the requirements of the given extras."""
    for requirement in map(Requirement, dist.requires or []):
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            yield f"{conda_name(requirement.name)} {requirement.specifier}".strip()
            if requirement.extras:
                yield from dependencies(distribution(requirement.name), tuple(requirement.extras))


def links_of(installed: list[Distribution]) -> list[dict[str, Path]]:
    """Return path in site-packages: target for every package, the topmost folders and files that only it has."""
    modules = [[file for file in dist.files or [] if file.parts[0] not in ("..", "__pycache__")] for dist in installed]
    owners = defaultdict(set)
    for package, files in enumerate(modules):
        for file in files:
            for path in (file, *file.parents):
                owners[path].add(package)
    links = []
    for package, files in enumerate(modules):
        own = {next(path for path in (*reversed(file.parents), file) if owners[path] == {package}) for file in files}
        links.append({str(path): Path(installed[package].locate_file(path)) for path in own})
    return links


def write_package(
    subdir: Path, name: str, version: str, depends: list[str], contents: Mapping[str, str | Path]
) -> None:
    """Write NAME-VERSION-0.tar.bz2 that holds texts and, where a path is given, links to it."""
    index = {"name": name, "version": version, "build": "0", "build_number": 0, "depends": depends}
    kinds = {path: "softlink" if isinstance(content, Path) else "hardlink" for path, content in contents.items()}
    paths = [{"_path": path, "path_type": kind} for path, kind in kinds.items()]
    info = {
        "info/index.json": json.dumps({**index, "subdir": subdir.name}),
        "info/paths.json": json.dumps({"paths": paths, "paths_version": 1}),
    }
    with tarfile.open(subdir / f"{name}-{version}-0.tar.bz2", "w:bz2") as archive:
        for path, content in {**info, **contents}.items():
            member = tarfile.TarInfo(path)
            if isinstance(content, Path):
                member.type, member.linkname = tarfile.SYMTYPE, str(content)
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content.encode()))
