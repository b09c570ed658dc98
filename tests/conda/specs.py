"""Packages and versions, as `envs/` and the requirements of pip name them."""

import re
from pathlib import Path

import yaml

CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base", "seaborn": "seaborn-base"}


def conda_name(name: str) -> str:
    """Return the name that conda-forge has for a package of PyPI."""
    plain = re.sub(r"[-_.]+", "-", name).lower()
    return CONDA_NAMES.get(plain, plain)


def required(file: Path) -> dict[str, str]:
    """Return conda-forge's name: version for a file of pip's requirements."""
    pins = re.findall(r"^([\w.-]+)(?:\[\w+\])?==(\S+)$", file.read_text(), re.MULTILINE)
    return {conda_name(name): version for name, version in pins}


def specified(file: Path) -> dict[str, str]:
    """Return name: version for an environment of conda, with the packages that pip adds to it."""
    pins = {}
    for entry in yaml.safe_load(file.read_text())["dependencies"]:
        for spec in entry["pip"] if isinstance(entry, dict) else [entry]:
            name, _, version = spec.replace("==", "=").partition("=")
            pins[name] = version
    return pins
