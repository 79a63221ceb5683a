from __future__ import annotations

import json
import math

import pytest

from fastrnn.training import (
    ConstantLR,
    ConstantSampling,
    CosineLR,
    ExponentialLR,
    InverseSigmoidSampling,
    LinearSampling,
    ReduceLROnPlateau,
    StepLR,
)


@pytest.mark.parametrize("epoch", [0, 0.4, 1, 2.9, 3, 7.5, 10, 11.3])
def test_formulas(epoch):
    whole = int(epoch)
    assert ConstantLR().factor(epoch) == 1
    assert StepLR(3, 0.2).factor(epoch) == pytest.approx(0.2 ** (whole // 3))
    assert ExponentialLR(0.9).factor(epoch) == pytest.approx(0.9**whole)
    half_turn = (1 + math.cos(math.pi * min(epoch, 10) / 10)) / 2
    assert CosineLR(10).factor(epoch) == pytest.approx(half_turn)
    assert CosineLR(10, min_factor=0.2).factor(epoch) == pytest.approx(0.2 + 0.8 * half_turn)


def factors(schedule, values):
    result = []
    for value in values:
        schedule.observe(value)
        result.append(schedule.factor(len(result) + 1))
    return result


def test_plateau():
    schedule = ReduceLROnPlateau(0.5, patience=1, min_factor=0.2)
    assert schedule.factor(0) == 1
    values = [3.0, 2.0, 2.0, 2.5, 1.0, 1.5, math.nan, 1.5, 1.5, 0.5, 1.0, 1.0]
    expected = [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2, 0.2]
    assert factors(schedule, values) == expected


def test_plateau_state_goes_through_json():
    values = [3.0, 2.5, 2.6, 2.7, 2.4, 2.5, 2.6, 2.7, 2.8]
    for stop in range(len(values)):
        whole, first, second = (ReduceLROnPlateau(0.5, 1) for _ in range(3))
        factors(whole, values[:stop])
        factors(first, values[:stop])
        second.load_state(json.loads(json.dumps(first.state())))
        assert factors(second, values[stop:]) == factors(whole, values[stop:])


def test_others_have_no_state():
    schedule = CosineLR(3)
    schedule.observe(1.0)
    schedule.load_state(schedule.state())
    assert schedule.state() == {}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StepLR(0), "StepLR: step_size must be at least 1, got 0"),
        (lambda: StepLR(1, 0), "StepLR: gamma must be positive, got 0"),
        (lambda: ExponentialLR(-1), "ExponentialLR: gamma must be positive, got -1"),
        (lambda: CosineLR(0), "CosineLR: epochs must be at least 1, got 0"),
        (lambda: CosineLR(2, min_factor=2), r"CosineLR: min_factor must be in \[0, 1\], got 2"),
        (lambda: ReduceLROnPlateau(1.0), r"ReduceLROnPlateau: factor must be in \(0, 1\), got 1.0"),
        (lambda: ReduceLROnPlateau(patience=-1), "ReduceLROnPlateau: patience must be at least 0"),
        (lambda: ReduceLROnPlateau(min_factor=-1), "ReduceLROnPlateau: min_factor must be in"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


@pytest.mark.parametrize(
    ("cls", "config"),
    [
        (ConstantLR, {}),
        (StepLR, {"step_size": 3, "gamma": 0.2}),
        (ExponentialLR, {"gamma": 0.9}),
        (CosineLR, {"epochs": 4, "min_factor": 0.1}),
        (ReduceLROnPlateau, {"factor": 0.3, "patience": 1, "min_factor": 0.1}),
        (ConstantSampling, {"rate": 0.2}),
        (LinearSampling, {"epochs": 3, "first": 0.1, "last": 0.4}),
        (InverseSigmoidSampling, {"half": 2.0, "k": 30.0}),
    ],
)
def test_config_is_what_the_constructor_takes(cls, config):
    assert cls(**config).config() == config
