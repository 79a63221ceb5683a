"""What it costs to have a package: its size on disk and the time of its import."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata

# NumPy is the measure: fastrnn cannot do without it, and PyTorch and ONNX Runtime may.
PACKAGES = ("numpy", "fastrnn", "onnxruntime", "torch")


def install_size(package: str) -> int:
    """Bytes of the installed distribution and of all that it requires; 0 if not installed."""
    return sum(_own_size(name) for name in _with_requirements(package, set()))


def _with_requirements(package: str, known: set[str]) -> set[str]:
    """Add a distribution and, through them all, its requirements without extras to `known`."""
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
