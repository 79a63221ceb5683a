"""Every option of the operators, against the definition, the reference evaluator and ONNX Runtime.

The definition is written out here from ONNX's text, in ONNX's own layout, one sequence at a time.
"""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from fastrnn.convert import from_onnx

GATES = {"RNN": "i", "GRU": "zrh", "LSTM": "iofc"}
DEFAULTS = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
PLAIN = {**{op: [names] for op, names in DEFAULTS.items()}, "RNN": [["Tanh"], ["Relu"]]}
DIRECTIONS = {"forward": [1], "reverse": [-1], "bidirectional": [1, -1]}

# Each function with the number of its parameters.
FUNCTIONS = {
    "Relu": (0, lambda x: x if x > 0 else 0.0),
    "Tanh": (0, np.tanh),
    "Sigmoid": (0, lambda x: 1 / (1 + np.exp(-x))),
    "Affine": (2, lambda x, a, b: a * x + b),
    "LeakyRelu": (1, lambda x, a: x if x >= 0 else a * x),
    "ThresholdedRelu": (1, lambda x, a: x if x >= a else 0.0),
    "ScaledTanh": (2, lambda x, a, b: a * np.tanh(b * x)),
    "HardSigmoid": (2, lambda x, a, b: min(max(a * x + b, 0), 1)),
    "Elu": (1, lambda x, a: x if x >= 0 else a * (np.exp(x) - 1)),
    "Softsign": (0, lambda x: x / (1 + abs(x))),
    "Softplus": (0, lambda x: np.log(1 + np.exp(x))),
}


@dataclass
class Case:
    """One operator with its inputs."""

    op: str
    attributes: dict
    weights: dict
    inputs: dict
    opset: int = 14
    functions: list = field(default_factory=list)  # (name, parameters) for all directions

    def model(self):
        order = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"]
        arrays = self.inputs | self.weights
        outputs = ["Y", "Y_h", "Y_c"] if self.op == "LSTM" else ["Y", "Y_h"]
        names = [name if name in arrays else "" for name in order]
        while not names[-1]:
            names.pop()
        node = helper.make_node(self.op, names, outputs, **self.attributes)
        types = {n: helper.np_dtype_to_tensor_dtype(a.dtype) for n, a in self.inputs.items()}
        graph = helper.make_graph(
            [node],
            "case",
            [helper.make_tensor_value_info(n, types[n], a.shape) for n, a in self.inputs.items()],
            [helper.make_tensor_value_info(n, types["X"], [None] * 4) for n in outputs[:1]]
            + [helper.make_tensor_value_info(n, types["X"], [None] * 3) for n in outputs[1:]],
            [numpy_helper.from_array(a, n) for n, a in self.weights.items()],
        )
        opset = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opset, ir_version=8)

    def load(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "case.onnx")
            onnx.save(self.model(), path)
            return from_onnx(path)


def definition(case):
    """Y, Y_h and, of an LSTM, Y_c, in float64 and layout 0, then in the layout of the case."""
    batch_first = case.attributes.get("layout", 0)
    arrays = {name: a.astype(float) for name, a in (case.inputs | case.weights).items()}
    if batch_first:
        for name in arrays.keys() & {"X", "initial_h", "initial_c"}:
            arrays[name] = arrays[name].swapaxes(0, 1)
    X, R = arrays["X"], arrays["R"]
    T, N, _ = X.shape
    H = R.shape[2]
    walks = DIRECTIONS[case.attributes["direction"]]
    lengths = case.inputs.get("sequence_lens", np.full(N, T))
    Y = np.zeros((T, len(walks), N, H))
    final = np.zeros((2, len(walks), N, H))
    count = len(DEFAULTS[case.op])
    for d, walk in enumerate(walks):
        weights = {name: arrays[name][d] for name in arrays.keys() & {"W", "R", "B", "P"}}
        functions = case.functions[d * count : (d + 1) * count]
        for n in range(N):
            h, c = (
                arrays[name][d, n] if name in arrays else np.zeros(H)
                for name in ("initial_h", "initial_c")
            )
            for t in range(lengths[n])[::walk]:
                h, c = _step(case, weights, functions, X[t, n], h, c)
                Y[t, d, n] = h
            final[:, d, n] = h, c
    states = list(final if case.op == "LSTM" else final[:1])
    if batch_first:
        return [Y.transpose(2, 0, 1, 3), *(state.swapaxes(0, 1) for state in states)]
    return [Y, *states]


def _step(case, weights, functions, x, h, c):
    """One step of one sequence, gate by gate under their names in ONNX."""
    H, clip = len(h), case.attributes.get("clip", np.inf)
    letters = GATES[case.op]
    W, R = (dict(zip(letters, weights[k].reshape(len(letters), H, -1), strict=True)) for k in "WR")
    biases = weights.get("B", np.zeros(2 * len(letters) * H)).reshape(2, len(letters), H)
    Wb, Rb = (dict(zip(letters, b, strict=True)) for b in biases)
    P = dict(zip("iof", weights.get("P", np.zeros(3 * H)).reshape(3, H), strict=True))
    f, *gh = (
        lambda a, name=name, p=p: np.array(
            [FUNCTIONS[name][1](min(max(v, -clip), clip), *p) for v in a]
        )
        for name, p in functions
    )
    gate = {k: x @ W[k].T + Wb[k] for k in letters}
    whole = {k: gate[k] + h @ R[k].T + Rb[k] for k in letters}
    if case.op == "RNN":
        return f(whole["i"]), c
    if case.op == "GRU":
        (g,) = gh
        z, r = f(whole["z"]), f(whole["r"])
        if case.attributes.get("linear_before_reset", 0):
            n = g(gate["h"] + r * (h @ R["h"].T + Rb["h"]))
        else:
            n = g(gate["h"] + (r * h) @ R["h"].T + Rb["h"])
        return (1 - z) * n + z * h, c
    g, out = gh
    i = f(whole["i"] + P["i"] * c)
    forget = f(whole["f"] + P["f"] * c)
    if case.attributes.get("input_forget", 0):
        forget = 1 - i
    c = forget * c + i * g(whole["c"])
    o = f(whole["o"] + P["o"] * c)
    return o * out(c), c


@st.composite
def cases(draw, op=None, *, rare=True, dtypes=("float32", "float64"), shortest=0):
    op = draw(st.sampled_from(sorted(GATES))) if op is None else op
    T, N, D, H = (draw(st.integers(1, high)) for high in (5, 4, 4, 6))
    direction = draw(st.sampled_from(sorted(DIRECTIONS)))
    dirs, G = len(DIRECTIONS[direction]), len(GATES[op])
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from(dtypes))
    layout, opset = draw(st.integers(0, 1)), draw(st.sampled_from([14, 22]))
    if not layout:
        opset = draw(st.sampled_from([7, 13, 14, 22]))
    attributes = {"hidden_size": H, "direction": direction}
    if layout:
        attributes["layout"] = 1
    if op == "GRU":
        attributes["linear_before_reset"] = draw(st.integers(0, 1))

    def normal(*shape):  # small, as gates without bound grow over the steps
        return rng.normal(scale=0.5, size=shape).astype(dtype)

    def state():
        return normal(N, dirs, H) if layout else normal(dirs, N, H)

    weights = {"W": normal(dirs, G * H, D), "R": normal(dirs, G * H, H)}
    inputs = {"X": normal(N, T, D) if layout else normal(T, N, D)}
    if draw(st.booleans()):
        weights["B"] = normal(dirs, 2 * G * H)
    if draw(st.booleans()):
        inputs["sequence_lens"] = rng.integers(shortest, T, N, np.int32, endpoint=True)
    for name in ("initial_h", "initial_c")[: 1 + (op == "LSTM")]:
        if draw(st.booleans()):
            inputs[name] = state()
    names = draw(st.sampled_from(PLAIN[op])) * dirs
    parameters = [() for _ in names]
    if rare:
        if draw(st.booleans()):
            # None equals an alpha: at x = alpha ONNX Runtime's ThresholdedRelu is 0, ONNX's alpha.
            attributes["clip"] = draw(st.sampled_from([1229 / 4096, 1229 / 2048, 1229 / 1024]))
        if op == "LSTM":
            attributes["input_forget"] = draw(st.integers(0, 1))
            if draw(st.booleans()):
                weights["P"] = normal(dirs, 3 * H)
        if draw(st.booleans()):
            names = [draw(st.sampled_from(sorted(FUNCTIONS))) for _ in names]
            numbers = st.floats(0.125, 0.75, width=32)
            parameters = [[draw(numbers) for _ in range(FUNCTIONS[n][0])] for n in names]
            alpha = [p[0] for p in parameters if len(p) > 0]
            beta = [p[1] for p in parameters if len(p) > 1]
            attributes |= {"activation_alpha": alpha} if alpha else {}
            attributes |= {"activation_beta": beta} if beta else {}
    if names != DEFAULTS[op] * dirs:
        attributes["activations"] = names
    functions = list(zip(names, parameters, strict=True))
    return Case(op, attributes, weights, inputs, opset, functions)


def _compare(came, wanted, dtype):
    # Functions without bound may grow: the error is then relative to the largest value.
    for a, b in zip(came, wanted, strict=True):
        scale = max(1.0, np.abs(b).max(initial=0))
        tolerance = (1e-4 if dtype == "float32" else 1e-10) * scale
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


@given(case=cases(rare=False))
@settings(deadline=None, max_examples=100)
def test_common_options_are_compiled_and_as_defined(case):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = case.load()
    came = model(**case.inputs)
    assert {a.dtype for a in came} == {case.inputs["X"].dtype}
    _compare(came, definition(case), case.inputs["X"].dtype)


@given(case=cases())
@settings(deadline=None, max_examples=200)
def test_all_options_are_as_defined(case):
    came = case.load()(**case.inputs)
    assert {a.dtype for a in came} == {case.inputs["X"].dtype}
    _compare(came, definition(case), case.inputs["X"].dtype)


@given(case=cases(dtypes=("float32",), shortest=1))
@settings(deadline=None, max_examples=100)
def test_all_options_are_those_of_onnx_runtime(case):
    if case.attributes.pop("layout", 0):  # which it does not have
        for name in case.inputs.keys() & {"X", "initial_h", "initial_c"}:
            case.inputs[name] = np.ascontiguousarray(case.inputs[name].swapaxes(0, 1))
    if case.op == "LSTM":
        case.attributes.pop("clip", None)  # it does not clip the input of the third, h
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        case.model().SerializeToString(), options, ["CPUExecutionProvider"]
    )
    _compare(case.load()(**case.inputs), session.run(None, case.inputs), "float32")


@given(case=cases(rare=False))
@settings(deadline=None, max_examples=50)
def test_what_the_reference_evaluator_has(case):
    case.inputs.pop("sequence_lens", None)  # it ignores them
    if "Relu" in case.attributes.pop("activations", []):  # it lacks relu
        case.functions = [("Tanh", ()) for _ in case.functions]
    wanted = ReferenceEvaluator(case.model()).run(None, case.inputs)
    if case.op != "RNN" and case.attributes.get("layout"):
        wanted[1:] = [state.reshape(came.shape) for state, came in zip(wanted[1:], wanted[1:])]  # noqa: B905
    _compare(case.load()(**case.inputs), wanted, case.inputs["X"].dtype)


def _rnn(names, parameters, **attributes):
    """An RNN of these activations, its parameters given in `attributes` or not at all."""
    rng = np.random.default_rng(7)
    dirs = len(names)
    weights = {"W": rng.normal(size=(dirs, 4, 3)), "R": rng.normal(size=(dirs, 4, 4))}
    direction = "bidirectional" if dirs == 2 else "forward"
    attributes |= {"direction": direction, "activations": names}
    functions = list(zip(names, parameters, strict=True))
    return Case("RNN", attributes, weights, {"X": rng.normal(size=(3, 2, 3))}, 14, functions)


@pytest.mark.parametrize("name", ["LeakyRelu", "ThresholdedRelu", "HardSigmoid", "Elu"])
def test_parameters_default_to_those_of_the_operator_of_that_name(name):
    attributes = onnx.defs.get_schema(name).attributes
    defaults = [attributes[key].default_value.f for key in ("alpha", "beta") if key in attributes]
    case = _rnn([name], [defaults])
    _compare(case.load()(**case.inputs), definition(case), "float32")  # as the defaults are


def test_parameters_are_consumed_in_order_by_those_that_take_them():
    case = _rnn(["Tanh", "Elu"], [[], [0.25]], activation_alpha=[0.25])
    _compare(case.load()(**case.inputs), definition(case), "float64")
    case = _rnn(["Elu", "LeakyRelu"], [[0.25], [0.01]], activation_alpha=[0.25])
    _compare(case.load()(**case.inputs), definition(case), "float64")


def test_the_default_of_two_directions_may_stand_for_one():
    case = _rnn(["Tanh"], [[]])
    case.attributes["activations"] = ["Tanh", "Tanh"]
    _compare(case.load()(**case.inputs), definition(case), "float64")
