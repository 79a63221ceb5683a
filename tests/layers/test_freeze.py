"""Frozen layers: the same results, parameters that cannot change, steps into given arrays."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.backends import needs_kernels
from support.problems import like, parts

import fastrnn
import fastrnn.reference
from fastrnn.training import SGD


def shaken(layer, seed=1):
    rng = np.random.default_rng(seed)
    for param in layer.params.values():
        param[...] = 0.5 * rng.standard_normal(param.shape)
    return layer


def packed_calls(layer, monkeypatch):
    """Count the calls that a frozen layer answers from packed weights."""
    answered = []
    for name in ("step", "forward"):
        function = getattr(type(layer._packed), name)

        def counted(self, *args, function=function):
            result = function(self, *args)
            answered.append(result is not None)
            return result

        monkeypatch.setattr(type(layer._packed), name, counted)
    return answered


@pytest.mark.parametrize("num_layers, residual", [(1, False), (3, False), (4, True)])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_frozen_forward_is_that_of_the_layer(
    kind, bidirectional, num_layers, residual, dtype, backend
):
    rng = np.random.default_rng(2)
    dropout = 0.3 if num_layers > 1 else 0.0
    options = {"bidirectional": bidirectional, "dropout": dropout, "residual": residual}
    layer = shaken(kind(5, 7, num_layers, dtype=dtype, **options)).eval()
    x, state = rng.standard_normal((4, 6, 5)).astype(dtype), like(layer.init_state(4), rng)
    calls = [
        lambda: layer(x),
        lambda: layer(x, state),
        lambda: layer(x, state, lengths=[6, 0, 3, 1]),
        lambda: layer(x, list(state) if isinstance(state, tuple) else state, num_threads=2),
        lambda: layer(x[:, ::2, ::-1], state),
        lambda: layer(x.astype(x.dtype.newbyteorder()), state),
        lambda: layer(x[:0]),
        lambda: layer(x[:, :0], state),
    ]
    wanted = [call() for call in calls]
    assert not layer.frozen
    assert layer.freeze() is layer and layer.frozen and not layer.training
    np.testing.assert_equal([call() for call in calls], wanted)
    assert layer.unfreeze() is layer and not layer.frozen
    np.testing.assert_equal([call() for call in calls], wanted)


@pytest.mark.parametrize("num_layers, residual", [(2, False), (3, False), (5, True)])
def test_frozen_steps_are_those_of_the_layer(kind, num_layers, residual, dtype, backend):
    rng = np.random.default_rng(3)
    layer = shaken(kind(5, 7, num_layers, residual=residual, dtype=dtype))
    wide, state = rng.standard_normal((4, 6, 5)).astype(dtype), like(layer.init_state(4), rng)
    calls = [
        lambda: layer.step(wide[:, 0].copy()),
        lambda: layer.step(wide[:, 1], state),
        lambda: layer.step(wide[:, 1, ::-1].astype(wide.dtype.newbyteorder()), state),
        lambda: layer.step(wide[:, 1].tolist() if dtype == "float64" else wide[:, 1]),
        lambda: layer.step(wide[:0, 1]),
    ]
    wanted = [call() for call in calls]
    layer.freeze()
    np.testing.assert_equal([call() for call in calls], wanted)


@needs_kernels
@pytest.mark.parametrize("num_layers", [1, 3])
def test_what_needs_conversion_still_runs_on_packed_weights(kind, num_layers, monkeypatch):
    layer = shaken(kind(5, 7, num_layers, residual=num_layers > 2)).freeze()
    if layer._packed is None:
        pytest.skip("the kernels do not have the cell")
    answered = packed_calls(layer, monkeypatch)
    x = np.random.default_rng(4).standard_normal((5, 4, 3)).astype("float32").T
    layer.step(x[:, 0])
    layer(x)
    layer(x, lengths=[1, 2, 3])
    assert answered == [False, True, False, True, True]


@pytest.mark.parametrize("frozen", [False, True])
def test_step_writes_to_out(kind, frozen, dtype, backend):
    rng = np.random.default_rng(5)
    layer = shaken(kind(5, 7, 2, dtype=dtype)).eval()
    xs, state = rng.standard_normal((4, 3, 5)).astype(dtype), like(layer.init_state(3), rng)
    wanted, want = [], state
    for x in xs:
        y, want = layer.step(x, want)
        wanted.append((y, want))
    if frozen:
        layer.freeze()
    kept = [part.copy() for part in parts(state)]
    y = np.empty((3, 7), dtype)
    out = y, copy.deepcopy(state)
    for x, want in zip(xs, wanted, strict=True):
        y_t, state_t = layer.step(x, state, out=out)
        np.testing.assert_equal((y_t, state_t), want)
        assert y_t is y
        for array, given in zip(parts(state_t), parts(out[1]), strict=True):
            assert array is given
        state = state_t  # from here on in place
    assert not np.array_equal(parts(state)[0], kept[0])


@pytest.mark.parametrize("frozen", [False, True])
def test_step_with_x_itself_as_out(kind, frozen, backend):
    layer = shaken(kind(6, 6, 2)).eval()
    y = np.random.default_rng(6).standard_normal((2, 6)).astype("float32")
    state = layer.init_state(2)
    wanted = layer.step(y.copy(), state)
    wanted = layer.step(*wanted)
    if frozen:
        layer.freeze()
    for _ in range(2):
        y, state = layer.step(y, state, out=(y, state))
    np.testing.assert_equal((y, state), wanted)


@pytest.mark.parametrize("frozen", [False, True])
def test_step_into_arrays_that_are_not_contiguous(kind, frozen, backend):
    layer = shaken(kind(5, 7, 2)).eval()
    x = np.random.default_rng(7).standard_normal((3, 5)).astype("float32")
    wanted = layer.step(x)
    if frozen:
        layer.freeze()
    y = np.empty((6, 7), "float32")[::2]
    state = tuple(np.empty((2, 6, 7), "float32")[:, ::2] for _ in parts(wanted[1]))
    out = y, state if isinstance(wanted[1], tuple) else state[0]
    result = layer.step(x, out=out)
    assert result[0] is y
    np.testing.assert_equal(result, wanted)


@pytest.mark.parametrize("frozen", [False, True])
def test_wrong_arguments_of_step(frozen, backend):
    layer = shaken(fastrnn.LSTM(5, 7, 2)).eval()
    if frozen:
        layer.freeze()
    x = np.random.default_rng(8).standard_normal((3, 5)).astype("float32")
    y, (h, c) = layer.step(x)
    kept = [array.copy() for array in (y, h, c)]
    readonly = np.broadcast_to(h[:1, :1], h.shape)
    cases = {
        r"LSTM: x must have shape \(N, 5\), got \(3, 4\)": (x[:, :4], (h, c), (y, (h, c))),
        r"LSTM: h must have shape \(2, 3, 7\), got \(1, 3, 7\)": (x, (h[:1], c), (y, (h, c))),
        r"LSTM: state must be \(h, c\), got ndarray": (x, h, (y, (h, c))),
        r"LSTM: out must be \(y, \(h, c\)\), got array": (x, (h, c), y),
        r"LSTM: out must be \(y, \(h, c\)\), got \(array": (x, (h, c), (y, h)),
        r"LSTM: out y must be a float32 array of shape \(3, 7\), got": (x, None, (h, (h, c))),
        r"LSTM: out c must be a float32 array of shape \(2, 3, 7\)": (x, None, (y, (h, c[:1]))),
        r"LSTM: out h must be writeable": (x, None, (y, (readonly, c))),
    }
    for message, (x, state, out) in cases.items():
        with pytest.raises(ValueError, match=f"^{message}"):
            layer.step(x, state, out=out)
    with pytest.raises(TypeError, match=r"^LSTM: x must be float32, got float64"):
        layer.step(x.astype("float64"), None, out=(y, (h, c)))
    np.testing.assert_equal([y, h, c], kept)
    single = fastrnn.GRU(5, 7)
    with pytest.raises(ValueError, match=r"^GRU: out must be \(y, h\), got \(\)"):
        single.step(x, out=())
    both = fastrnn.LSTM(5, 7, bidirectional=True)
    for layer in (both, both.freeze()):
        with pytest.raises(ValueError, match=r"^LSTM: step needs bidirectional=False, got True"):
            layer.step(x)


def test_frozen_parameters_cannot_change(kind, backend):
    layer = shaken(kind(3, 4)).freeze()
    x = np.random.default_rng(9).standard_normal((2, 5, 3)).astype("float32")
    wanted, _ = layer(x)
    with pytest.raises(ValueError, match="read-only"):
        layer.params["Wx_l0"][...] = 0
    changes = [
        lambda params: params.__setitem__("Wx_l0", np.zeros((3, 4), "float32")),
        lambda params: params.update(b_l0=0),
        lambda params: params.__ior__({}),
        lambda params: params.setdefault("new", 0),
        lambda params: params.pop("b_l0"),
        lambda params: params.popitem(),
        lambda params: params.clear(),
        lambda params: params.__delitem__("b_l0"),
    ]
    for change in changes:
        with pytest.raises(ValueError, match=r"params are frozen, call unfreeze\(\) before"):
            change(layer.params)
    with pytest.raises(ValueError, match="'Wx_l0' must be C-contiguous and writeable"):
        SGD(0.1).update(layer.params, layer.grads)
    with pytest.raises(ValueError, match=r"train needs unfreeze\(\) first, the layer is frozen"):
        layer.train()
    with pytest.raises(ValueError, match="backward needs a forward in train mode before it"):
        layer.backward()
    assert not layer.training
    np.testing.assert_array_equal(layer(x)[0], wanted)


def test_unfreeze_gives_back_an_ordinary_layer(kind, backend):
    layer = shaken(kind(3, 4))
    arrays = dict(layer.params)
    x = np.random.default_rng(10).standard_normal((2, 5, 3)).astype("float32")
    layer(x)
    layer.freeze().freeze()
    assert all(layer.params[key] is array for key, array in arrays.items())
    layer.unfreeze().unfreeze()
    assert not layer.frozen and not layer.training
    assert all(layer.params[key] is array for key, array in arrays.items())
    y, _ = layer.train()(x)
    layer.backward(np.ones_like(y))
    SGD(0.1).update(layer.params, layer.grads)
    assert not np.array_equal(layer.eval()(x)[0], y)
    changed, _ = layer(x)
    np.testing.assert_array_equal(layer.freeze()(x)[0], changed)  # packed anew


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_unpickled_parameters_are_writeable_after_unfreeze(protocol):
    layer = shaken(fastrnn.LSTM(20, 20))
    for key, param in layer.params.items():
        layer.params[key] = pickle.loads(pickle.dumps(param, protocol))
    wanted = shaken(fastrnn.LSTM(20, 20)).params
    np.testing.assert_equal(layer.freeze().unfreeze().params, wanted)
    assert all(param.flags.writeable for param in layer.params.values())


def test_what_was_read_only_before_stays_so():
    layer = shaken(fastrnn.LSTM(3, 4))
    layer.params["Wx_l0"].flags.writeable = False
    layer.freeze().unfreeze()
    writeable = {key: param.flags.writeable for key, param in layer.params.items()}
    assert writeable == {"Wx_l0": False, "Wh_l0": True, "b_l0": True}


def test_an_array_made_writeable_again_is_read_again(kind, backend):
    layer = shaken(kind(3, 4, 2)).freeze()
    x = np.random.default_rng(11).standard_normal((2, 5, 3)).astype("float32")
    for key in ("Wx_l0", "b_l1"):
        layer.params[key].flags.writeable = True
        layer.params[key][...] = 0.25
        twin = kind(3, 4, 2).eval()
        for name, param in layer.params.items():
            twin.params[name][...] = param
        np.testing.assert_equal(layer(x), twin(x))
        np.testing.assert_equal(layer.step(x[:, 0]), twin.step(x[:, 0]))


def test_parameters_of_any_layout_can_be_frozen(kind, backend):
    layer, other = shaken(kind(3, 4)), kind(3, 4)
    for key, param in layer.params.items():
        other.params[key] = np.asfortranarray(param)
    given = other.params["Wx_l0"]
    x = np.random.default_rng(12).standard_normal((2, 5, 3)).astype("float32")
    np.testing.assert_equal(other.freeze()(x), layer.eval()(x))
    assert not given.flags.writeable


def test_a_wrong_parameter_is_not_frozen():
    layer = shaken(fastrnn.GRU(3, 4))
    layer.params["b_l0"] = np.zeros(5, "float32")
    with pytest.raises(ValueError, match=r"^GRU: b_l0 must have shape \(12,\), got \(5,\)"):
        layer.freeze()
    assert not layer.frozen and layer.training
    assert all(param.flags.writeable for param in layer.params.values())


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))])
def test_copies_are_not_frozen(kind, duplicate, backend):
    layer = shaken(kind(3, 4, 2)).freeze()
    x = np.random.default_rng(13).standard_normal((2, 5, 3)).astype("float32")
    wanted, _ = layer(x)
    twin = duplicate(layer)
    assert not twin.frozen and not twin.training
    twin.params.update(twin.params)  # a frozen layer refuses it
    np.testing.assert_array_equal(twin(x)[0], wanted)
    twin.train().params["Wx_l0"][...] = 0
    np.testing.assert_array_equal(layer(x)[0], wanted)
    assert not np.array_equal(twin(x)[0], wanted)
    assert type(duplicate(layer.params)) is dict


def test_a_file_of_a_frozen_layer(kind, tmp_path):
    layer = shaken(kind(3, 4, 2)).freeze()
    x = np.random.default_rng(14).standard_normal((2, 5, 3)).astype("float32")
    fastrnn.save(layer, tmp_path / "layer.safetensors")
    loaded = fastrnn.load(tmp_path / "layer.safetensors")
    assert not loaded.frozen and loaded.training
    np.testing.assert_array_equal(loaded.freeze()(x)[0], layer(x)[0])


@needs_kernels
def test_the_backend_of_the_context_is_used(kind, monkeypatch):
    layer = shaken(kind(3, 4, 2)).freeze()
    if layer._packed is None:
        pytest.skip("the kernels do not have the cell")
    answered = packed_calls(layer, monkeypatch)
    x = np.random.default_rng(15).standard_normal((2, 5, 3)).astype("float32")
    with fastrnn.backend("reference"):
        wanted, stepped = layer(x), layer.step(x[:, 0])
        reference = shaken(kind(3, 4, 2)).freeze()
        assert reference.frozen and reference._packed is None
    assert not any(answered)
    twin = shaken(kind(3, 4, 2)).eval()
    with fastrnn.backend("reference"):
        np.testing.assert_equal((wanted, stepped), (twin(x), twin.step(x[:, 0])))
    np.testing.assert_equal(reference(x), twin(x))


def test_a_layer_of_the_reference_packs_nothing():
    layer = fastrnn.reference.LSTM(3, 4).freeze()
    assert layer.frozen and layer._packed is None and not layer.params["Wx_l0"].flags.writeable


def test_many_threads(kind):
    layer = shaken(kind(3, 8, 2)).freeze()
    rng = np.random.default_rng(16)
    xs = [rng.standard_normal((n, 6, 3)).astype("float32") for n in range(1, 25)]
    twin = shaken(kind(3, 8, 2)).eval()
    wanted = [(twin(x), twin.step(x[:, 0])) for x in xs]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda x: (layer(x), layer.step(x[:, 0])), xs))
    np.testing.assert_equal(results, wanted)
