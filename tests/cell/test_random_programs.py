"""Random programs of every word against NumPy, forward, and finite differences, backward.

``FASTRNN_PROGRAMS=2000 pytest tests/cell/test_random_programs.py`` tries as many.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.numeric import assert_close
from support.programs import program_problem, random_cell

from fastrnn import _reference
from fastrnn.cell import from_dict, to_dict

COUNT = int(os.environ.get("FASTRNN_PROGRAMS", "100"))
N, D, H = 3, 2, 4

programs = given(st.integers(0, 2**32), st.integers(0, 20))
often = settings(deadline=None, max_examples=COUNT)


def random_problem(seed, operations):
    """A random cell, and a problem of one step for it."""
    rng = np.random.default_rng(seed)
    random = random_cell(rng, operations)
    return random, program_problem(random.define(), rng, N=N, T=1, D=D, H=H)


def computed(random, problem):
    """The new states by NumPy alone."""
    cell, weights, x = problem.cell, problem.weights, problem.x[:, 0]
    inputs = dict(weights)
    inputs |= {name: problem.states[f"{name}0"] for name in "hc"}
    inputs |= dict.fromkeys(("x_f", "h_f", "x_n", "h_n"), np.zeros((N, H)))
    ax = x @ weights["Wx"] + weights["b"]
    ah = inputs["h"] @ weights["Wh"]
    inputs |= split("x_", cell.x_gates, ax) | split("h_", cell.h_gates, ah)
    inputs["keeps"] = Keeps(cell, problem.masks)
    return random.compute(Inputs(inputs))


def split(prefix, gates, sums):
    return {
        prefix + gate: part
        for gate, part in zip(gates, np.split(sums, len(gates), axis=1), strict=True)
    }


class Inputs(dict):
    """What a cell does not use in the end may have any value: its matrices are not there."""

    def __getitem__(self, name):
        value = self.get(name)
        return np.zeros((H, H)) if value is None else value


class Keeps(dict):
    """The masks of the keeps by their probabilities."""

    def __init__(self, cell, masks):
        super().__init__((p, masks[0, k, :, 0]) for k, p in enumerate(cell.keeps))

    def __missing__(self, p):
        return np.zeros((N, H))


@programs
@often
def test_forward_is_that_of_numpy(seed, operations):
    random, problem = random_problem(seed, operations)
    _, states, _ = problem.forward(_reference)
    wanted = computed(random, problem)
    for name, state in zip(problem.cell.states, states, strict=True):
        assert_close(state, wanted[name], 1e-11, name)


@programs
@often
def test_backward_is_that_of_finite_differences(seed, operations):
    _, problem = random_problem(seed, operations)
    gradients = problem.backward(_reference, problem.forward(_reference)[2])
    rng = np.random.default_rng(seed)
    for name, array in problem.arguments.items():
        direction = rng.standard_normal(array.shape)
        wanted = derivative(problem, array, direction)
        if wanted is not None:
            came = np.sum(direction * gradients[name])
            scale = np.sqrt(np.sum(direction**2) * np.sum(gradients[name] ** 2))
            assert abs(came - wanted) <= 1e-7 * max(scale, 1), name


def derivative(problem, array, direction, step=1e-5):
    """The derivative of the objective in a direction; None where there is a kink nearby."""
    kept = array.copy()
    values = {}
    for k in range(-2, 3):
        array[...] = kept + k * step * direction
        y, states, _ = problem.forward(_reference)
        values[k] = problem.objective(y, states)
    array[...] = kept
    # A kink between two of the five points shows in the second differences.
    second = [values[k - 1] - 2 * values[k] + values[k + 1] for k in (-1, 0, 1)]
    if np.ptp(second) > 1e-9 * max(1, abs(values[0])):
        return None
    inner, outer = values[1] - values[-1], values[2] - values[-2]
    return (8 * inner - outer) / (12 * step)


@programs
@settings(deadline=None, max_examples=50)
def test_a_program_is_the_same_after_a_file(seed, operations):
    _, problem = random_problem(seed, operations)
    assert from_dict(to_dict(problem.cell)).program == problem.cell.program


def test_derivatives_see_kinks():
    _, problem = random_problem(3, 5)
    problem.objective = lambda y, states: float(np.abs(problem.x).sum())
    problem.x[...] = 1e-7
    assert derivative(problem, problem.x, np.ones_like(problem.x)) is None
    problem.x[...] = 1
    direction = np.ones_like(problem.x)
    assert derivative(problem, problem.x, direction) == pytest.approx(problem.x.size)
