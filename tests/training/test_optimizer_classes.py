from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest

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
    other = {**random_params(rng), "b": rng.standard_normal(6)}
    unchanged_after(optimizer, other, other, r"^Adam: state of 'b' must have shape \(6,\)")
    params["b"].flags.writeable = False
    unchanged_after(optimizer, params, grads, "^Adam: parameter 'b' must be C-contiguous and writ")


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (np.asfortranarray, ValueError, "must be C-contiguous and writeable to be updated"),
        (lambda a: a.astype(">f8"), ValueError, "must be C-contiguous and writeable"),
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
