"""The names that fastrnn exports."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import fastrnn

MODULES = ("fastrnn.reference", "fastrnn.compat.time_layers", "fastrnn.convert.onnx_backend")


def public_modules() -> list[str]:
    """The packages without an underscore, and the modules that are imported by their names."""
    found = pkgutil.iter_modules(fastrnn.__path__, "fastrnn.")
    packages = [m.name for m in found if m.ispkg and not m.name.startswith("fastrnn._")]
    return ["fastrnn", *sorted({*packages, *MODULES} - {"fastrnn.cli", "fastrnn.compat"})]


def public_names(module: str) -> dict[str, object]:
    """What a module exports, other modules apart, by full name."""
    exporter = importlib.import_module(module)
    exported = {name: getattr(exporter, name) for name in exporter.__all__}
    return {
        f"{module}.{name}": value for name, value in exported.items() if not inspect.ismodule(value)
    }


def undocumented(documented: set[str]) -> list[str]:
    """The public names that are neither documented nor another name of what is."""
    public = {name: value for m in public_modules() for name, value in public_names(m).items()}
    objects = {id(public[name]) for name in documented if callable(public.get(name))}
    return sorted(
        name
        for name, value in public.items()
        if name not in documented and id(value) not in objects
    )
