"""The onnx package's own node tests of the recurrent operators, and the rest of the interface."""

from __future__ import annotations

import re
import unittest
import warnings

import numpy as np
import pytest

pytest.importorskip("onnx")

from onnx import helper
from onnx.backend.test import BackendTest
from onnx.checker import ValidationError

from fastrnn.convert import onnx_backend

NAMES = re.compile(r"^test_(rnn|simple_rnn|gru|lstm)_\w+_cpu$")


def _node_tests() -> dict[str, unittest.TestCase]:
    """The tests by name; those of other operators are not even collected."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of other operators' tests, while they are made
        runner = BackendTest(onnx_backend, __name__).include(NAMES.pattern)
    case = runner.test_cases["OnnxBackendNodeModelTest"]
    return {name: case(name) for name in dir(case) if NAMES.match(name)}


TESTS = _node_tests()


def test_there_are_node_tests_of_every_operator():
    kinds = {NAMES.match(name).group(1) for name in TESTS}
    assert kinds == {"rnn", "simple_rnn", "gru", "lstm"}
    assert len(TESTS) >= 12  # 18 in onnx 1.23


@pytest.mark.parametrize("name", TESTS)
def test_node(name):
    result = unittest.TestResult()
    TESTS[name].run(result)
    assert (result.testsRun, result.skipped, result.errors, result.failures) == (1, [], [], [])


@pytest.fixture
def gru():
    """A node with its inputs and what it makes of them, in its definition's words."""
    rng = np.random.default_rng(0)
    X, W, R = (rng.standard_normal(s) for s in [(3, 2, 4), (1, 15, 4), (1, 15, 5)])
    h = np.zeros((2, 5))
    sigmoid = lambda a: 1 / (1 + np.exp(-a))  # noqa: E731
    for x in X:
        z, r = (sigmoid(x @ W[0, k : k + 5].T + h @ R[0, k : k + 5].T) for k in (0, 5))
        h = (1 - z) * np.tanh(x @ W[0, 10:].T + (r * h) @ R[0, 10:].T) + z * h
    node = helper.make_node("GRU", ["X", "W", "R"], ["", "Y_h"], hidden_size=5)
    return node, [X, W, R], h[None]


def test_run_node(gru):
    node, inputs, Y_h = gru
    (came,) = onnx_backend.run_node(node, inputs)
    np.testing.assert_allclose(came, Y_h, rtol=1e-12)


def test_run_node_checks_the_node(gru):
    node, inputs, _ = gru
    del node.input[2]
    with pytest.raises(ValidationError, match="GRU"):
        onnx_backend.run_node(node, inputs[:2])


def test_run_model_takes_inputs_in_order_and_by_name(gru):
    node, inputs, Y_h = gru
    values = [helper.make_tensor_value_info(n, 11, a.shape) for n, a in zip("XWR", inputs)]  # noqa: B905
    graph = helper.make_graph(
        [node], "g", values, [helper.make_tensor_value_info("Y_h", 11, (1, 2, 5))]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)])
    (came,) = onnx_backend.run_model(model, inputs)
    np.testing.assert_allclose(came, Y_h, rtol=1e-12)
    ready = onnx_backend.prepare(model, "CPU")
    np.testing.assert_array_equal(ready.run(dict(zip("XWR", inputs)))[0], came)  # noqa: B905
    with pytest.raises(ValueError, match="model: inputs must be X, W, R, got X"):
        ready.run(inputs[0])


def test_the_device_is_the_cpu(gru):
    assert onnx_backend.supports_device("CPU") and onnx_backend.supports_device("CPU:0")
    assert not onnx_backend.supports_device("CUDA")
    with pytest.raises(ValueError, match="onnx_backend: device must be CPU, got 'CUDA'"):
        onnx_backend.run_node(*gru[:2], "CUDA")


def test_compatible_models_are_those_that_it_runs():
    def model(op, opset):
        values = [helper.make_tensor_value_info(name, 1, ["N"]) for name in "xy"]
        graph = helper.make_graph([helper.make_node(op, ["x"], ["y"])], "g", values[:1], values[1:])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])

    assert onnx_backend.is_compatible(model("Identity", 14))
    assert not onnx_backend.is_compatible(model("Identity", 6))
    assert not onnx_backend.is_compatible(model("Cos", 14))
