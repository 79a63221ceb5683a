"""External data of ONNX files: nothing outside the file's folder is read, and no more than fits."""

from __future__ import annotations

import os

import numpy as np
import pytest

pytest.importorskip("onnx")

import onnx
from onnx import TensorProto, helper, numpy_helper

from fastrnn.convert import from_onnx, onnx_backend

W = np.arange(12, dtype=np.float32).reshape(3, 4)


def model(location, dims=W.shape, data_type=TensorProto.FLOAT, **entries):
    """A file that multiplies x by numbers of another file, and has one of its own."""
    tensor = TensorProto(name="W", dims=dims, data_type=data_type)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    values = [helper.make_tensor_value_info(n, 1, ["N", s]) for n, s in (("x", 3), ("y", 4))]
    nodes = [helper.make_node("MatMul", ["x", "W"], ["xW"])]
    nodes += [helper.make_node("Add", ["xW", "one"], ["y"])]
    one = numpy_helper.from_array(np.ones(1, np.float32), "one")
    graph = helper.make_graph(nodes, "graph", values[:1], values[1:], [tensor, one])
    opsets = [helper.make_opsetid("", 14)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.fixture
def folder(tmp_path):
    """A folder with numbers, beside a file with a secret."""
    inside = tmp_path / "models"
    (inside / "parts").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(W.tobytes())
    for path in (inside / "weights", inside / "parts" / "weights"):
        path.write_bytes(bytes(8) + W.tobytes())
    return inside


def read(folder, *arguments, most=None, **options):
    path = folder / "m.onnx"
    path.write_bytes(model(*arguments, **options).SerializeToString())
    return from_onnx(path, **({} if most is None else {"max_bytes": most[0]}))


@pytest.mark.parametrize("location", ["weights", "parts/weights", "./weights"])
@pytest.mark.parametrize("length", [{}, {"length": 48}])
def test_a_part_of_a_file(folder, location, length):
    (y,) = read(folder, location, offset=8, **length)(np.eye(3, dtype=np.float32))
    np.testing.assert_array_equal(y, W + 1)


def test_a_constant_node(folder):
    proto = model("weights", offset=8)
    node = helper.make_node("Constant", [], ["W"], value=proto.graph.initializer[0])
    del proto.graph.initializer[0]
    proto.graph.node.insert(0, node)
    (folder / "m.onnx").write_bytes(proto.SerializeToString())
    (y,) = from_onnx(folder / "m.onnx")(np.eye(3, dtype=np.float32))
    np.testing.assert_array_equal(y, W + 1)


def refused(folder, wanted, *arguments, **options):
    with pytest.raises(ValueError) as caught:
        read(folder, *arguments, **options)
    text = str(caught.value)
    assert text.startswith(str(folder / "m.onnx")) and wanted in text and "\n" not in text


@pytest.mark.parametrize(
    "location",
    ["../secret", "parts/../../secret", "/etc/passwd", "C:weights", "C:\\w", "\\w", "a\\..\\w", ""],
)
def test_places_outside_the_folder(folder, location):
    refused(folder, "must be a file in the model's folder", location)


def test_an_absolute_place_inside_the_folder(folder):
    refused(folder, "must be a file in the model's folder", str(folder / "weights"), offset=8)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs links and pipes")
def test_links_pipes_and_folders(folder):
    (folder / "link").symlink_to(folder.parent / "secret")
    (folder / "inner").symlink_to("weights")
    (folder / "up").symlink_to(folder.parent)
    os.mkfifo(folder / "pipe")
    for location in ("link", "inner", "up/secret", "pipe", "parts"):
        refused(folder, "must be a file and no link", location)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs links")
@pytest.mark.parametrize("location", ["link", "up/secret"])
def test_no_release_of_onnx_reads_a_link_for_us(folder, location, monkeypatch):
    """Replace onnx's own reading by that of 1.16, which follows links, as far as it is used."""

    def load_external_data_for_model(proto, base_dir):
        for tensor in proto.graph.initializer:
            if tensor.data_location == TensorProto.EXTERNAL:
                place = next(e.value for e in tensor.external_data if e.key == "location")
                with open(os.path.join(base_dir, place), "rb") as file:
                    tensor.raw_data = file.read()
                tensor.data_location = TensorProto.DEFAULT
                del tensor.external_data[:]

    monkeypatch.setattr(onnx, load_external_data_for_model.__name__, load_external_data_for_model)
    (folder / "link").symlink_to(folder.parent / "secret")
    (folder / "up").symlink_to(folder.parent)
    refused(folder, "must be a file and no link", location)


def test_a_missing_file(folder):
    refused(folder, "No such file", "nothing")


@pytest.mark.parametrize(
    ("entries", "wanted"),
    [
        ({"offset": 9}, "bytes 9 to 57 of 'weights', which has 56"),
        ({"offset": 10**18}, "'weights', which has 56"),
        ({"offset": -8}, "offset must be a number, got '-8'"),
        ({"offset": "9" * 10**5}, "offset must be a number, got '999"),
        ({"offset": 8, "length": 47}, "length must be 48, got 47"),
        ({"length": 56}, "length must be 48, got 56"),
        ({"dims": (2**40, 2**40)}, "bytes, max_bytes is 1073741824"),
        ({"dims": (-3, -4)}, "must have the shape of an array"),
        ({"dims": (1,) * 65}, "must have the shape of an array"),
        ({"data_type": TensorProto.STRING}, "must be float32, int32, int64, float64, got type 8"),
        ({"offset": 8, "most": [47]}, "external data: take 48 bytes, max_bytes is 47"),
    ],
)
def test_parts_that_are_not_there(folder, entries, wanted):
    refused(folder, wanted, "weights", **entries)


def test_parts_that_are_read_many_times_count_each_time(folder):
    path = folder / "m.onnx"
    proto = model("weights", offset=8)
    for number in range(9):
        proto.graph.initializer.append(proto.graph.initializer[0])
        proto.graph.initializer[-1].name = f"W{number}"
    path.write_bytes(proto.SerializeToString())
    assert from_onnx(path, max_bytes=480)
    with pytest.raises(ValueError, match="take 480 bytes, max_bytes is 479"):
        from_onnx(path, max_bytes=479)


def test_a_model_in_memory_reads_no_files(folder, monkeypatch):
    monkeypatch.chdir(folder)
    proto = model("weights", offset=8)
    with pytest.raises(ValueError, match=r"^model: external data of 'W'"):
        onnx_backend.prepare(proto)
    onnx.load_external_data_for_model(proto, str(folder))
    (y,) = onnx_backend.prepare(proto).run([np.eye(3, dtype=np.float32)])
    np.testing.assert_array_equal(y, W + 1)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "1G", None])
def test_max_bytes(folder, wrong):
    with pytest.raises((ValueError, TypeError), match=r"^from_onnx: max_bytes must be"):
        read(folder, "weights", most=[wrong])
