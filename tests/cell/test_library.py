"""The library's cells: gradients, equations by hand, and what other libraries compute."""

from __future__ import annotations

import numpy as np
import pytest
from support.numeric import (
    assert_close,
    numeric_gradient,
    random_drop,
    random_lengths,
    relative_error,
)
from support.programs import LIBRARY, program_problem

import fastrnn
from fastrnn import _reference

every_cell = pytest.mark.parametrize("name", LIBRARY)


@every_cell
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dropping", [False, True])
def test_every_gradient_by_finite_differences(name, dropping, reverse):
    rng = np.random.default_rng([dropping, reverse])
    problem = program_problem(LIBRARY[name], rng)
    options = {"lengths": random_lengths(rng, 4, 5), "reverse": reverse}
    if dropping and problem.cell.h_gates:
        options["drop_h"] = random_drop(rng, problem.states["h0"].shape)

    def objective():
        y, states, _ = problem.forward(_reference, **options)
        return problem.objective(y, states)

    gradients = problem.backward(_reference, problem.forward(_reference, **options)[2])
    for key, array in problem.arguments.items():
        assert gradients[key].any(), key
        assert_close(gradients[key], extrapolated_gradient(objective, array), 1e-7, key)


def extrapolated_gradient(objective, array):
    """Differences of the fourth order: layer norm of a few units curves much."""
    coarse, fine = (numeric_gradient(objective, array, step) for step in (1e-5, 5e-6))
    return (4 * fine - coarse) / 3


@every_cell
def test_float32_is_float64_rounded(name):
    results = []
    for dtype in (np.float32, np.float64):
        problem = program_problem(LIBRARY[name], np.random.default_rng(6), dtype=dtype)
        y, states, stash = problem.forward(_reference)
        arrays = (y, *states, *problem.backward(_reference, stash).values())
        assert {array.dtype for array in arrays} == {np.dtype(dtype)}
        results.append(arrays)
    assert max(map(relative_error, *results)) < 1e-5


@every_cell
@pytest.mark.parametrize("garbage", [np.nan, np.inf])
def test_padding_reaches_nothing(name, garbage):
    rng = np.random.default_rng(3)
    problem = program_problem(LIBRARY[name], rng)
    lengths = random_lengths(rng, 4, 5)
    y, _, stash = problem.forward(_reference, lengths=lengths)
    gradients = problem.backward(_reference, stash)
    padding = np.arange(5) >= lengths[:, None]
    problem.x[padding] = problem.dy[padding] = garbage
    y_again, _, stash = problem.forward(_reference, lengths=lengths)
    np.testing.assert_array_equal(y_again, y)
    assert not y[padding].any()
    for key, gradient in problem.backward(_reference, stash).items():
        np.testing.assert_array_equal(gradient, gradients[key], key)


@every_cell
def test_arguments_survive_and_a_stash_serves_twice(name):
    problem = program_problem(LIBRARY[name], np.random.default_rng(8))
    before = {key: array.copy() for key, array in problem.arguments.items()}
    y, states, stash = problem.forward(_reference)
    first = problem.backward(_reference, stash)
    for result in (y, *states):
        assert not any(np.shares_memory(result, array) for array in problem.arguments.values())
        result[...] = np.nan
    second = problem.backward(_reference, stash)
    for key, array in problem.arguments.items():
        np.testing.assert_array_equal(array, before[key], key)
        np.testing.assert_array_equal(second[key], first[key], key)


@every_cell
def test_a_step_gives_arrays_of_its_own(name):
    problem = program_problem(LIBRARY[name], np.random.default_rng(9))
    states = tuple(problem.states.values())
    for new, state in zip(problem.step(_reference, problem.x[:, 0], states), states, strict=True):
        assert new.shape == state.shape and new.flags.writeable
        assert not np.shares_memory(new, state)


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def normed(v, gain, bias):
    return (v - v.mean(1, keepdims=True)) / np.sqrt(v.var(1, keepdims=True) + 1e-5) * gain + bias


def peephole_lstm(a, s, w):
    i = sigmoid(a["i"] + w["p_i"] * s["c"])
    f = sigmoid(a["f"] + w["p_f"] * s["c"])
    c = f * s["c"] + i * np.tanh(a["g"])
    return {"h": sigmoid(a["o"] + w["p_o"] * c) * np.tanh(c), "c": c}


def lstmp(a, s, w):
    c = sigmoid(a["f"]) * s["c"] + sigmoid(a["i"]) * np.tanh(a["g"])
    return {"h": (sigmoid(a["o"]) * np.tanh(c)) @ w["Wp"], "c": c}


def layer_norm_lstm(a, s, w):
    i, f, g, o = (normed(a[k], w[f"gain_{k}"], w[f"bias_{k}"]) for k in "ifgo")
    c = sigmoid(f) * s["c"] + sigmoid(i) * np.tanh(g)
    return {"h": sigmoid(o) * np.tanh(normed(c, w["gain_c"], w["bias_c"])), "c": c}


def layer_norm_gru(a, s, w):
    r, z = (sigmoid(normed(a[k], w[f"gain_{k}"], w[f"bias_{k}"])) for k in "rz")
    n = normed(a["x_n"], w["gain_xn"], w["bias_xn"])
    n = np.tanh(n + r * normed(a["h_n"], w["gain_hn"], w["bias_hn"]))
    return {"h": (1 - z) * n + z * s["h"]}


def zoneout_lstm(a, s, w):
    c = sigmoid(a["f"]) * s["c"] + sigmoid(a["i"]) * np.tanh(a["g"])
    h = sigmoid(a["o"]) * np.tanh(c)
    return {"h": 0.3 * s["h"] + 0.7 * h, "c": 0.4 * s["c"] + 0.6 * c}


def coupled_lstm(a, s, w):
    i = sigmoid(a["i"])
    c = (1 - i) * s["c"] + i * np.tanh(a["g"])
    return {"h": sigmoid(a["o"]) * np.tanh(c), "c": c}


def indrnn(a, s, w):
    return {"h": np.maximum(a["x_n"] + w["u"] * s["h"], 0)}


def minimal_gru(a, s, w):
    f = sigmoid(a["f"])
    return {"h": (1 - f) * s["h"] + f * np.tanh(a["x_n"] + (f * s["h"]) @ w["Un"])}


def slstm(a, s, w):
    # Without a stabilizer: what m is cancels.
    f, i = sigmoid(a["f"]), np.exp(a["i"] - s["m"])
    c, n = f * s["c"] + i * np.tanh(a["z"]), f * s["n"] + i
    m = np.maximum(np.log(f) + s["m"], a["i"])
    scale = np.exp(s["m"] - m)
    return {"h": sigmoid(a["o"]) * c / n, "c": c * scale, "n": n * scale, "m": m}


BY_HAND = {cell.name: globals()[cell.name] for cell in LIBRARY.values()}


@every_cell
def test_a_step_is_that_of_the_equations(name):
    cell = LIBRARY[name]
    problem = program_problem(cell, np.random.default_rng(1))
    x, w = problem.x[:, 0], problem.weights
    states = {key[:-1]: state for key, state in problem.states.items()}
    ax = np.split(x @ w["Wx"] + w["b"], len(cell.x_gates), axis=1)
    sums = {f"x_{gate}": part for gate, part in zip(cell.x_gates, ax, strict=True)}
    if cell.h_gates:
        ah = np.split(states["h"] @ w["Wh"], len(cell.h_gates), axis=1)
        sums |= {f"h_{gate}": part for gate, part in zip(cell.h_gates, ah, strict=True)}
        both = set(cell.x_gates) & set(cell.h_gates)
        sums |= {gate: sums[f"x_{gate}"] + sums[f"h_{gate}"] for gate in both}
    wanted = BY_HAND[cell.name](sums, states, w)
    came = problem.step(_reference, x, tuple(states.values()))
    for state, new in zip(cell.states, came, strict=True):
        assert_close(new, wanted[state], 1e-12, state)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_lstmp_is_that_of_torch(num_layers, bidirectional):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.LSTM(
        4, 6, num_layers, batch_first=True, bidirectional=bidirectional, proj_size=3
    ).double()
    options = {"bidirectional": bidirectional, "proj_size": 3, "dtype": "float64"}
    ours = fastrnn.LSTMP(4, 6, num_layers, **options)
    names = {"Wx": "weight_ih", "Wh": "weight_hh", "Wp": "weight_hr"}
    for key, param in ours.params.items():
        name, _, place = key.partition("_")
        if name == "b":
            both = getattr(theirs, f"bias_ih_{place}") + getattr(theirs, f"bias_hh_{place}")
            param[...] = both.detach().numpy()
        else:
            param[...] = getattr(theirs, f"{names[name]}_{place}").detach().numpy().T
    rng = np.random.default_rng(0)
    K = num_layers * ours.directions
    x, h, c = (rng.standard_normal(s) for s in ((5, 7, 4), (K, 5, 3), (K, 5, 6)))
    dy, dh, dc = (rng.standard_normal(s) for s in ((5, 7, 3 * ours.directions), h.shape, c.shape))
    inputs = [torch.tensor(array, requires_grad=True) for array in (x, h, c)]
    wanted = theirs(inputs[0], tuple(inputs[1:]))
    y, state = ours(x, (h, c))
    outputs = (wanted[0], *wanted[1])
    torch.autograd.backward(outputs, [torch.tensor(g) for g in (dy, dh, dc)])
    dx, dstate = ours.backward(dy, (dh, dc))
    for came, output in zip((y, *state), outputs, strict=True):
        assert_close(came, output.detach().numpy(), 1e-12)
    for came, given in zip((dx, *dstate), inputs, strict=True):
        assert_close(came, given.grad.numpy(), 1e-11)
    for key, grad in ours.grads.items():
        name, _, place = key.partition("_")
        theirs_grad = getattr(theirs, f"{names.get(name, 'bias_ih')}_{place}").grad.numpy()
        assert_close(grad, theirs_grad.T, 1e-11, key)


def test_zoneout_keeps_units_at_its_rates():
    layer = fastrnn.ZoneoutLSTM(3, 50, zoneout_h=0.25, zoneout_c=0.75, dtype="float64", rng=0)
    x = np.random.default_rng(1).standard_normal((100, 1, 3))
    state = (np.full((1, 100, 50), 2.0), np.full((1, 100, 50), 3.0))
    _, (h, c) = layer(x, state)
    assert abs(np.mean(h == 2) - 0.25) < 0.03 and abs(np.mean(c == 3) - 0.75) < 0.03
    _, other = layer(x, state)
    assert (other[0] != h).any()
    layer.eval()
    _, expected = layer(x, state)
    again = layer.step(x[:, 0], state)[1]
    for value, same in zip(expected, again, strict=True):
        np.testing.assert_allclose(same, value, rtol=1e-12)


def test_zoneout_of_nothing_is_an_lstm():
    zoneout = fastrnn.ZoneoutLSTM(3, 4, zoneout_h=0, zoneout_c=0, dtype="float64", rng=0)
    lstm = fastrnn.LSTM(3, 4, dtype="float64", rng=0)
    x = np.random.default_rng(1).standard_normal((2, 5, 3))
    assert_close(zoneout(x)[0], lstm(x)[0], 1e-12)


def test_slstm_does_not_overflow():
    layer = fastrnn.SLSTM(2, 3, rng=0)
    for scale in (1e4, -1e4):
        layer.params["b_l0"][3:6] = scale  # the input gate, exponential
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            y, state = layer(np.ones((2, 6, 2), np.float32))
            layer.backward(np.ones_like(y))
        assert all(np.isfinite(array).all() for array in (y, *state, *layer.grads.values()))
