"""The size of an installed package and the time of its import."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata

# NumPy for comparison: fastrnn requires it.
PACKAGES = ("numpy", "fastrnn", "onnxruntime", "openvino", "jax", "torch")


def install_size(package: str) -> int:
    """Bytes of the installed distribution and its requirements; 0 if it is not installed."""
    return sum(_own_size(name) for name in _with_requirements(package, set()))


def _with_requirements(package: str, known: set[str]) -> set[str]:
    """Add a distribution and, recursively, its requirements without extras to `known`."""
    name = re.sub(r"[-_.]+", "-", package).lower()
    if name in known:
        return known
    try:
        requires = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return known
    known.add(name)
    for requirement in requires:
        if "extra ==" not in requirement:
            _with_requirements(re.match(r"[\w.-]+", requirement).group(), known)
    return known


def _own_size(name: str) -> int:
    paths = [file.locate() for file in metadata.files(name) or []]
    return sum(path.stat().st_size for path in paths if path.is_file())


def run_import(package: str) -> None:
    """Start Python and import the package."""
    subprocess.run([sys.executable, "-c", f"import {package}"], check=True)
