"""The behaviour that scripts for Saitoh's "Deep Learning from Scratch 2" rely on."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
from support import numpy_time_layers as plain
from support.compat import CELLS, STATES, f4, parameters
from support.numeric import assert_close

from fastrnn.compat import time_layers as ours

N, T, D, H, V = 3, 5, 4, 6, 7


def rng():
    return np.random.default_rng(3)


def layer_and_inputs(name):
    """A layer that has parameters, an input of it and the gradient of its output."""
    draw = rng()
    xs = f4(draw, N, T, D)
    if name == "TimeEmbedding":
        return ours.TimeEmbedding(f4(draw, V, D)), draw.integers(0, V, (N, T)), f4(draw, N, T, D)
    if name == "TimeAffine":
        return ours.TimeAffine(f4(draw, D, V), f4(draw, V)), xs, f4(draw, N, T, V)
    if name == "TimeBiLSTM":
        both = parameters(draw, "LSTM", D, H) + parameters(draw, "LSTM", D, H)
        return ours.TimeBiLSTM(*both), xs, f4(draw, N, T, 2 * H)
    return getattr(ours, name)(*parameters(draw, name[4:], D, H)), xs, f4(draw, N, T, H)


WITH_PARAMETERS = pytest.mark.parametrize(
    "name", ["TimeRNN", "TimeLSTM", "TimeGRU", "TimeBiLSTM", "TimeEmbedding", "TimeAffine"]
)


def test_a_star_import_brings_the_issue_s_names_and_np():
    names = {}
    exec("from fastrnn.compat.time_layers import *", names)
    assert names["np"] is np
    classes = set(ours.__all__) - {"np"}
    assert classes == {name for name in plain.__all__ if name != "np"} and classes <= names.keys()
    assert all(getattr(ours, name).__doc__ for name in classes)


def test_import_fastrnn_leaves_compat_out():
    code = "import sys, fastrnn; print('fastrnn.compat' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@WITH_PARAMETERS
def test_params_and_grads_are_lists_whose_arrays_stay(name):
    layer, xs, dout = layer_and_inputs(name)
    assert type(layer.params) is list and type(layer.grads) is list
    given, grads = list(layer.params), list(layer.grads)
    layer.forward(xs)
    layer.backward(dout)
    first = [grad.copy() for grad in grads]
    assert all(grad.any() for grad in grads)
    layer.forward(xs)
    layer.backward(2 * dout)
    for grad, before in zip(grads, first, strict=True):
        assert_close(grad, 2 * before, 1e-5)  # overwritten, not added to
    assert all(a is b for a, b in zip(layer.params + layer.grads, given + grads, strict=True))


@WITH_PARAMETERS
def test_the_next_call_sees_parameters_changed_in_place_or_replaced(name):
    layer, xs, _ = layer_and_inputs(name)
    layer.forward(xs)
    fresh = [2 * param + 1 for param in layer.params]
    wanted = type(layer)(*fresh).forward(xs)
    for param, new in zip(layer.params, fresh, strict=True):
        param[...] = new
    np.testing.assert_array_equal(layer.forward(xs), wanted)
    layer.params[:] = [param - 1 for param in fresh]
    wanted = type(layer)(*layer.params).forward(xs)
    np.testing.assert_array_equal(layer.forward(xs), wanted)
    assert not np.array_equal(wanted, type(layer)(*fresh).forward(xs))


@CELLS
def test_a_single_step_sees_parameters_changed_in_place(cell):
    draw = rng()
    params = parameters(draw, cell, D, H)
    layer, x = getattr(ours, cell)(*params), f4(draw, N, D)
    states = f4(draw, STATES[cell], N, H)
    layer.forward(x, *states)
    for param in params:
        param *= 1.5
    wanted = getattr(plain, cell)(*params).forward(x, *states)
    assert_close(np.array(layer.forward(x, *states)), np.array(wanted), 2e-5)


def test_tied_weights_by_a_transposed_view():
    draw = rng()
    W = f4(draw, V, D)
    embedding, affine = ours.TimeEmbedding(W), ours.TimeAffine(W.T, f4(draw, V))
    assert affine.params[0].base is W and affine.grads[0].shape == (D, V)
    ids, dout = draw.integers(0, V, (N, T)), f4(draw, N, T, V)
    for _ in range(2):
        x = embedding.forward(ids)
        wanted = plain.TimeAffine(W.T, affine.params[1])
        assert_close(affine.forward(x), wanted.forward(x), 2e-5)
        assert_close(affine.backward(dout), wanted.backward(dout), 2e-5)
        assert_close(affine.grads[0], wanted.grads[0], 2e-5)
        W -= 0.1 * (embedding.grads[0] + affine.grads[0].T)


def test_one_table_in_two_layers():
    """As textbook trainers have it: they find parameters that are one array by identity."""
    W = f4(rng(), V, D)
    first, second = ours.TimeEmbedding(W), ours.TimeEmbedding(W)
    assert first.params[0] is second.params[0] is W
    assert first.grads[0] is not second.grads[0]


@pytest.mark.parametrize("steps", [1, 4])
@CELLS
def test_states_go_on_only_if_stateful(cell, steps):
    draw = rng()
    layer = getattr(ours, f"Time{cell}")(*parameters(draw, cell, D, H))
    assert (layer.stateful, layer.h, layer.dh) == (False, None, None)
    xs = f4(draw, N, 2 * steps, D)
    there = layer.forward(xs[:, :steps])
    np.testing.assert_array_equal(layer.forward(xs[:, :steps]), there)
    np.testing.assert_array_equal(layer.h, there[:, -1])
    layer.stateful = True
    layer.reset_state()
    assert layer.h is None
    parts = [layer.forward(xs[:, :steps]), layer.forward(xs[:, steps:])]
    layer.reset_state()
    assert_close(np.concatenate(parts, axis=1), layer.forward(xs), 1e-6)


def test_set_state_clears_c_unless_it_is_given():
    draw = rng()
    layer = ours.TimeLSTM(*parameters(draw, "LSTM", D, H), stateful=True)
    xs, h, c = f4(draw, N, T, D), *f4(draw, 2, N, H)
    layer.forward(xs)
    assert layer.c.any()
    layer.set_state(h)
    assert layer.h is h and layer.c is None
    without = layer.forward(xs)
    layer.set_state(h, np.zeros_like(c))
    np.testing.assert_array_equal(layer.forward(xs), without)
    layer.set_state(h, c)
    assert not np.allclose(layer.forward(xs), without)
    layer.reset_state()
    assert layer.h is None and layer.c is None


@CELLS
def test_results_belong_to_the_caller(cell):
    """Code adds in place to what it gets; that must not reach the state or the next gradient."""
    draw = rng()
    for length in (1, T):
        layer = getattr(ours, f"Time{cell}")(*parameters(draw, cell, D, H), stateful=True)
        xs, dhs = f4(draw, N, length, D), f4(draw, N, length, H)
        hs = layer.forward(xs)
        h = layer.h.copy()
        hs += 1
        np.testing.assert_array_equal(layer.h, h)
        dxs = layer.backward(dhs)
        grads = [grad.copy() for grad in layer.grads]
        dxs += 1
        layer.dh += 1
        layer.backward(dhs)
        np.testing.assert_equal(layer.grads, grads)


@CELLS
def test_generation_by_single_steps_and_then_training_again(cell):
    """N = 1, T = 1 calls go another way; they and their gradients must be the same."""
    draw = rng()
    params = parameters(draw, cell, D, H)
    layer, wanted = (getattr(m, f"Time{cell}")(*params, stateful=True) for m in (ours, plain))
    xs, dhs = f4(draw, 1, 6, D), f4(draw, 1, 1, H)
    together = plain_hs = wanted.forward(xs)
    wanted.reset_state()
    for t in range(6):
        x = xs[:, t : t + 1]
        assert_close(layer.forward(x), plain_hs[:, t : t + 1], 2e-5)
        assert_close(wanted.forward(x), together[:, t : t + 1], 2e-5)
        assert_close(layer.backward(dhs), wanted.backward(dhs), 2e-5)
        assert_close(layer.dh, wanted.dh, 2e-5)
        for actual, grad in zip(layer.grads, wanted.grads, strict=True):
            assert_close(actual, grad, 2e-5)
    layer.reset_state()
    assert layer.forward(f4(draw, 9, 3, D)).shape == (9, 3, H)


@CELLS
@pytest.mark.parametrize("shape", [(0, T), (N, 0), (0, 1)])
def test_nothing_at_all(cell, shape):
    draw = rng()
    layer = getattr(ours, f"Time{cell}")(*parameters(draw, cell, D, H))
    layer.grads[0][...] = 1
    hs = layer.forward(f4(draw, *shape, D))
    assert hs.shape == (*shape, H)
    assert layer.backward(hs).shape == (*shape, D)
    assert layer.dh.shape == (shape[0], H) and not layer.grads[0].any()


def views(array):
    """The same numbers lying in memory in other ways."""
    wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), np.nan, array.dtype)
    wide[..., ::2] = array
    return {
        "reversed in time": array[:, ::-1].copy()[:, ::-1],
        "reversed rows": array[::-1].copy()[::-1],
        "reversed numbers": array[..., ::-1].copy()[..., ::-1],
        "every other": wide[..., ::2],
        "time-major": array.swapaxes(0, 1).copy().swapaxes(0, 1),
        "float64": array.astype("float64"),
        "big-endian": array.astype(">f4"),
        "read-only": np.broadcast_to(array, array.shape),
    }


@pytest.mark.parametrize("kind", views(np.zeros((1, 1, 1), "f4")))
@WITH_PARAMETERS
def test_inputs_may_lie_as_they_like(name, kind):
    layer, xs, dout = layer_and_inputs(name)
    wanted = layer.forward(xs), layer.backward(dout), [grad.copy() for grad in layer.grads]
    ids = name == "TimeEmbedding"
    hs = layer.forward(xs[:, ::-1].copy()[:, ::-1] if ids else views(xs)[kind])
    dxs = layer.backward(views(dout)[kind])
    np.testing.assert_array_equal(hs, wanted[0])
    assert dxs is wanted[1] is None if ids else np.array_equal(dxs, wanted[1])
    np.testing.assert_equal(layer.grads, wanted[2])
    assert hs.dtype == np.float32


def test_float64_parameters_give_float32_results():
    draw = rng()
    params = parameters(draw, "LSTM", D, H, "float64")
    layer = ours.TimeLSTM(*params)
    xs, dhs = draw.standard_normal((N, T, D)), draw.standard_normal((N, T, H))
    assert layer.forward(xs).dtype == layer.backward(dhs).dtype == np.float32
    wanted = plain.TimeLSTM(*params)
    wanted.forward(xs)
    assert_close(layer.backward(dhs), wanted.backward(dhs), 2e-5)
    for actual, grad in zip(layer.grads, wanted.grads, strict=True):
        assert actual.dtype == np.float64
        assert_close(actual, grad, 2e-5)


def test_the_list_of_both_directions_is_the_one_that_counts():
    layer, xs, dout = layer_and_inputs("TimeBiLSTM")
    layer.forward(xs)
    layer.backward(dout)
    assert layer.grads[0] is layer.forward_lstm.grads[0]
    assert layer.grads[5] is layer.backward_lstm.grads[2]
    layer.params[3] = layer.params[3] * 2
    layer.forward(xs)
    assert layer.backward_lstm.params[0] is layer.params[3]


def test_saturated_losses_stay_finite():
    xs = np.array([[200.0, -200.0]], "f4")
    for ts, wanted in (([[1, 0]], 0.0), ([[0, 1]], 200.0)):
        layer = ours.TimeSigmoidWithLoss()
        assert layer.forward(xs, np.array(ts)) == wanted
        assert np.isfinite(layer.backward()).all()
    softmax = ours.TimeSoftmaxWithLoss()
    assert softmax.forward(xs[None], np.array([[1]])) == 400.0


def test_the_gradient_of_the_scores_is_the_caller_s():
    layer = ours.TimeSoftmaxWithLoss()
    layer.forward(f4(rng(), N, T, V), np.ones((N, T), int))
    dxs = layer.backward()
    dxs *= 0.5
    with pytest.raises(ValueError, match="backward needs a forward before it"):
        layer.backward()


def test_copies_and_pickles_are_fresh_layers():
    for name in ("TimeLSTM", "TimeGRU", "TimeBiLSTM", "TimeEmbedding", "TimeAffine"):
        layer, xs, dout = layer_and_inputs(name)
        wanted = layer.forward(xs)
        for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            np.testing.assert_array_equal(twin.forward(xs), wanted)
            twin.backward(dout)
            with pytest.raises(ValueError, match="needs a forward"):
                copy.deepcopy(twin).backward(dout)
