"""Packages and versions in `envs/` and in the requirements of pip."""

import re
from pathlib import Path

import yaml

CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base", "seaborn": "seaborn-base"}


def conda_name(name: str) -> str:
    """Return the conda-forge name of a package on PyPI."""
    plain = re.sub(r"[-_.]+", "-", name).lower()
    return CONDA_NAMES.get(plain, plain)


def required(file: Path) -> dict[str, str]:
    """Return {conda-forge name: version} of a requirements file of pip."""
    pins = re.findall(r"^([\w.-]+)(?:\[\w+\])?==(\S+)$", file.read_text(), re.MULTILINE)
    return {conda_name(name): version for name, version in pins}


def specified(file: Path) -> dict[str, str]:
    """Return {name: version} of a conda environment, including the packages that pip adds to it."""
    pins = {}
    for entry in yaml.safe_load(file.read_text())["dependencies"]:
        for spec in entry["pip"] if isinstance(entry, dict) else [entry]:
            name, _, version = spec.replace("==", "=").partition("=")
            pins[name] = version
    return pins
