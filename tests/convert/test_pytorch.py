"""PyTorch to fastrnn to PyTorch: the same outputs at every stop."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.numeric import assert_close
from support.unchanged import unchanged

import fastrnn as fr
from fastrnn import reference
from fastrnn.convert import from_torch, load_state_dict, state_dict, to_torch

torch = pytest.importorskip("torch")
from fastrnn.torch import accelerate  # noqa: E402  needs PyTorch

nn = torch.nn

RTOL = {"float32": 2e-5, "float64": 1e-12}
DTYPES = st.sampled_from(sorted(RTOL))
SIZES = st.integers(1, 9)


def run(module, x, states):
    """Run a module on (N, T, D) and states (L, N, H), whatever its batch_first."""
    state = tuple(map(torch.tensor, states))
    x = torch.tensor(x) if module.batch_first else torch.tensor(x).transpose(0, 1)
    with torch.no_grad():
        y, final = module(x, state if isinstance(module, nn.LSTM) else state[0])
    y = y if module.batch_first else y.transpose(0, 1)
    final = final if isinstance(final, tuple) else (final,)
    return [array.numpy() for array in (y, *final)]


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["RNN", "LSTM", "GRU"]),
    options=st.fixed_dictionaries(
        {
            "num_layers": st.integers(1, 3),
            "bidirectional": st.booleans(),
            "bias": st.booleans(),
            "batch_first": st.booleans(),
        }
    ),
    nonlinearity=st.sampled_from(["tanh", "relu"]),
    D=SIZES,
    H=SIZES,
    dtype=DTYPES,
    seed=st.integers(0, 1000),
)
def test_recurrent_round_trip(kind, options, nonlinearity, D, H, dtype, seed):
    if kind == "RNN":
        options = {**options, "nonlinearity": nonlinearity}
    torch.manual_seed(seed)
    theirs = getattr(nn, kind)(D, H, **options, dtype=getattr(torch, dtype))
    rng = np.random.default_rng(seed)
    L = options["num_layers"] * (1 + options["bidirectional"])
    x = rng.standard_normal((3, 4, D)).astype(dtype)
    states = [rng.standard_normal((L, 3, H)).astype(dtype) for _ in range(1 + (kind == "LSTM"))]
    wanted = run(theirs, x, states)

    layer = from_torch(theirs)
    assert type(layer) is getattr(fr, kind)
    y, final = layer(x, tuple(states) if kind == "LSTM" else states[0])
    back = to_torch(layer)
    assert type(back) is type(theirs)
    for ours in ([y, *(final if kind == "LSTM" else [final])], run(back, x, states)):
        for array, like in zip(ours, wanted, strict=True):
            assert array.dtype == dtype
            assert_close(array, like, RTOL[dtype])


@settings(max_examples=30, deadline=None)
@given(
    kind=st.sampled_from(["RNN", "LSTM", "GRU"]),
    nonlinearity=st.sampled_from(["tanh", "relu"]),
    bias=st.booleans(),
    D=SIZES,
    H=SIZES,
    dtype=DTYPES,
    seed=st.integers(0, 1000),
)
def test_cell_round_trip(kind, nonlinearity, bias, D, H, dtype, seed):
    options = {"nonlinearity": nonlinearity} if kind == "RNN" else {}
    torch.manual_seed(seed)
    theirs = getattr(nn, f"{kind}Cell")(D, H, bias, **options, dtype=getattr(torch, dtype))
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((3, D)).astype(dtype)
    states = [rng.standard_normal((3, H)).astype(dtype) for _ in range(1 + (kind == "LSTM"))]

    def step(cell):
        given = tuple(map(torch.tensor, states))
        with torch.no_grad():
            new = cell(torch.tensor(x), given if kind == "LSTM" else given[0])
        return [tensor.numpy() for tensor in (new if kind == "LSTM" else (new,))]

    layer = from_torch(theirs)
    stacked = tuple(state[None] for state in states)
    _, new = layer.step(x, stacked if kind == "LSTM" else stacked[0])
    back = to_torch(layer, cell=True)
    assert type(back) is type(theirs)
    for ours in ([state[0] for state in (new if kind == "LSTM" else (new,))], step(back)):
        for array, like in zip(ours, step(theirs), strict=True):
            assert_close(array, like, RTOL[dtype])


@pytest.mark.parametrize("bias", [True, False])
def test_linear_round_trip(bias, dtype):
    theirs = nn.Linear(3, 4, bias, dtype=getattr(torch, dtype))
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(dtype)
    wanted = theirs(torch.tensor(x)).detach().numpy()
    layer = from_torch(theirs)
    assert layer.bias is bias
    assert_close(layer(x), wanted, RTOL[dtype])
    back = to_torch(layer)
    assert (back.bias is not None) is bias
    assert torch.equal(back.weight, theirs.weight)


@pytest.mark.parametrize("padding_idx", [None, 0, -1])
def test_embedding_round_trip(padding_idx, dtype):
    theirs = nn.Embedding(6, 3, padding_idx, sparse=True, dtype=getattr(torch, dtype))
    ids = np.array([[0, 5, 2], [1, 1, 4]])
    wanted = theirs(torch.tensor(ids)).detach().numpy()
    layer = from_torch(theirs)
    np.testing.assert_array_equal(layer(ids), wanted)
    np.testing.assert_array_equal(to_torch(layer)(torch.tensor(ids)).detach().numpy(), wanted)


def test_dropout_of_one_layer_was_warned_of_by_pytorch():
    with pytest.warns(UserWarning, match="dropout"):
        module = nn.LSTM(3, 4, dropout=0.25)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fr.convert.from_torch(module).dropout == 0.25


def test_options_go_along():
    module = nn.LSTM(3, 4, 2, dropout=0.25, bidirectional=True).eval()
    layer = from_torch(module)
    assert (layer.dropout, layer.bidirectional, layer.training) == (0.25, True, False)
    back = to_torch(layer)
    assert (back.dropout, back.bidirectional, back.training) == (0.25, True, False)
    assert back.batch_first
    assert from_torch(module.train()).training and to_torch(layer.train()).training
    assert from_torch(nn.RNN(3, 4, nonlinearity="relu")).nonlinearity == "relu"
    assert to_torch(fr.RNN(3, 4, nonlinearity="relu")).nonlinearity == "relu"


def test_both_own_their_memory():
    module = nn.GRU(3, 4)
    layer = from_torch(module)
    weights = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    for param in layer.params.values():
        param += 1
    back = to_torch(layer)
    with unchanged(layer), torch.no_grad():
        for parameter in back.parameters():
            assert parameter.requires_grad
            parameter += 1
    assert all(torch.equal(tensor, weights[key]) for key, tensor in module.state_dict().items())


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    for layer in (fr.LSTM(3, 4, 2), fr.Embedding(3, 4), fr.Linear(3, 4)):
        to_torch(layer)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_converted_module_trains():
    module = to_torch(fr.LSTM(3, 4, 2, bidirectional=True))
    y, _ = module(torch.ones(2, 5, 3))
    y.sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_a_projection(layers, bidirectional, dtype):
    torch.manual_seed(0)
    options = {"num_layers": layers, "bidirectional": bidirectional, "batch_first": True}
    module = nn.LSTM(3, 5, proj_size=2, dtype=getattr(torch, dtype), **options)
    layer = from_torch(module)
    assert type(layer) is fr.LSTMP and layer.proj_size == 2
    x = torch.randn(4, 6, 3, dtype=getattr(torch, dtype), requires_grad=True)
    y, (h, c) = module(x)
    y.square().sum().backward()
    ours, state = layer(x.detach().numpy())
    dx, _ = layer.backward(2 * ours)
    atol = 1e-5 if dtype == "float32" else 1e-12
    for came, wanted in zip([ours, *state, dx], [y, h, c, x.grad], strict=True):
        np.testing.assert_allclose(came, wanted.detach().numpy(), rtol=0, atol=atol)
    for key, array in state_dict(layer).items():
        wanted = module.state_dict()[key].numpy()
        if not key.startswith("bias"):
            np.testing.assert_array_equal(array, wanted)
    back = to_torch(layer)
    assert type(back) is nn.LSTM and back.proj_size == 2
    np.testing.assert_allclose(back(x)[0].detach().numpy(), ours, rtol=0, atol=atol)
    other = fr.LSTMP(3, 5, layers, proj_size=2, bidirectional=bidirectional, dtype=dtype)
    load_state_dict(other, state_dict(layer))
    np.testing.assert_array_equal(other(x.detach().numpy())[0], ours)


def test_a_cell_with_a_projection_is_refused():
    with pytest.raises(ValueError, match=r"^LSTMP: cell must be False, as PyTorch's cells have"):
        to_torch(fr.LSTMP(3, 4, proj_size=2), cell=True)


def test_tensors_in_a_mapping():
    module, layer = nn.LSTM(3, 4), fr.LSTM(3, 4)
    load_state_dict(layer, module.state_dict())
    np.testing.assert_array_equal(layer.params["Wx_l0"].T, module.weight_ih_l0.detach().numpy())
    for wrong in (module.half().state_dict(), module.bfloat16().state_dict()):
        with (
            unchanged(layer),
            pytest.raises(TypeError, match=r"^LSTM: weight_ih_l0 must be [^\n]+"),
        ):
            load_state_dict(layer, wrong)
    with unchanged(layer), pytest.raises(TypeError, match=r"must be a NumPy array: .*detach"):
        load_state_dict(layer, dict(module.float().named_parameters()))


@pytest.mark.parametrize(
    ("module", "error", "message"),
    [
        (
            nn.Embedding(3, 4, max_norm=1.0),
            ValueError,
            "from_torch: max_norm must be None, got 1.0",
        ),
        (
            nn.Embedding(3, 4, scale_grad_by_freq=True),
            ValueError,
            "from_torch: scale_grad_by_freq must be False, got True",
        ),
        (nn.GRU(3, 4, 2, dropout=1.0), ValueError, "GRU: dropout must be in [0, 1), got 1.0"),
        (nn.LSTM(3, 4).half(), TypeError, "LSTM: dtype must be float32 or float64, got 'float16'"),
        (
            nn.Linear(3, 4).bfloat16(),
            TypeError,
            "Linear: dtype must be float32 or float64, got 'bfloat16'",
        ),
        (
            nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)),
            ValueError,
            "from_torch: the Linear must have no parametrizations: use "
            "torch.nn.utils.parametrize.remove_parametrizations first",
        ),
    ],
)
def test_modules_that_do_not_fit(module, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        from_torch(module)


BASES = [nn.RNN, nn.LSTM, nn.GRU, nn.RNNCell, nn.LSTMCell, nn.GRUCell, nn.Embedding, nn.Linear]


@pytest.mark.parametrize("base", BASES)
def test_a_subclass_may_compute_anything(base):
    own = type("Own", (base,), {"forward": lambda self, *args: None})
    message = (
        f"from_torch: module must be an nn.{base.__name__}, got a subclass, Own: if it computes "
        f"what nn.{base.__name__} does, load its state_dict() into one"
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        from_torch(own(3, 4))


def test_an_accelerated_module_is_known():
    module = nn.LSTM(3, 4)
    x = torch.randn(2, 5, 3)
    wanted = from_torch(module)(x.numpy())[0]
    assert accelerate(module).replaced
    np.testing.assert_array_equal(from_torch(module)(x.numpy())[0], wanted)


def _hook(*args):
    return None


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(
    "change",
    [
        lambda module: module.register_forward_hook(_hook),
        lambda module: module.register_forward_pre_hook(_hook),
        lambda module: setattr(module, "forward", _hook),
    ],
)
def test_hooks_would_be_lost(base, change):
    module = base(3, 4)
    change(module)
    with pytest.raises(ValueError, match=r"^from_torch: the \w+ must have no hooks and no own"):
        from_torch(module)


def test_a_layer_of_an_own_class_is_not_written_as_a_plain_one():
    class Doubled(fr.LSTM):
        def forward(self, *args, **options):
            y, state = super().forward(*args, **options)
            return 2 * y, state

    message = "the layer must be a plain LSTM, got a subclass with its own forward"
    with pytest.raises(TypeError, match=f"^to_torch: {message}"):
        to_torch(Doubled(3, 4))
    patched = fr.Linear(3, 4)
    patched.forward = patched.__call__ = lambda x: x
    with pytest.raises(TypeError, match=r"^to_torch: the layer must be a plain Linear, got "):
        to_torch(patched)
    assert type(to_torch(reference.LSTM(3, 4))) is nn.LSTM


@pytest.mark.parametrize("wrong", [nn.Conv1d(3, 4, 1), nn.Sequential(nn.LSTM(3, 4)), {}, None])
def test_other_modules(wrong):
    name = type(wrong).__name__
    with pytest.raises(
        TypeError, match=rf"^from_torch: module must be one of nn\.RNN.*got {name}$"
    ):
        from_torch(wrong)


def test_layers_without_a_module():
    with pytest.raises(TypeError, match=r"^to_torch: layer must be one of .*, got Attention$"):
        to_torch(fr.Attention())
    with pytest.raises(ValueError, match=r"^GRU: reset_after must be True"):
        to_torch(fr.GRU(3, 4, reset_after=False))
    wanted = r"^LSTM: residual must be False, as PyTorch's always is, got True$"
    with pytest.raises(ValueError, match=wanted):
        to_torch(fr.LSTM(3, 4, 3, residual=True))
    dropping = fr.GRU(3, 4, recurrent_dropout=0.2)
    wanted = r"^to_torch: recurrent_dropout must be 0, as PyTorch has none, got 0.2 in train mode$"
    with pytest.raises(ValueError, match=wanted):
        to_torch(dropping)
    assert not to_torch(dropping.eval()).training
    with pytest.raises(ValueError, match=r"^to_torch: cell=True needs a recurrent .*got Linear$"):
        to_torch(fr.Linear(3, 4), cell=True)
    with pytest.raises(ValueError, match=r"^GRU: cell=True needs num_layers=1"):
        to_torch(fr.GRU(3, 4, bidirectional=True), cell=True)
