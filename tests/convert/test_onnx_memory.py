"""What a file asks for when it runs: refused before it is allocated."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper

from fastrnn.convert import from_onnx, onnx_backend

LIMIT = 2**20
HUGE = 2**40
COLUMN, ROW = np.zeros((40_000, 1), np.float32), np.zeros((1, 40_000), np.float32)


def ints(*values):
    return np.array(values, np.int64)


def model(nodes, inputs=(), constants=()):
    """A model of some nodes, whose last one makes the output."""
    infos = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(a.dtype), [None] * a.ndim
        )
        for name, a in dict(inputs).items()
    ]
    arrays = [numpy_helper.from_array(a, name) for name, a in dict(constants).items()]
    output = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, [])
    graph = helper.make_graph(nodes, "graph", infos, [output], arrays)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def run(proto, inputs=(), max_bytes=LIMIT):
    return onnx_backend.prepare(proto, max_bytes=max_bytes).run(dict(inputs))


def node(op, *inputs, output="y", **attributes):
    return helper.make_node(op, list(inputs), [output], **attributes)


LONG = {"x": np.zeros((40_000, 3), np.float32)}
ENLARGING = {
    "Add": (node("Add", "a", "b"), {"a": COLUMN, "b": ROW}, 40_000**2 * 4),
    "Cast": (node("Cast", "x", to=TensorProto.DOUBLE), LONG, 40_000 * 3 * 8),
    "Concat": (node("Concat", *["x"] * 100, axis=0), LONG, 100 * 40_000 * 3 * 4),
    "ConstantOfShape": (node("ConstantOfShape", "s"), {"s": ints(HUGE, HUGE)}, HUGE**2 * 4),
    "Expand": (node("Expand", "x", "s"), {**LONG, "s": ints(HUGE, 1, 1)}, HUGE * 40_000 * 3 * 4),
    "Gather": (node("Gather", "x", "i"), {**LONG, "i": np.zeros(10**6, int)}, 10**6 * 3 * 4),
    "Gemm": (node("Gemm", "a", "b"), {"a": COLUMN, "b": ROW}, 40_000**2 * 4),
    "Gemm of c": (
        node("Gemm", "a", "a", "c", transA=1),
        {"a": COLUMN, "c": ROW.T.copy()},
        40_000 * 4,
    ),
    "MatMul": (node("MatMul", "a", "b"), {"a": COLUMN, "b": ROW}, 40_000**2 * 4),
    "MatMul of a batch": (
        node("MatMul", "a", "b"),
        {"a": np.zeros((1000, 1, 1, 1)), "b": np.zeros((1000, 1, 1))},
        1000**2 * 8,
    ),
}


@pytest.mark.parametrize("name", ENLARGING)
def test_an_operator_that_can_enlarge(name):
    made, inputs, wanted = ENLARGING[name]
    limit = min(LIMIT, wanted - 1)
    prepared = onnx_backend.prepare(model([made], inputs), max_bytes=limit)
    tracemalloc.start()
    try:
        message = rf"^model: {name.split()[0]} \(of 'y'\): needs \d+ bytes in use, max_bytes is"
        with pytest.raises(ValueError, match=message):
            prepared.run(dict(inputs))
        assert tracemalloc.get_traced_memory()[1] < 2**18
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("op", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("shape", [(10**6, 1, 3), (1, 10**6, 3), (10**12, 0, 3), (0, 10**12, 3)])
def test_recurrent_operators(op, shape):
    gates = {"RNN": 1, "LSTM": 4, "GRU": 3}[op]
    weights = {"W": np.zeros((1, gates * 50, 3), np.float32)}
    weights["R"] = np.zeros((1, gates * 50, 50), np.float32)
    x = np.broadcast_to(np.float32(0), shape)
    prepared = onnx_backend.prepare(
        model([node(op, "X", "W", "R")], {"X": x}, weights), max_bytes=2 * LIMIT
    )
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"^model: {op} \(of 'y'\): needs \d+ bytes in use"):
            prepared.run([x])  # not the time of so many steps, either
        assert tracemalloc.get_traced_memory()[1] < 2**18
    finally:
        tracemalloc.stop()


def test_what_is_alive_counts_together():
    count = LIMIT // 4
    nodes = [
        node("Expand", "x", "s", output="a"),
        node("Expand", "x", "s", output="b"),
        node("Add", "a", "b"),
    ]
    inputs = {"x": np.ones((1,), np.float32)}
    proto = model(nodes, inputs, {"s": ints(count)})
    with pytest.raises(ValueError, match=r"^model: Expand \(of 'b'\): needs 2097152 bytes"):
        run(proto, inputs)
    with pytest.raises(ValueError, match=r"^model: Add \(of 'y'\): needs 3145728 bytes"):
        run(proto, inputs, 3 * LIMIT - 1)
    assert run(proto, inputs, 3 * LIMIT)[0].sum() == 2 * count


def test_what_is_no_longer_used_makes_room():
    names = [f"v{k}" for k in range(20)]
    nodes = [node("Add", below, "x", output=name) for below, name in zip(["x", *names], names)]  # noqa: B905
    inputs = {"x": np.ones(LIMIT // 4, np.float32)}
    assert (run(model(nodes, inputs), inputs, 2 * LIMIT)[0] == 21).all()


def test_outputs_that_nobody_asked_for_make_room():
    weights = {"W": np.zeros((1, 64, 4), np.float32), "R": np.zeros((1, 64, 64), np.float32)}
    nodes = [
        helper.make_node("RNN", ["x", "W", "R"], ["", name], hidden_size=64) for name in "abcdef"
    ]
    x = np.ones((2**10, 1, 4), np.float32)
    assert run(model([*nodes, node("Add", "e", "f")], {"x": x}, weights), {"x": x}, 2**19)


def test_views_and_inputs_take_nothing():
    nodes = [
        node("Identity", "x", output="a"),
        node("Transpose", "a", output="b", perm=[1, 0]),
        node("Add", "b", "one"),
    ]
    inputs = {"x": np.ones((2, LIMIT // 8), np.float32)}
    proto = model(nodes, inputs, {"one": np.ones(1, np.float32)})
    assert (run(proto, inputs, LIMIT)[0] == 2).all()


def test_a_chain_that_doubles(tmp_path):
    names = [f"v{k}" for k in range(40)]
    chain = [node("Concat", a, a, output=b, axis=0) for a, b in zip(["x", *names], names)]  # noqa: B905
    proto = model(chain, {"x": np.ones(1, np.float32)})
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    assert path.stat().st_size < 2000
    with pytest.raises(ValueError, match=r"Concat \(of 'v17'\): needs 1572864 bytes in use, max"):
        from_onnx(path, max_bytes=LIMIT)(np.ones(1, np.float32))
    with pytest.raises(ValueError, match=r"Concat \(of 'v27'\): .*, max_bytes is 1073741824$"):
        from_onnx(path)(np.ones(1, np.float32))


@pytest.mark.parametrize(
    "made",
    [
        node("ConstantOfShape", "s"),
        node("Expand", "x", "s"),
        node("Reshape", "x", "s"),
        node("Slice", "x", "s", "s"),
        node("Split", "x", "s"),
        node("Squeeze", "x", "s"),
        node("Unsqueeze", "x", "s"),
    ],
)
def test_shapes_are_short(made):
    inputs = {"x": np.ones(1, np.float32), "s": np.ones(10**5, np.int64)}
    used = {name: inputs[name] for name in inputs if name in made.input}
    with pytest.raises(ValueError, match=r"must have at most (64|1) numbers in a row, got shape"):
        run(model([made], used), used)
