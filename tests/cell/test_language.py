"""The language: built-in cells written in it, what it says about mistakes, and its programs."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
from support.numeric import assert_close, random_drop, random_lengths
from support.problems import recurrent_problem

from fastrnn import _reference, cell
from fastrnn._cells import CELLS
from fastrnn._program import Node


@cell.define(gates="n")
def rnn(a, s, w):
    return {"h": cell.tanh(a.n)}


@cell.define(gates="n")
def rnn_relu(a, s, w):
    return {"h": cell.relu(a.n)}


@cell.define(gates="i f g o", states="h c")
def lstm(a, s, w):
    c = cell.sigmoid(a.f) * s.c + cell.sigmoid(a.i) * cell.tanh(a.g)
    return {"h": cell.sigmoid(a.o) * cell.tanh(c), "c": c}


@cell.define(gates="r z n", weights="bh")
def gru_after(a, s, w):
    z = cell.sigmoid(a.z)
    n = cell.tanh(a.x.n + cell.sigmoid(a.r) * (a.h.n + w.bh))
    return {"h": (1 - z) * n + z * s.h}


@cell.define(gates="r z n")
def gru_before(a, s, w):
    z = cell.sigmoid(a.z)
    n = cell.tanh(a.x.n + cell.matmul(cell.sigmoid(a.r) * s.h, "Un"))
    return {"h": (1 - z) * n + z * s.h}


WRITTEN = {
    "rnn_tanh": rnn,
    "rnn_relu": rnn_relu,
    "lstm": lstm,
    "gru_after": gru_after,
    "gru_before": gru_before,
}


# In gru_before s.h is the state before dropout; GRU multiplies r with the state after it.
@pytest.mark.parametrize(
    ("variant", "dropping"),
    [
        (v, dropping)
        for v in WRITTEN
        for dropping in (False, True)
        if (v, dropping) != ("gru_before", 1)
    ],
)
def test_the_built_in_cells_written_in_it_are_the_same(variant, dropping):
    rng = np.random.default_rng(0)
    problem, defined = recurrent_problem(variant, rng), WRITTEN[variant]
    weights = dict(problem.weights)
    if variant == "gru_before":  # the columns of n are a matrix of their own
        Wh = weights["Wh"]
        weights |= {"Wh": Wh[:, :4].copy(), "Un": Wh[:, 4:].copy()}
    assert {name: array.shape for name, array in weights.items()} == defined.shapes(3, 2)
    ours = replace(problem, cell=defined, weights=weights, options={})
    options = {"lengths": random_lengths(rng, 4, 5), "reverse": True}
    if dropping:
        options["drop_h"] = random_drop(rng, (4, 2))
    results = []
    for each in (problem, ours):
        y, states, stash = each.forward(_reference, **options)
        gradients = each.backward(_reference, stash)
        if "Un" in gradients:
            gradients["Wh"] = np.concatenate((gradients["Wh"], gradients.pop("Un")), axis=1)
        results.append({"y": y, "states": np.array(states), **gradients})
    for name, wanted in results[0].items():
        assert_close(results[1][name], wanted, 1e-12, name)


def defined(function, gates="n", **options):
    """Define a cell of a lambda."""
    function.__name__ = "toy"
    return cell.define(gates=gates, **options)(function)


def plain(a, s, w):
    return {"h": cell.tanh(a.n)}


def branch(a, s, w):
    return {"h": cell.tanh(a.n) if s.h > 0 else a.n}


def deep(a, s, w):
    values = [cell.tanh(a.n + k) for k in range(70)]
    total = values[0]
    for value in values[1:]:
        total = total * value
    return {"h": total}


OTHERS = []
MISTAKES = {
    "if": (branch, {}, TypeError, "what a value is, is not known where the cell is defined: use"),
    "==": (lambda a, s, w: {"h": a.n * (s.h == 0)}, {}, TypeError, "what a value is, is not known"),
    "and": (lambda a, s, w: {"h": a.n and s.h}, {}, TypeError, "what a value is, is not known"),
    "for": (lambda a, s, w: {"h": next(iter(a.n))}, {}, TypeError, "what a value is, is not"),
    "float": (lambda a, s, w: {"h": a.n * float(s.h)}, {}, TypeError, "what a value is, is not"),
    "gate": (
        lambda a, s, w: {"h": a.q},
        {"gates": "i n"},
        AttributeError,
        "there is no gate 'q', known: i, n",
    ),
    "gate_x": (lambda a, s, w: {"h": a.x.q}, {}, AttributeError, "there is no gate 'q', known: n"),
    "state": (lambda a, s, w: {"h": a.n * s.c}, {}, AttributeError, "there is no state 'c', known"),
    "weight": (
        lambda a, s, w: {"h": a.n * w.p},
        {},
        AttributeError,
        "there is no weight 'p', known: none",
    ),
    "unused": (plain, {"gates": "i n"}, ValueError, "the gate 'i' is never used"),
    "unused_weight": (plain, {"weights": "p"}, ValueError, "the weight 'p' is never used"),
    "no_x": (lambda a, s, w: {"h": a.h.n}, {}, ValueError, "no gate has a sum with x"),
    "missing": (plain, {"states": "h c"}, ValueError, "the function returns no c"),
    "too_many": (
        lambda a, s, w: {"h": a.n, "c": a.n},
        {},
        ValueError,
        "the function returns 'c', which is no state",
    ),
    "first": (plain, {"states": "c h"}, ValueError, "the first state must be 'h', got c, h"),
    "none": (plain, {"states": ""}, ValueError, "the first state must be 'h', got none"),
    "twice": (plain, {"gates": "n n"}, ValueError, "the gate 'n' stands twice"),
    "taken": (plain, {"weights": "Wx"}, ValueError, "a weight cannot be called 'Wx', which is"),
    "taken_gate": (plain, {"weights": "n"}, ValueError, "a weight cannot be called 'n', which is"),
    "taken_x": (plain, {"gates": "n x"}, ValueError, "a gate cannot be called 'x', which is taken"),
    "matrix": (
        lambda a, s, w: {"h": cell.matmul(a.n, "b")},
        {},
        ValueError,
        "a weight cannot be called 'b', which is taken",
    ),
    "matrices": (
        lambda a, s, w: {"h": cell.matmul(a.n, "U") + cell.matmul(s.h, "U")},
        {},
        ValueError,
        "the weight 'U' stands twice",
    ),
    "matrix_vector": (
        lambda a, s, w: {"h": cell.matmul(w.p * a.n, "p")},
        {"weights": "p"},
        ValueError,
        "the weight 'p' stands twice",
    ),
    "matrix_name": (
        lambda a, s, w: {"h": cell.matmul(a.n, "U n")},
        {},
        ValueError,
        "the name of a weight must be an ASCII identifier of at most 64 letters, got 'U n'",
    ),
    "states": (
        plain,
        {"states": [f"h{i}" for i in range(9)]},
        ValueError,
        "there must be at most 8 states, got 9",
    ),
    "name": (plain, {"gates": ["n", "1"]}, ValueError, "the name of a gate must be an ASCII"),
    "names": (plain, {"gates": 3}, TypeError, "gates must be a string of names or a sequence of"),
    "open": (plain, {"open_gates": "f"}, ValueError, "open_gates names 'f', which is no gate"),
    "open_h": (
        lambda a, s, w: {"h": a.h.m + a.n},
        {"gates": "m n", "open_gates": "m"},
        ValueError,
        "open_gates names 'm', which is no gate with a bias",
    ),
    "initial": (plain, {"initial": {"p": 1}}, ValueError, "initial names 'p', which is no weight"),
    "initial_number": (plain, {"initial": {"p": "1"}}, TypeError, "p must be a number, got str"),
    "title": (plain, {"title": ""}, ValueError, "title must have 1 to 64 printable letters, got"),
    "title_kind": (plain, {"title": 3}, TypeError, "title must be a string, got int"),
    "initial_kind": (plain, {"initial": 3}, TypeError, "initial must be a mapping, got int"),
    "deep": (deep, {}, ValueError, "141 values are needed at once, at most 64 may be"),
    "tuple": (
        lambda a, s, w: (a.n,),
        {},
        TypeError,
        "the function must return a dict of the new states (h), got tuple",
    ),
    "numbers": (
        lambda a, s, w: {"h": 1.0},
        {},
        TypeError,
        "the function must return a dict of the new states (h), got a dict of float",
    ),
    "other": (lambda a, s, w: {"h": a.n + OTHERS[0]}, {}, ValueError, "a value of another cell"),
    "array": (
        lambda a, s, w: {"h": a.n * np.ones(3)},
        {},
        TypeError,
        "a constant must be a value of the cell or a number, got ndarray",
    ),
    "infinite": (
        lambda a, s, w: {"h": a.n * float("inf")},
        {},
        ValueError,
        "a constant must be finite, got inf",
    ),
    "folded": (lambda a, s, w: {"h": a.n + cell.log(0)}, {}, ValueError, "log(0) is not a finite"),
    "power": (lambda a, s, w: {"h": a.n**0.5}, {}, TypeError, "a power must be an integer from 1"),
    "product": (
        lambda a, s, w: {"h": cell.matmul(a.n, 3)},
        {},
        TypeError,
        "the name of weights must be a string, got int",
    ),
    "keep": (
        lambda a, s, w: {"h": cell.keep(a.n, 1.5)},
        {},
        ValueError,
        "p must be in [0, 1], got",
    ),
    "eps": (
        lambda a, s, w: {"h": cell.layer_norm(a.n, eps=0)},
        {},
        ValueError,
        "eps must be above 0, got 0",
    ),
    "projections": (
        lambda a, s, w: {"h": cell.project(a.n, "P1") + cell.project(-a.n, "P2")},
        {},
        ValueError,
        "project has one use, that of 'P1'",
    ),
    "widths": (
        lambda a, s, w: {"h": cell.project(a.n, "Wp") + a.n},
        {},
        ValueError,
        "h is projected to P units, add cannot join it with H units",
    ),
    "narrow_c": (
        lambda a, s, w: {"h": cell.project(a.n, "Wp"), "c": s.h},
        {"states": "h c"},
        ValueError,
        "a state other than h must have H units, got P",
    ),
    "matmul_h": (
        lambda a, s, w: {"h": cell.project(a.n + cell.matmul(s.h, "U"), "Wp")},
        {},
        ValueError,
        "matmul needs values of H units, P, as h is projected, came",
    ),
    "matmul_1": (
        lambda a, s, w: {"h": a.n + cell.matmul(1.0, "U")},
        {},
        ValueError,
        "matmul needs values of H units, one number came",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_clear_line(mistake):
    function, options, error, text = MISTAKES[mistake]
    OTHERS[:] = []
    defined(lambda a, s, w: {"h": OTHERS.append(a.n) or a.n})
    with pytest.raises(error) as caught:
        defined(function, **options)
    message = str(caught.value)
    assert message.startswith(f"toy: {text}") and "\n" not in message


def test_words_belong_into_a_definition():
    with pytest.raises(RuntimeError, match=r"^cell\.tanh: call it in a function under cell\.defin"):
        cell.tanh(1.0)
    with pytest.raises(ZeroDivisionError):
        defined(lambda a, s, w: {"h": a.n / (1 / 0)})
    with pytest.raises(RuntimeError, match=r"^cell\.tanh"):  # also after a function has failed
        cell.tanh(1.0)


def test_only_a_function_is_defined():
    with pytest.raises(TypeError, match=r"^cell\.define: what follows must be a function, got"):
        cell.define(gates="n")(3)


def test_numpy_functions_are_refused():
    with pytest.raises(TypeError):
        defined(lambda a, s, w: {"h": np.tanh(a.n)})


def test_what_a_definition_is():
    @cell.define(
        gates=["f", "n"],
        states=("h", "c"),
        weights="p q",
        open_gates="f",
        initial={"p": 2},
        title="Toy",
    )
    def toy(a, s, w):
        c = cell.sigmoid(a.f) * s.c + a.x.n * w.p
        return {"c": c, "h": cell.matmul(c, "U") + w.q}

    assert (toy.name, toy.title, toy.gates, toy.states) == ("toy", "Toy", ("f", "n"), ("h", "c"))
    assert (toy.x_gates, toy.h_gates) == (("f", "n"), ("f",))
    assert toy.weights == ("Wx", "Wh", "b", "p", "q", "U")
    shapes = [(3, 8), (4, 4), (8,), (4,), (4,), (4, 4)]
    assert list(toy.shapes(3, 4).values()) == shapes
    assert toy.initial == {"p": 2.0} and toy.open_gates == ("f",)
    assert copy.deepcopy(toy) is toy
    again = pickle.loads(pickle.dumps(toy))
    assert again.program == toy.program and again.weights == toy.weights
    assert pickle.loads(pickle.dumps(CELLS["gru"])) is CELLS["gru"]


def operations(function, **options):
    return [node.op for node in defined(function, **options).program.nodes]


def test_operations_are_shared_and_simplified():
    assert operations(lambda a, s, w: {"h": cell.tanh(a.n) * cell.tanh(a.n)}) == [
        "sum",
        "tanh",
        "mul",
    ]
    assert operations(lambda a, s, w: {"h": (a.n * 1 + 0) / 1 - 0}) == ["sum"]
    assert operations(lambda a, s, w: {"h": -(0 - a.n)}) == ["sum"]
    assert operations(lambda a, s, w: {"h": s.h + a.n * -1}) == ["state", "sum", "sub"]
    assert operations(lambda a, s, w: {"h": a.n + (cell.sqrt(4) * 2 - 4)}) == ["sum"]
    assert operations(lambda a, s, w: {"h": a.n * 0}) == ["sum", "const", "mul"]  # NaN stays
    assert operations(lambda a, s, w: {"h": cell.keep(a.n, 1)}) == ["sum"]
    both = operations(lambda a, s, w: {"h": a.n * a.x.n})
    assert both == ["sum_x", "sum_h", "add", "mul"]


def test_the_backward_of_an_lstm_is_what_one_writes_by_hand():
    program = lstm.program
    counts = {op: sum(node.op == op for node in program.backward) for op in ("mul", "sub", "add")}
    # dh*tanh_c, dh*o, tanh_c**2, their product; dc*g, dc*i, dc*c, dc*f; g**2; three times two for
    # sigmoids and one for tanh; 1 - v for i, f, o, g**2, tanh_c**2; dc + dh*o*(1 - tanh_c**2)
    assert counts == {"mul": 16, "sub": 5, "add": 1}
    assert program.gradients[-2][:2] == ("state", "h")
    index = program.gradients[-2][2] - len(program.nodes)
    assert program.backward[index] == Node("const")


def test_the_backward_of_layer_norm_is_what_one_writes_by_hand():
    function = lambda a, s, w: {"h": cell.layer_norm(a.n)}  # noqa: E731
    program = defined(function).program
    assert [node.op for node in program.nodes] == ["sum", "mean", "sub", "rstd", "mul"]
    ops = ["grad", "mul", "mean", "mul", "mean", "sub", "sub", "mul", "const"]
    assert [node.op for node in program.backward] == ops
    used = {arg for node in program.backward for arg in node.args if arg < 5}
    assert used == {3, 4}  # of the forward it needs the result and one number a row
