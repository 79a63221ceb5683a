"""Programs as data: round trips, and what a file may not ask for.

``FASTRNN_MUTATIONS=100000 pytest tests/cell/test_files.py`` tries as many damaged programs.
"""

from __future__ import annotations

import copy
import json
import os

import numpy as np
import pytest
from support.mutations import mutated
from support.numeric import assert_close, numeric_gradient
from support.programs import LIBRARY, program_problem, random_cell

from fastrnn import _reference, cell
from fastrnn._cells import CELLS, Cell
from fastrnn.cell import from_dict, to_dict

COUNT = int(os.environ.get("FASTRNN_MUTATIONS", "500"))
SEEDS = [to_dict(each) for each in LIBRARY.values()]
SEEDS += [
    to_dict(random_cell(np.random.default_rng(seed), 20).define()) for seed in range(len(SEEDS))
]


@pytest.mark.parametrize("name", LIBRARY)
def test_a_cell_is_the_same_after_json(name):
    original = LIBRARY[name]
    again = from_dict(json.loads(json.dumps(to_dict(original))))
    for entry in ("name", "title", "gates", "states", "open_gates", "initial", "program"):
        assert getattr(again, entry) == getattr(original, entry), entry
    assert again.weights == original.weights


def test_only_defined_cells_are_data():
    for value in (CELLS["lstm"], "lstm", None):
        with pytest.raises(TypeError, match=r"^cell\.to_dict: cell must be one that cell\.define"):
            to_dict(value)


def damaged(change):
    data = copy.deepcopy(to_dict(LIBRARY["PeepholeLSTM"]))
    change(data)
    return data


def node(index, **entries):
    return lambda data: data["nodes"][index].update(entries)


def product(data):
    data["nodes"].append({"op": "matmul", "args": [22], "name": "Wx"})
    data["outputs"][0] = len(data["nodes"]) - 1


DAMAGE = {
    "key": (lambda d: d.pop("title"), "a cell is a dict with the keys version, name, title, gates"),
    "surplus": (lambda d: d.update(code="x"), "a cell is a dict with the keys version, name"),
    "version": (lambda d: d.update(version=2), "version must be 1, got 2"),
    "initial": (lambda d: d.update(initial=[]), "initial must be a dict"),
    "initial_nan": (lambda d: d.update(initial={"p_i": float("nan")}), "initial must be finite"),
    "title": (lambda d: d.update(title="x\n"), "peephole_lstm: title must have 1 to 64 printable"),
    "gates": (lambda d: d.update(gates="ifgo"), "gates must be a list, got str"),
    "gate": (lambda d: d["gates"].append(3), "gates must be a string, got int"),
    "many": (
        lambda d: d.update(gates=[f"g{k}" for k in range(65)]),
        "peephole_lstm: there must be at most 64 gates, got 65",
    ),
    "states": (lambda d: d.update(states=["c", "h"]), "peephole_lstm: the first state must be 'h'"),
    "nodes": (
        lambda d: d["nodes"].extend([d["nodes"][0]] * 1000),
        "there must be at most 1000 nod",
    ),
    "not_a_node": (lambda d: d["nodes"].append(7), "node 23 must be a dict with the keys op, args"),
    "op": (node(5, op="system"), "node 5: there is no operation 'system'"),
    "op_list": (node(5, op=["add"]), "node 5: op must be a string, got list"),
    "backward_op": (node(5, op="grad"), "node 5: there is no operation 'grad'"),
    "later": (node(5, args=[5]), "node 5: args must be numbers of earlier nodes, got 5"),
    "negative": (node(5, args=[-1]), "node 5: args must be numbers of earlier nodes, got -1"),
    "float": (node(5, args=[1.0]), "node 5: args must be numbers of earlier nodes, got 1.0"),
    "bool": (node(5, args=[True]), "node 5: args must be numbers of earlier nodes, got True"),
    "arity": (node(5, args=[1, 2]), "node 5: sigmoid takes 1 args, got 2"),
    "name": (node(5, name="f"), "node 5: sigmoid cannot have the name 'f'"),
    "gate_name": (node(0, name="q"), "node 0: sum cannot have the name 'q'"),
    "state_name": (node(2, name="i"), "node 2: state cannot have the name 'i'"),
    "number": (node(5, number=1), "node 5: sigmoid cannot have the number 1"),
    "huge": (node(5, number=10**400), "node 5: number must be finite"),
    "text": (node(5, number="1"), "node 5: number must be a number, got str"),
    "eps": (lambda d: d["nodes"].append({"op": "rstd", "args": [3]}), "node 23: rstd cannot have"),
    "p": (
        lambda d: d["nodes"].append({"op": "keep", "args": [3], "name": "0", "number": 2}),
        "node 23: keep cannot have the number 2",
    ),
    "mask": (
        lambda d: d["nodes"].append({"op": "keep", "args": [3], "name": "1", "number": 0.5}),
        "node 23: keep cannot have the name '1'",
    ),
    "matrix": (product, "peephole_lstm: a weight cannot be called 'Wx', which is taken"),
    "outputs": (lambda d: d["outputs"].append(3), "there must be 2 outputs, got 3"),
    "output": (
        lambda d: d.update(outputs=[23, 0]),
        "outputs must be numbers of earlier nodes, got",
    ),
    "projection": (
        lambda d: d.update(projection="Wp"),
        "projection must be the name of a product's weights",
    ),
    "projection_list": (
        lambda d: d.update(projection=["Wp"]),
        "projection must be the name of a product's weights",
    ),
    "folded": (
        lambda d: d["nodes"].extend([{"op": "const"}, {"op": "log", "args": [23]}]),
        "log(0) is not a finite number",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_one_clear_line(damage):
    change, text = DAMAGE[damage]
    with pytest.raises(ValueError) as caught:
        from_dict(damaged(change))
    message = str(caught.value)
    assert message.startswith(f"cell.from_dict: {text}"), message
    assert "\n" not in message and len(message) < 700


def test_what_is_no_dict_is_refused():
    for value in ([], None, "x", 3):
        with pytest.raises(ValueError, match=r"^cell\.from_dict: a cell is a dict with the keys"):
            from_dict(value)


LEAVES = (-1, 0, 1, 5, 10**400, 0.5, 1e308, float("nan"), float("inf"), None, True, "", "h", "Wx")
LEAVES += ("0", "sum", "matmul", "keep", "rstd", "const", [], {}, [0, 0], "\ud800", "x" * 100)


def changed(data, rng):
    """The data with one to three values replaced, removed or repeated."""
    data = copy.deepcopy(data)
    for _ in range(rng.integers(1, 4)):
        place, parent = data, None
        while isinstance(place, (dict, list)) and place and (parent is None or rng.random() < 0.8):
            keys = list(place) if isinstance(place, dict) else range(len(place))
            parent, key = place, keys[rng.integers(len(keys))]
            place = parent[key]
        if parent is None:
            continue
        kind = rng.integers(4)
        if kind == 0:
            del parent[key]
        elif kind == 1 and isinstance(parent, list):
            parent.insert(key, copy.deepcopy(parent[rng.integers(len(parent))]))
        elif kind == 2 and type(place) is int:
            parent[key] = int(rng.integers(-2, 40))
        else:
            parent[key] = copy.deepcopy(LEAVES[rng.integers(len(LEAVES))])
    return data


def hostile(seed, rng):
    """A damaged program, by its text or by its values; None if it is no JSON any more."""
    if rng.random() < 0.6:
        return changed(seed, rng)
    text = mutated(json.dumps(seed).encode(), [json.dumps(SEEDS[0]).encode()], rng)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_no_damaged_program_harms():
    rng = np.random.default_rng(int(os.environ.get("FASTRNN_SEED", "0")))
    read = 0
    for count in range(COUNT):
        data = hostile(SEEDS[count % len(SEEDS)], rng)
        try:
            loaded = from_dict(data)
        except ValueError as error:
            assert "\n" not in str(error) and len(str(error)) < 700
            continue
        read += 1
        assert isinstance(loaded, Cell)
        problem = program_problem(loaded, rng, N=2, T=2, D=2, H=3)
        problem.backward(_reference, problem.forward(_reference)[2])
    assert read > COUNT / 100  # some damage makes another program, which runs


def test_a_file_may_use_the_deviation_apart():
    """The language has it in `layer_norm` only, whose gradient is another rule."""
    nodes = [
        {"op": "sum", "name": "n"},
        {"op": "tanh", "args": [0]},
        {"op": "rstd", "args": [1], "number": 0.1},
        {"op": "mul", "args": [0, 2]},
    ]
    data = damaged(lambda d: None) | {"vectors": [], "gates": ["n"], "states": ["h"]}
    data |= {"open_gates": [], "initial": {}, "nodes": nodes, "outputs": [3]}
    problem = program_problem(from_dict(data), np.random.default_rng(0))

    def objective():
        y, states, _ = problem.forward(_reference)
        return problem.objective(y, states)

    gradients = problem.backward(_reference, problem.forward(_reference)[2])
    for name, array in problem.arguments.items():
        assert_close(gradients[name], numeric_gradient(objective, array), 1e-7, name)


def test_the_most_nodes_take_a_moment():
    nodes = [{"op": "sum", "name": "n"}]
    nodes += [{"op": "mul", "args": [k, k]} for k in range(998)]
    data = damaged(lambda d: None) | {"vectors": [], "gates": ["n"], "states": ["h"]}
    data |= {"open_gates": [], "nodes": nodes, "outputs": [998]}
    assert len(from_dict(data).program.nodes) == 999
    nodes[1:] = [{"op": "tanh", "args": [0]}, {"op": "tanh", "args": [1]}] * 499
    assert len(from_dict(data | {"outputs": [2]}).program.nodes) == 3
    assert cell.from_dict is from_dict
