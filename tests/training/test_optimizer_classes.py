from __future__ import annotations

import pickle
from copy import copy, deepcopy

import numpy as np
import pytest

import fastrnn
from fastrnn.training import SGD, AdaGrad, Adam, AdamW, Momentum, RMSprop

ALL = [SGD, Momentum, AdaGrad, RMSprop, Adam, AdamW]


def sgd(p, g, s, t):
    p -= 0.05 * g


def momentum(p, g, s, t):
    s["v"] = 0.8 * s["v"] - 0.05 * g
    p += s["v"]


def adagrad(p, g, s, t):
    s["s"] = s["s"] + g**2
    p -= 0.05 * g / (np.sqrt(s["s"]) + 1e-3)


def rmsprop(p, g, s, t):
    s["s"] = 0.7 * s["s"] + 0.3 * g**2
    p -= 0.05 * g / (np.sqrt(s["s"]) + 1e-3)


def adam(p, g, s, t, decay=0.0):
    s["m"] = 0.7 * s["m"] + 0.3 * g
    s["s"] = 0.6 * s["s"] + 0.4 * g**2
    step = (s["m"] / (1 - 0.7**t)) / (np.sqrt(s["s"] / (1 - 0.6**t)) + 1e-3)
    p -= 0.05 * (step + decay * p)


def adamw(p, g, s, t):
    adam(p, g, s, t, decay=0.3)


BETAS = {"beta1": 0.7, "beta2": 0.6, "eps": 1e-3}
FORMULAS = [
    (SGD(0.05), sgd),
    (Momentum(0.05, momentum=0.8), momentum),
    (AdaGrad(0.05, eps=1e-3), adagrad),
    (RMSprop(0.05, rho=0.7, eps=1e-3), rmsprop),
    (Adam(0.05, **BETAS), adam),
    (AdamW(0.05, **BETAS, weight_decay=0.3), adamw),
]


def random_params(rng, dtype=np.float64):
    return {
        "W": rng.standard_normal((3, 4)).astype(dtype),
        "b": rng.standard_normal(5).astype(dtype),
    }


def name_of(value):
    return getattr(value, "__name__", type(value).__name__)


@pytest.mark.parametrize(("optimizer", "formula"), FORMULAS, ids=name_of)
def test_formulas(optimizer, formula, rng):
    optimizer = deepcopy(optimizer)
    params = random_params(rng)
    expected = {key: param.copy() for key, param in params.items()}
    state = {key: dict.fromkeys("vsm", 0.0) for key in params}
    for t in range(1, 6):
        grads = random_params(rng)
        optimizer.update(params, grads)
        for key, param in expected.items():
            formula(param, grads[key], state[key], t)
            np.testing.assert_allclose(params[key], param, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", ALL)
def test_in_place_and_in_the_same_dtype(make, dtype, rng):
    params = random_params(rng, dtype)
    arrays = dict(params)
    before = {key: param.copy() for key, param in params.items()}
    optimizer = make()
    optimizer.update(params, random_params(rng, dtype))
    assert all(params[key] is array and array.dtype == dtype for key, array in arrays.items())
    assert all((params[key] != before[key]).all() for key in params)
    assert all(a.dtype == dtype for key, a in optimizer.state().items() if key != "step")


@pytest.mark.parametrize("make", ALL)
def test_state_carries_on(make, rng):
    params, one = random_params(rng), make(0.1)
    for _ in range(3):
        one.update(params, random_params(rng))
    copies = {key: param.copy() for key, param in params.items()}
    other = make(0.1)
    other.load_state(one.state())
    grads = random_params(rng)
    one.update(params, grads)
    other.update(copies, grads)
    assert one.state().keys() == other.state().keys()
    for key in params:
        np.testing.assert_array_equal(params[key], copies[key])
    for key, array in one.state().items():
        np.testing.assert_array_equal(array, other.state()[key])


def test_state_of_a_fresh_optimizer(rng):
    params = random_params(rng)
    optimizer = Adam()
    optimizer.update(params, random_params(rng))
    optimizer.load_state(Adam().state())
    assert optimizer.state() == {"step": 0}


def test_state_names(rng):
    optimizer = Adam()
    optimizer.update(random_params(rng), random_params(rng))
    assert set(optimizer.state()) == {"step", "mean.W", "mean.b", "square.W", "square.b"}


def test_lr_may_be_set(rng):
    params, grads, optimizer = random_params(rng), random_params(rng), SGD(0.1)
    expected = params["W"] - 0.25 * grads["W"]
    optimizer.lr = 0.25
    optimizer.update(params, grads)
    np.testing.assert_allclose(params["W"], expected, rtol=1e-14)


def unchanged_after(optimizer, params, grads, message, error=ValueError):
    before = {key: param.copy() for key, param in params.items()}
    state = {key: array.copy() for key, array in optimizer.state().items()}
    with pytest.raises(error, match=message):
        optimizer.update(params, grads)
    for key, param in params.items():
        np.testing.assert_array_equal(param, before[key])
    assert state.keys() == optimizer.state().keys()
    assert optimizer.state()["step"] == state["step"]


def test_bad_update(rng):
    params, grads, optimizer = random_params(rng), random_params(rng), Adam()
    unchanged_after(optimizer, params, {"W": grads["W"]}, "^Adam: .* differ: b$")
    wrong = {**grads, "b": grads["b"][:4]}
    unchanged_after(
        optimizer, params, wrong, r"^Adam: gradient of 'b' must have shape \(5,\), got \(4,\)$"
    )
    wrong = {**grads, "b": grads["b"].astype(np.float32)}
    message = "^Adam: gradient of 'b' must be float64, got float32$"
    unchanged_after(optimizer, params, wrong, message, TypeError)
    optimizer.update(params, grads)
    loaded = deepcopy(optimizer)
    other = {**random_params(rng), "b": rng.standard_normal(6)}
    unchanged_after(loaded, other, other, r"^Adam: state of 'b' must have shape \(6,\)")
    params["b"].flags.writeable = False
    unchanged_after(optimizer, params, grads, "^Adam: parameter 'b' must be C-contiguous and writ")


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (np.asfortranarray, ValueError, "must be C-contiguous and writeable to be updated"),
        (
            lambda a: a.astype(">f8"),
            ValueError,
            "must be in native byte order to be updated in place",
        ),
        (lambda a: a.astype("f2"), TypeError, "must be float32 or float64, got float16"),
        (lambda a: a.tolist(), TypeError, "must be an array to be updated in place, got list"),
    ],
)
def test_bad_second_parameter_leaves_the_first(make, spoil, error, message, rng):
    params = {"b": rng.standard_normal(5), "W": rng.standard_normal((3, 4))}
    grads = {key: rng.standard_normal(param.shape) for key, param in params.items()}
    before, spoiled = params["b"].copy(), {**params, "W": spoil(params["W"])}
    optimizer = make()
    with pytest.raises(error, match=f"^{make.__name__}: parameter 'W' {message}"):
        optimizer.update(spoiled, grads)
    np.testing.assert_array_equal(params["b"], before)
    assert optimizer.state() == {"step": 0}


def test_lr_that_is_no_rate():
    optimizer = Adam(0.1)
    with pytest.raises(TypeError, match=r"^Adam: lr must be a number, got 'a'$"):
        optimizer.lr = "a"
    with pytest.raises(ValueError, match=r"^Adam: lr must be at least 0, got -1$"):
        optimizer.lr = -1
    assert optimizer.lr == 0.1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD("a"), "SGD: lr must be a number, got 'a'"),
        (lambda: SGD("0.1"), "SGD: lr must be a number, got '0.1'"),
        (lambda: Momentum(momentum=None), "Momentum: momentum must be a number, got None"),
        (lambda: AdamW(weight_decay=[]), r"AdamW: weight_decay must be a number, got \[\]"),
    ],
)
def test_options_that_are_no_numbers(make, message):
    with pytest.raises(TypeError, match=f"^{message}$"):
        make()


def test_state_of_another_optimizer(rng):
    momentum = Momentum()
    momentum.update(random_params(rng), random_params(rng))
    adam = Adam()
    with pytest.raises(ValueError, match=r"^Adam: the state has step, velocity, want mean, square"):
        adam.load_state(momentum.state())
    with pytest.raises(ValueError, match=r"^Adam: the state has nothing, want mean, square, step"):
        adam.load_state({})
    assert adam.state() == {"step": 0}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(-1), "SGD: lr must be at least 0, got -1"),
        (lambda: SGD(float("nan")), "SGD: lr must be at least 0, got nan"),
        (lambda: Momentum(momentum=1.0), r"Momentum: momentum must be in \[0, 1\), got 1.0"),
        (lambda: AdaGrad(eps=0), "AdaGrad: eps must be positive, got 0"),
        (lambda: RMSprop(rho=-0.1), r"RMSprop: rho must be in \[0, 1\), got -0.1"),
        (lambda: RMSprop(eps=-1), "RMSprop: eps must be positive, got -1"),
        (lambda: Adam(beta2=1), r"Adam: beta2 must be in \[0, 1\), got 1"),
        (lambda: Adam(eps=0), "Adam: eps must be positive, got 0"),
        (lambda: AdamW(weight_decay=-1), "AdamW: weight_decay must be at least 0, got -1"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        make()


def test_config_is_what_the_constructor_takes():
    for cls, config in (
        (SGD, {}),
        (Momentum, {"momentum": 0.8}),
        (AdaGrad, {"eps": 1e-3}),
        (RMSprop, {"rho": 0.5, "eps": 1e-3}),
        (Adam, {"beta1": 0.1, "beta2": 0.2, "eps": 0.3}),
        (AdamW, {"beta1": 0.1, "beta2": 0.2, "eps": 0.3, "weight_decay": 0.4}),
    ):
        assert cls(0.1, **config).config() == config


def least_squares(layer, target, x):
    """A step of a linear layer towards a target; returns the loss before it."""
    error = layer(x) - target
    layer.backward(2 * error / error.size)
    return float(np.mean(error**2))


def linear(seed=0, sizes=(4, 3)):
    return fastrnn.Linear(*sizes, dtype=np.float64, rng=seed)


@pytest.mark.parametrize("make", ALL)
def test_one_optimizer_for_two_layers_is_one_for_each(make, rng):
    x, y = rng.standard_normal((2, 20, 4)), rng.standard_normal((20, 3))
    alone, together = ([linear(1), linear(2)] for _ in range(2))
    own, shared = [make(), make()], make()
    for k in range(8):
        for i, layer in enumerate(alone[: 1 + (k > 1)]):  # the second one begins later
            least_squares(layer, y, x[i])
            own[i].update(layer.params, layer.grads)
        for i, layer in enumerate(together[: 1 + (k > 1)]):
            least_squares(layer, y, x[i])
            shared.update(layer.params, layer.grads)
    for one, other, optimizer in zip(alone, together, own, strict=True):
        for key, param in one.params.items():
            np.testing.assert_array_equal(other.params[key], param)
        mine, theirs = shared.state(other.params), optimizer.state()
        if make is not SGD:
            assert mine.keys() == theirs.keys()
            for key, array in theirs.items():
                np.testing.assert_array_equal(mine[key], array)


@pytest.mark.parametrize("make", ALL)
def test_two_layers_of_the_issue(make, rng):
    """A stack of two layers with one optimizer learns as with one set of names."""
    x = rng.standard_normal((50, 4))
    y = np.tanh(x @ rng.standard_normal((4, 3)))
    losses = []
    for named in (False, True):
        layers, optimizer = [linear(1, (4, 5)), linear(2, (5, 3))], make()
        for _ in range(50):
            hidden = layers[0](x)
            error = layers[1](hidden) - y
            layers[0].backward(layers[1].backward(2 * error / error.size))
            if named:
                params = {f"{i}.{k}": p for i, n in enumerate(layers) for k, p in n.params.items()}
                grads = {f"{i}.{k}": g for i, n in enumerate(layers) for k, g in n.grads.items()}
                optimizer.update(params, grads)
                continue
            for layer in layers:
                optimizer.update(layer.params, layer.grads)
        losses.append(np.mean(error**2))
    assert losses[0] == losses[1]


def test_a_parameter_is_its_memory_not_its_name_or_view(rng):
    flat, other = rng.standard_normal(17), Adam()
    whole, optimizer = flat.copy(), Adam()
    for k in range(4):
        grad = rng.standard_normal(17)
        views = {"W": flat[:12].reshape(3, 4), "b": flat[12:]}
        grads = {"W": grad[:12].reshape(3, 4), "b": grad[12:]}
        if k > 1:
            views, grads = ({f"layer.{key}": a for key, a in m.items()} for m in (views, grads))
        optimizer.update(views, grads)
        other.update({"all": whole}, {"all": grad})
    np.testing.assert_array_equal(flat, whole)
    assert "mean.layer.W" in optimizer.state() and "mean.W" not in optimizer.state()


@pytest.mark.parametrize("make", ALL)
def test_an_array_in_the_place_of_one_that_is_gone(make, rng):
    layer, x, y = linear(), rng.standard_normal((20, 4)), rng.standard_normal((20, 3))
    optimizer = make()
    least_squares(layer, y, x)
    optimizer.update(layer.params, layer.grads)
    whole, own = deepcopy((layer, optimizer))
    layer.params["W"] = layer.params["W"].copy()
    for each in (layer, whole):
        least_squares(each, y, x)
    own.update(whole.params, whole.grads)
    if make is not SGD:  # which keeps nothing of a parameter
        message = f"^{make.__name__}: parameter 'W' is not the array of earlier updates, which no"
        unchanged_after(optimizer, layer.params, layer.grads, message)
        optimizer.load_state(optimizer.state())  # as the message says
    optimizer.update(layer.params, layer.grads)
    for key, param in whole.params.items():
        np.testing.assert_array_equal(layer.params[key], param)


def test_one_array_under_two_names(rng):
    one, grads = rng.standard_normal(3), {"a": np.ones(3), "b": np.ones(3)}
    message = "^Adam: parameters 'a' and 'b' are one array$"
    unchanged_after(Adam(), {"a": one, "b": one}, grads, message)
    params = {"a": one, "b": one.copy()}
    optimizer = Adam()
    optimizer.update(params, grads)
    unchanged_after(optimizer, {"a": one, "b": one[:]}, grads, message)
    optimizer.update(params, grads)


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("copied", [deepcopy, copy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_go_on_by_name_and_share_nothing(make, copied, rng):
    params, optimizer = random_params(rng), make()
    for _ in range(3):
        optimizer.update(params, random_params(rng))
    other, twin = copied(optimizer), {key: param.copy() for key, param in params.items()}
    for _ in range(2):
        grads = random_params(rng)
        optimizer.update(params, grads)
        other.update(twin, grads)
    for key, param in params.items():
        np.testing.assert_array_equal(twin[key], param)
    assert other.step == optimizer.step == 5
    assert (other.lr, other.config()) == (optimizer.lr, optimizer.config())


def test_what_a_state_cannot_tell_apart(rng):
    one, other, optimizer = random_params(rng), random_params(rng), Momentum()
    optimizer.update(one, one)
    optimizer.update(other, other)
    message = r"^Momentum: several parameters are called 'W', .*; state\(params\) is that of some$"
    for call in (optimizer.state, lambda: deepcopy(optimizer), lambda: pickle.dumps(optimizer)):
        with pytest.raises(ValueError, match=message):
            call()
    assert optimizer.state(one)["velocity.W"] is not optimizer.state(other)["velocity.W"]


def test_a_state_with_other_names_than_the_parameters(rng):
    params, optimizer = random_params(rng), Adam()
    optimizer.update(params, params)
    other = Adam()
    other.load_state(optimizer.state())
    renamed = {f"layer.{key}": param for key, param in params.items()}
    message = r"^Adam: the loaded state has no parameter 'layer.W', but W, b$"
    unchanged_after(other, renamed, renamed, message)
    other.update(params, params)
    other.update({"new": np.ones(3)}, {"new": np.ones(3)})  # what was loaded has its parameters


def test_counts_of_their_own_go_through_a_state(rng):
    params, optimizer = random_params(rng), Adam()
    optimizer.update({"W": params["W"]}, {"W": params["W"]})
    optimizer.update(params, params)
    state = optimizer.state()
    assert (state["step"], state["step.b"]) == (2, 1)
    other, twin = Adam(), {key: param.copy() for key, param in params.items()}
    other.load_state(state)
    grads = random_params(rng)
    optimizer.update(params, grads)
    other.update(twin, grads)
    for key, param in params.items():
        np.testing.assert_array_equal(twin[key], param)
    del state["square.b"]
    with pytest.raises(ValueError, match=r"^Adam: the state has no square of 'b'$"):
        other.load_state(state)


def test_the_count_of_steps_cannot_be_written():
    with pytest.raises(AttributeError):
        Adam().step = 3


def test_the_rate_of_a_schedule_is_not_the_one_that_was_set():
    optimizer = SGD(0.4)
    optimizer.schedule_lr(0.2)
    assert (optimizer.lr, optimizer.initial_lr) == (0.2, 0.4)
    optimizer.lr = 0.2
    assert (optimizer.lr, optimizer.initial_lr) == (0.2, 0.2)
    with pytest.raises(ValueError, match=r"^SGD: lr must be at least 0, got nan$"):
        optimizer.lr = float("nan")
    assert (optimizer.lr, optimizer.initial_lr) == (0.2, 0.2)


def test_options_that_are_set_later_are_checked(rng):
    optimizer, W = Adam(0.1), rng.standard_normal(3)
    with pytest.raises(ValueError, match=r"^Adam: beta1 must be in \[0, 1\), got 2.0$"):
        optimizer.beta1 = 2.0
    with pytest.raises(TypeError, match=r"^Adam: eps must be a number, got 'small'$"):
        optimizer.eps = "small"
    assert optimizer.config() == Adam(0.1).config()
    optimizer.beta1 = np.float32(0.5)
    other, twin = Adam(0.1, beta1=0.5), W.copy()
    optimizer.update({"W": W}, {"W": np.ones(3)})
    other.update({"W": twin}, {"W": np.ones(3)})
    np.testing.assert_array_equal(W, twin)
