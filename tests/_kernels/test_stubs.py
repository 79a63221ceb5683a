"""The stubs say what the compiled modules have."""

from __future__ import annotations

import ast
import inspect
from importlib import import_module
from pathlib import Path

import pytest

from fastrnn import _kernels

STUBS = sorted(Path(_kernels.__file__).parent.glob("*.pyi"))


def declared(path):
    """Public names of a stub; functions with their parameters, as `inspect` would give them."""
    source = path.read_text()
    namespace = {}
    exec(compile("from __future__ import annotations\n" + source, path, "exec"), namespace)
    names = {getattr(node, "name", None) for node in ast.parse(source).body}
    names |= {node.target.id for node in ast.parse(source).body if isinstance(node, ast.AnnAssign)}
    return {name: namespace.get(name) for name in names if name and not name.startswith("_")}


def defined(module):
    """Public names that a module itself defines."""
    return {
        name: value
        for name, value in vars(module).items()
        if not (name.startswith("_") or inspect.ismodule(value))
        and getattr(value, "__module__", module.__name__) == module.__name__
    }


def parameters(function):
    return [
        (parameter.name, parameter.kind, parameter.default is not inspect.Parameter.empty)
        for parameter in inspect.signature(function).parameters.values()
    ]


def test_every_module_has_a_stub():
    imported = {
        value.__module__.rpartition(".")[2]
        for value in vars(_kernels).values()
        if getattr(value, "__module__", "").startswith("fastrnn._kernels.")
    }
    assert imported - {"directions", "system"} <= {path.stem for path in STUBS}


@pytest.mark.parametrize("path", STUBS, ids=lambda path: path.stem)
def test_stub_agrees_with_module(path):
    stub, module = declared(path), defined(import_module(f"fastrnn._kernels.{path.stem}"))
    assert stub.keys() == module.keys()
    for name, function in stub.items():
        if inspect.isfunction(function):
            assert parameters(module[name]) == parameters(function), name
