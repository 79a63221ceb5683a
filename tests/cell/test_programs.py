"""What every program promises to the backends."""

from __future__ import annotations

import numpy as np
import pytest
from support.programs import LIBRARY, random_cell

from fastrnn._program import ARGUMENTS, INPUTS
from fastrnn.cell.liveness import LIMIT, live_values

CELLS = LIBRARY | {
    f"random {seed}": random_cell(np.random.default_rng(seed), 20).define() for seed in range(20)
}
every_cell = pytest.mark.parametrize("name", CELLS)


@every_cell
def test_nodes_are_in_order_used_and_different(name):
    program = CELLS[name].program
    nodes = (*program.nodes, *program.backward)
    roots = {*program.outputs, *(node for *_, node in program.gradients)}
    used = roots.union(*(node.args for node in nodes))
    forward = len(program.nodes)
    assert used == set(range(len(nodes)))
    assert {arg for node in program.nodes for arg in node.args} | set(program.outputs) == set(
        range(forward)
    )
    assert len(set(nodes)) == len(nodes)
    for index, node in enumerate(nodes):
        assert len(node.args) == ARGUMENTS[node.op]
        assert all(arg < index for arg in node.args)
        assert node.op not in ("grad", "matmul_t") if index < forward else node.op not in INPUTS[:5]
    assert live_values(program) <= LIMIT


@every_cell
def test_each_input_has_one_gradient(name):
    cell = CELLS[name]
    program = cell.program
    kinds = {(node.op, node.name) for node in program.nodes if node.op.startswith("sum")}
    wanted = [*kinds, *(("state", state) for state in cell.states)]
    wanted += [("vector", vector) for vector in program.vectors]
    matrices = [*program.matrices, *([program.projection] if program.projection else [])]
    wanted += [("matrix", matrix) for matrix in matrices]
    assert sorted(key for *key, _ in map(list, program.gradients)) == sorted(map(list, wanted))


@every_cell
def test_a_gate_is_joined_or_split(name):
    program = CELLS[name].program
    joined, split = program.gates_of("sum"), program.gates_of("sum_x", "sum_h")
    assert not joined & split and joined | split == set(CELLS[name].gates)


@every_cell
def test_masks_and_products_are_numbered_and_named_once(name):
    program = CELLS[name].program
    keeps = [node.name for node in program.nodes if node.op == "keep"]
    assert keeps == [str(k) for k in range(len(program.keeps))]
    backward = [node.name for node in program.backward if node.op == "keep"]
    assert set(backward) <= set(keeps)
    products = [node.name for node in program.nodes if node.op == "matmul"]
    assert sorted(products) == sorted((*program.matrices, *filter(None, [program.projection])))
