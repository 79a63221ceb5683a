"""RNN, LSTM, GRU: stacking, directions, dropout, states, streaming, modes."""

from __future__ import annotations

import copy
import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.backends import BACKENDS
from support.numeric import assert_close, numeric_gradient
from support.problems import like, parts

import fastrnn
from fastrnn import ops, reference
from fastrnn.ops._recurrent import forward_one


def shake(layer, rng):
    """Make every parameter random, biases too."""
    for param in layer.params.values():
        param[...] = 0.5 * rng.standard_normal(param.shape)
    return layer


def run_cell(layer, x, states, weights, **options):
    """One direction by the operation of its cell; for a defined cell there is none."""
    op = getattr(ops, f"{layer._name.lower()}_forward", None)
    if op is None:
        y, final, _ = forward_one(layer.cell, x, states, weights, **options)
        return y, final
    more = {"nonlinearity": layer.nonlinearity} if layer._name == "RNN" else {}
    y, *final, _ = op(x, *states, *weights, **more, **options)
    return y, final


def compose(layer, x, state, lengths):
    """The forward of a layer by hand, from `fastrnn.ops` alone."""
    finals = []
    for k in range(layer.num_layers):
        halves = []
        for d, suffix in enumerate(("", "_reverse")[: 1 + layer.bidirectional]):
            names = layer.cell.weights
            weights = [layer.params.get(f"{n}_l{k}{suffix}") for n in names]
            weights = [w for w in weights if w is not None]
            states = [a[k * (1 + layer.bidirectional) + d] for a in parts(state)]
            y, final = run_cell(layer, x, states, weights, lengths=lengths, reverse=d == 1)
            halves.append(y)
            finals.append(final)
        x = np.concatenate(halves, axis=-1) + (x if layer.residual and k >= 2 else 0)
    finals = tuple(np.stack(arrays) for arrays in zip(*finals, strict=True))
    return x, finals


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers, residual", [(1, False), (3, False), (4, True)])
@pytest.mark.parametrize("lengths", [None, [5, 0, 3, 1]])
def test_forward_is_a_composition_of_ops(
    kind, bidirectional, num_layers, residual, lengths, backend
):
    rng = np.random.default_rng(1)
    options = {"bidirectional": bidirectional, "residual": residual}
    layer = shake(kind(3, 2, num_layers, dtype="float64", rng=2, **options), rng)
    x = rng.standard_normal((4, 5, 3))
    state = like(layer.init_state(4), rng)
    y, final = layer(x, state, lengths=lengths)
    wanted, wanted_final = compose(layer, x, state, lengths)
    assert_close(y, wanted, 1e-12)
    for array, want in zip(parts(final), wanted_final, strict=True):
        assert_close(array, want, 1e-12)
    again, _ = layer.eval()(x, state, lengths=lengths)
    np.testing.assert_array_equal(again, y)


@pytest.mark.parametrize("lengths", [None, [4, 0, 2]])
def test_gradients_by_finite_differences(kind, lengths, backend):
    rng = np.random.default_rng(3)
    layer = shake(kind(3, 2, 2, bidirectional=True, dtype=np.float64, rng=4), rng)
    x = rng.standard_normal((3, 4, 3))
    state = like(layer.init_state(3), rng)
    y, final = layer(x, state, lengths=lengths)
    dy, dfinal = rng.standard_normal(y.shape), like(final, rng)
    dx, dstate = layer.backward(dy, dfinal)
    grads = {key: grad.copy() for key, grad in layer.grads.items()}

    def objective():
        y, final = layer(x, state, lengths=lengths)
        pairs = zip((dy, *parts(dfinal)), (y, *parts(final)), strict=True)
        return float(sum(np.sum(d * value) for d, value in pairs))

    assert_close(dx, numeric_gradient(objective, x), 1e-7)
    for array, grad in zip(parts(state), parts(dstate), strict=True):
        assert_close(grad, numeric_gradient(objective, array), 1e-7)
    for key, grad in grads.items():
        assert_close(grad, numeric_gradient(objective, layer.params[key]), 1e-7, key)


@pytest.mark.parametrize(
    ("num_layers", "options"),
    [
        (2, {"dropout": 0.4}),
        (2, {"recurrent_dropout": 0.4}),
        (4, {"bidirectional": True, "residual": True}),
        (4, {"residual": True, "dropout": 0.3, "recurrent_dropout": 0.2}),
    ],
)
def test_gradients_through_dropout_and_residual_connections(kind, num_layers, options, backend):
    rng = np.random.default_rng(5)
    layer = shake(kind(3, 3, num_layers, dtype="float64", rng=6, **options), rng)
    x, lengths = rng.standard_normal((3, 4, 3)), [4, 0, 2]
    start = layer.rng.bit_generator.state
    dy = rng.standard_normal(layer(x, lengths=lengths)[0].shape)
    dy[2, 2:] = np.nan  # what lies past the lengths is ignored
    dx, _ = layer.backward(dy)
    keys = ("Wx_l0", "Wh_l0", f"Wh_l{num_layers - 1}")
    grads = {key: layer.grads[key].copy() for key in keys}
    counted = np.nan_to_num(dy)

    def objective():
        layer.rng.bit_generator.state = start
        return float(np.sum(counted * layer(x, lengths=lengths)[0]))

    assert_close(dx, numeric_gradient(objective, x), 1e-7)
    for key, grad in grads.items():
        assert_close(grad, numeric_gradient(objective, layer.params[key]), 1e-7, key)


def test_residual_connections_against_pytorch(backend):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(8)
    layer = shake(fastrnn.LSTM(3, 4, 4, residual=True, dtype="float64", rng=1), rng)
    x, dy = rng.standard_normal((2, 5, 3)), rng.standard_normal((2, 5, 4))
    leaf = torch.tensor(x, requires_grad=True)
    modules, y = [], leaf
    for k in range(4):
        module = torch.nn.LSTM(len(layer.params[f"Wx_l{k}"]), 4, batch_first=True).double()
        for theirs, ours in (("weight_ih", "Wx"), ("weight_hh", "Wh"), ("bias_ih", "b")):
            getattr(module, f"{theirs}_l0").data = torch.tensor(layer.params[f"{ours}_l{k}"].T)
        module.bias_hh_l0.data.zero_()
        y = module(y)[0] + (y if k >= 2 else 0)
        modules.append(module)
    y.backward(torch.tensor(dy))
    assert_close(layer(x)[0], y.detach().numpy(), 1e-12)
    dx, _ = layer.backward(dy)
    assert_close(dx, leaf.grad.numpy(), 1e-11)
    for k, module in enumerate(modules):
        assert_close(layer.grads[f"Wx_l{k}"], module.weight_ih_l0.grad.numpy().T, 1e-11)
        assert_close(layer.grads[f"Wh_l{k}"], module.weight_hh_l0.grad.numpy().T, 1e-11)


def test_recurrent_dropout_drops_the_same_units_at_every_step(kind, backend):
    rng = np.random.default_rng(9)
    options = {"bidirectional": True, "dropout": 0.3, "recurrent_dropout": 0.5}
    layer = shake(kind(3, 4, 2, dtype="float64", rng=1, **options), rng)
    x, same = rng.standard_normal((5, 6, 3)), copy.deepcopy(layer.rng)
    y, _ = layer(x)
    assert not np.array_equal(layer(x)[0], y)
    for k in range(2):
        if k > 0:
            x = ops.dropout(x, 0.3, rng=same)
        drops = [ops.dropout(np.ones((5, 4)), 0.5, rng=same) for _ in range(2)]
        halves = []
        for d, suffix in enumerate(("", "_reverse")):
            names = (f"{name}_l{k}{suffix}" for name in layer.cell.weights)
            weights = [layer.params[name] for name in names if name in layer.params]
            states = [None] * len(layer.cell.states)
            half, _ = run_cell(layer, x, states, weights, reverse=d == 1, drop_h=drops[d])
            halves.append(half)
        x = np.concatenate(halves, axis=-1)
    np.testing.assert_array_equal(y, x)


def test_recurrent_dropout_is_in_train_mode_only(kind, backend):
    x = np.random.default_rng(7).standard_normal((3, 4, 3)).astype("float32")
    plain, dropping = kind(3, 8, 2, rng=8), kind(3, 8, 2, recurrent_dropout=0.5, rng=8)
    assert not np.array_equal(dropping(x)[0], plain(x)[0])
    wanted, step = plain.eval()(x)[0], plain.step(x[:, 0])[0]
    for layer in (dropping.eval(), dropping.freeze()):
        np.testing.assert_array_equal(layer(x)[0], wanted)
        np.testing.assert_array_equal(layer.step(x[:, 0])[0], step)


def test_dropout_is_between_layers_in_train_mode(backend):
    x = np.random.default_rng(7).standard_normal((3, 4, 3)).astype("float32")
    plain = fastrnn.GRU(3, 8, 2, rng=8)
    dropping = fastrnn.GRU(3, 8, 2, dropout=0.5, rng=8)
    assert not np.array_equal(dropping(x)[0], dropping(x)[0])
    np.testing.assert_array_equal(dropping.eval()(x)[0], plain(x)[0])
    with pytest.warns(UserWarning, match="has no effect with num_layers=1"):
        alone = fastrnn.GRU(3, 8, dropout=0.5, rng=8)
    np.testing.assert_array_equal(alone(x)[0], fastrnn.GRU(3, 8, rng=8)(x)[0])
    first, _ = fastrnn.GRU(3, 8, 2, dropout=0.5, rng=8)(x)
    second, _ = fastrnn.GRU(3, 8, 2, dropout=0.5, rng=8)(x)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("num_layers, residual", [(2, False), (4, True)])
def test_steps_are_a_forward(kind, num_layers, residual, backend):
    rng = np.random.default_rng(9)
    options = {"dropout": 0.3, "residual": residual}
    layer = shake(kind(3, 5, num_layers, dtype=np.float64, rng=1, **options), rng).eval()
    x = rng.standard_normal((2, 6, 3))
    y, final = layer(x)
    state = None
    for t in range(6):
        y_t, state = layer.step(x[:, t], state)
        assert_close(y_t, y[:, t], 1e-12)
        kept = parts(state)[0].copy()
        y_t[...] = 7  # what step returns is the caller's: writing to it leaves the state
        np.testing.assert_array_equal(parts(state)[0], kept)
    for array, want in zip(parts(state), parts(final), strict=True):
        assert_close(array, want, 1e-12)


def test_step_from_arrays_of_any_layout(kind, backend):
    rng = np.random.default_rng(18)
    layer = shake(kind(3, 5, 2, dtype=np.float64, rng=1), rng)
    wide = rng.standard_normal((6, 7, 3))
    state = like(layer.init_state(6), rng)
    thin = tuple(array[:, ::2] for array in parts(state))
    y, final = layer.step(wide[::2, 4], thin if isinstance(state, tuple) else thin[0])
    every, wanted = layer.step(wide[:, 4].copy(), state)
    assert_close(y, every[::2], 1e-12)
    for array, want in zip(parts(final), parts(wanted), strict=True):
        assert_close(array, want[:, ::2], 1e-12)


def test_chunks_are_one_long_forward(kind, backend):
    rng = np.random.default_rng(10)
    layer = shake(kind(3, 5, 2, dtype=np.float64, rng=1), rng)
    x = rng.standard_normal((2, 7, 3))
    y, final = layer(x)
    state, chunks = layer.init_state(2), []
    for chunk in (x[:, :3], x[:, 3:3], x[:, 3:]):
        y_chunk, state = layer(chunk, state)
        chunks.append(y_chunk)
    assert_close(np.concatenate(chunks, axis=1), y, 1e-12)
    for array, want in zip(parts(state), parts(final), strict=True):
        assert_close(array, want, 1e-12)


def test_empty_batches_and_sequences(kind, backend):
    layer = kind(3, 2, 2, bidirectional=True, rng=1)
    for N, T in [(0, 4), (3, 0), (0, 0), (1, 1)]:
        x = np.random.default_rng(2).standard_normal((N, T, 3)).astype("float32")
        y, final = layer(x)
        assert y.shape == (N, T, 4) and parts(final)[0].shape == (4, N, 2)
        dx, dstate = layer.backward(y, final)
        assert dx.shape == x.shape and parts(dstate)[0].shape == (4, N, 2)
        assert N * T or not any(grad.any() for grad in layer.grads.values())


def test_eval_keeps_nothing(kind, backend):
    rng = np.random.default_rng(11)
    layer = kind(3, 4, 2, bidirectional=True, dropout=0.5, rng=1)
    layer(rng.standard_normal((2, 5, 3)).astype("float32"))
    assert layer.eval() is layer
    before = dict(vars(layer))
    layer(rng.standard_normal((2, 5, 3)).astype("float32"))
    assert vars(layer) == before and layer._tape is None
    assert layer.train() is layer and layer.training


def test_backward_twice_overwrites(kind, backend):
    rng = np.random.default_rng(12)
    layer = kind(3, 4, 2, bidirectional=True, dropout=0.5, dtype=np.float64, rng=1)
    y, final = layer(rng.standard_normal((2, 5, 3)))
    arrays = {**layer.params}, {**layer.grads}
    dy, dfinal = rng.standard_normal(y.shape), like(final, rng)
    first, _ = layer.backward(dy, dfinal)
    kept = {key: grad.copy() for key, grad in layer.grads.items()}
    second, _ = layer.backward(dy, dfinal)
    np.testing.assert_array_equal(first, second)
    for key, grad in kept.items():
        assert grad.any()
        np.testing.assert_array_equal(layer.grads[key], grad)
        assert layer.params[key] is arrays[0][key] and layer.grads[key] is arrays[1][key]


def test_backward_of_y_or_of_the_state_alone(kind, backend):
    rng = np.random.default_rng(13)
    layer = kind(3, 4, 2, bidirectional=True, dtype=np.float64, rng=1)
    y, final = layer(rng.standard_normal((2, 5, 3)))
    dy, dfinal = rng.standard_normal(y.shape), like(final, rng)
    both, _ = layer.backward(dy, dfinal)
    of_y, _ = layer.backward(dy)
    of_state, _ = layer.backward(dstate=dfinal)
    assert of_y.any() and of_state.any()
    assert_close(both, of_y + of_state, 1e-12)


def test_parameters_may_be_updated_or_replaced(kind, backend):
    rng = np.random.default_rng(14)
    x = rng.standard_normal((2, 5, 3))
    new = shake(kind(3, 4, dtype=np.float64, rng=1), rng)
    updated, replaced = (kind(3, 4, dtype=np.float64, rng=2) for _ in range(2))
    for key, param in new.params.items():
        updated.params[key][...] = param
        replaced.params[key] = np.asfortranarray(param)
    wanted, _ = new(x)
    for layer in (updated, replaced):
        np.testing.assert_array_equal(layer(x)[0], wanted)
        np.testing.assert_array_equal(layer.step(x[:, 0])[0], new.step(x[:, 0])[0])


def test_many_threads_in_eval_mode(kind, backend):
    rng = np.random.default_rng(15)
    layer = kind(3, 8, 2, bidirectional=True, dropout=0.5, rng=1).eval()
    xs = [rng.standard_normal((n, 6, 3)).astype("float32") for n in range(1, 25)]
    wanted = [layer(x)[0] for x in xs]
    with ThreadPoolExecutor(8) as pool:
        for y, want in zip(pool.map(lambda x: layer(x)[0], xs), wanted, strict=True):
            assert_close(y, want, 1e-5)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))])
def test_copies_are_independent(kind, duplicate, backend):
    x = np.random.default_rng(16).standard_normal((2, 5, 3)).astype("float32")
    layer = kind(3, 4, 2, dropout=0.5, rng=1)
    layer(x)
    twin = duplicate(layer)
    with pytest.raises(ValueError, match="backward needs a forward in train mode before it"):
        twin.backward()
    y, _ = layer(x)
    np.testing.assert_array_equal(twin(x)[0], y)
    twin.backward(y)
    assert not any(grad.any() for grad in layer.grads.values())
    twin.params["Wx_l0"][...] = 0
    assert layer.params["Wx_l0"].all()


def test_config_makes_the_same_layer(kind, backend):
    layer = kind(3, 4, 2, bidirectional=True, dropout=0.25, dtype=np.float64, rng=1)
    config = json.loads(json.dumps(layer.config()))
    twin = type(layer)(**config, rng=1)
    assert twin.config() == layer.config()
    for key, param in layer.params.items():
        np.testing.assert_array_equal(twin.params[key], param)


def test_numpy_integers_are_sizes():
    assert json.dumps(fastrnn.LSTM(np.int64(3), np.uint8(4)).config())


def test_keys_and_shapes():
    lstm = fastrnn.LSTM(3, 4, 2, bidirectional=True)
    assert {key: param.shape for key, param in lstm.params.items()} == {
        "Wx_l0": (3, 16), "Wh_l0": (4, 16), "b_l0": (16,),
        "Wx_l0_reverse": (3, 16), "Wh_l0_reverse": (4, 16), "b_l0_reverse": (16,),
        "Wx_l1": (8, 16), "Wh_l1": (4, 16), "b_l1": (16,),
        "Wx_l1_reverse": (8, 16), "Wh_l1_reverse": (4, 16), "b_l1_reverse": (16,),
    }  # fmt: skip
    assert lstm.grads.keys() == lstm.params.keys()
    assert list(fastrnn.GRU(3, 4).params) == ["Wx_l0", "Wh_l0", "b_l0", "bh_l0"]
    assert list(fastrnn.GRU(3, 4, reset_after=False).params) == ["Wx_l0", "Wh_l0", "b_l0"]
    assert fastrnn.RNN(3, 4).params["Wx_l0"].shape == (3, 4)


def test_initial_parameters():
    layer = fastrnn.LSTM(400, 100, rng=1)
    assert layer.params["Wx_l0"].std() == pytest.approx(1 / 20, rel=0.02)
    assert layer.params["Wh_l0"].std() == pytest.approx(1 / 10, rel=0.02)
    bias = layer.params["b_l0"]
    assert (bias[100:200] == 1).all() and not bias[:100].any() and not bias[200:].any()
    narrow, wide = (fastrnn.GRU(3, 4, dtype=t, rng=1).params for t in ("f4", "f8"))
    for key, param in wide.items():
        np.testing.assert_array_equal(narrow[key], param.astype("float32"))


def test_rng_is_shared_or_seeded():
    rng = np.random.default_rng(1)
    assert fastrnn.RNN(2, 3, rng=rng).rng is rng
    one, two = fastrnn.RNN(2, 3, rng=5), fastrnn.RNN(2, 3, rng=np.random.default_rng(5))
    np.testing.assert_array_equal(one.params["Wx_l0"], two.params["Wx_l0"])
    other = fastrnn.RNN(2, 3)
    assert not np.array_equal(one.params["Wx_l0"], other.params["Wx_l0"])


def test_reference_layers_run_on_the_reference(monkeypatch):
    with fastrnn.backend(BACKENDS[0]):  # a bound layer does not mind
        layer = reference.LSTM(3, 4, 2, bidirectional=True, dropout=0.1, rng=1)
        y, _ = layer(np.random.default_rng(2).standard_normal((2, 5, 3)).astype("float32"))
        stashes, drops = layer._tape[1:3]
        assert {stash.backend for stash in stashes + drops} == {"reference"}
        layer.backward(y)
        reference.GRU(3, 4).step(np.ones((1, 3), "float32"))
    assert isinstance(layer, fastrnn.LSTM)
    assert pickle.loads(pickle.dumps(layer)).__class__ is reference.LSTM
    assert reference.LSTM.__doc__ == fastrnn.LSTM.__doc__
    assert set(reference.__all__) == {
        name for name in fastrnn.__all__ if isinstance(getattr(reference, name, None), type)
    }


def test_threads_keyword(kind, backend):
    rng = np.random.default_rng(17)
    layer = kind(3, 4, bidirectional=True, dtype=np.float64, rng=1)
    x = rng.standard_normal((5, 6, 3))
    results = []
    for num_threads in (None, 1, 2, 3):
        y, _ = layer(x, num_threads=num_threads)
        results.append((y, layer.backward(np.sin(y), num_threads=num_threads)[0]))
    for y, dx in results[1:]:
        np.testing.assert_array_equal(y, results[0][0])
        np.testing.assert_array_equal(dx, results[0][1])


def test_no_sequences(kind, backend):
    layer = kind(3, 4, 2, bidirectional=True, rng=1)
    state = layer.init_state(0)
    y, last = layer(np.empty((0, 5, 3), np.float32), state, lengths=[])
    assert y.shape == (0, 5, 8)
    dx, _ = layer.backward(y, last)
    assert dx.shape == (0, 5, 3)
    assert not any(grad.any() for grad in layer.grads.values())
