"""The choice of the backend."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from support.backends import BACKENDS, needs_kernels
from support.numeric import assert_close
from support.problems import recurrent_problem

import fastrnn
from fastrnn import _reference, ops
from fastrnn.ops import _backend

DEFAULT = os.environ.get("FASTRNN_BACKEND", BACKENDS[0])


def test_default():
    assert _backend.choose() == DEFAULT


@needs_kernels
def test_context_manager_nests_and_ends():
    with fastrnn.backend("reference"):
        assert _backend.choose() == "reference"
        assert _backend.get() is _reference
        with fastrnn.backend("compiled"):
            assert _backend.choose() == "compiled"
            assert _backend.choose("reference") == "reference"
        assert _backend.choose() == "reference"
    assert _backend.choose() == DEFAULT
    with pytest.raises(KeyError), fastrnn.backend("reference"):
        raise KeyError
    assert _backend.choose() == DEFAULT


@needs_kernels
def test_each_thread_has_its_own_choice():
    seen = []
    other = "compiled" if DEFAULT == "reference" else "reference"
    with fastrnn.backend(other):
        thread = threading.Thread(target=lambda: seen.append(_backend.choose()))
        thread.start()
        thread.join()
    assert seen == [DEFAULT]


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


CALL = "import numpy, fastrnn; fastrnn.ops.linear(numpy.eye(2), numpy.eye(2)); import sys;"


def test_environment_variable():
    done = python(CALL + "print('fastrnn._reference' in sys.modules)", FASTRNN_BACKEND="reference")
    assert done.stdout == "True\n", done.stderr
    done = python("from fastrnn.ops import _backend; print(_backend.choose())", FASTRNN_BACKEND="")
    assert done.stdout == f"{BACKENDS[0]}\n", done.stderr


def test_unknown_environment_variable():
    last = python(CALL, FASTRNN_BACKEND="fast").stderr.splitlines()[-1]
    wanted = "fastrnn: FASTRNN_BACKEND must be one of compiled, reference, got 'fast'"
    assert last == f"ValueError: {wanted}"


def test_unknown_name():
    message = "^fastrnn: backend must be one of compiled, reference, got 'fast'$"
    with pytest.raises(ValueError, match=message):
        fastrnn.backend("fast")
    with pytest.raises(ValueError, match=message):
        ops.linear(np.eye(2), np.eye(2), backend="fast")


def test_backward_runs_where_the_forward_ran(monkeypatch):
    problem = recurrent_problem("lstm", np.random.default_rng(1))
    calls = []

    def spy(*args, **kwargs):
        calls.append(1)
        return original(*args, **kwargs)

    original = _reference.recurrent_backward
    monkeypatch.setattr(_reference, "recurrent_backward", spy)
    with fastrnn.backend("reference"):
        *_, stash = ops.lstm_forward(*problem.arguments.values())
    ops.lstm_backward(problem.dy, None, None, stash)
    assert calls == [1]


def test_backends_agree_forward_on_one_backward_after(backend):
    problem = recurrent_problem("gru_after", np.random.default_rng(2))
    *_, stash = ops.gru_forward(*problem.arguments.values())
    *_, plain = problem.forward(_reference)
    with fastrnn.backend("reference"):
        grads = ops.gru_backward(problem.dy, problem.dstates["dh"], stash)
    for grad, want in zip(grads, problem.backward(_reference, plain).values(), strict=True):
        assert_close(grad, want, 1e-11)


# What the reference does not need; docs/architecture.md names them, too.
ONLY_COMPILED = {"cpu_info", "get_num_threads", "set_num_threads"}


@needs_kernels
def test_both_backends_have_the_functions_of_the_protocol():
    declared = {name for name in vars(_backend.Backend) if not name.startswith("_")}
    assert set(_reference.__all__) == declared
    from fastrnn import _kernels

    assert set(_kernels.__all__) == declared | ONLY_COMPILED


@needs_kernels
@pytest.mark.parametrize("name", _reference.__all__)
def test_a_function_has_one_signature(name):
    from fastrnn import _kernels

    ours, theirs = (
        [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]
        for function in (getattr(_reference, name), getattr(_kernels, name))
    )
    assert ours == theirs
