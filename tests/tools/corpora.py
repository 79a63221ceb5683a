"""Write the seeds of `tests/corpora/`: small files of every format that fastrnn reads.

``python tests/tools/corpora.py`` adds those that are missing; what is there stays. The files of
fastrnn's own format have its number in their names, except those of the first: so the files of
earlier versions stay, too.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import fastrnn
from fastrnn import _storage
from fastrnn.convert import state_dict, to_onnx
from fastrnn.data import Batches, Vocabulary
from fastrnn.models import LanguageModel, Seq2Seq, Translator
from fastrnn.models.text_model import TextModel
from fastrnn.training import Adam, Trainer

TESTS = Path(__file__).resolve().parents[1]
CORPORA = TESTS / "corpora"


def checkpoint(path: Path) -> None:
    sys.path.insert(0, str(TESTS))
    from support.small_model import SmallModel

    rng = np.random.default_rng(0)
    batches = Batches(rng.standard_normal((8, 5)), rng.standard_normal((8, 3)), batch_size=4)
    Trainer(SmallModel(), Adam(0.01), checkpoint=path, progress=False).fit(batches, epochs=1)


def onnx_of_operators(path: Path) -> None:
    """A file with the operators that `to_onnx` does not write."""
    import onnx
    from onnx import helper, numpy_helper

    arrays = {
        "W": np.ones((1, 8, 3), np.float32),
        "R": np.ones((1, 8, 2), np.float32),
        "shape": np.array([2, 1, 3], np.int64),
        "axes": np.array([0], np.int64),
        "ids": np.array([1, 0], np.int64),
        "M": np.ones((3, 3), np.float32),
    }
    value = numpy_helper.from_array(np.array([2], np.float32))
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["twos"], value=value),
        helper.make_node("Expand", ["x", "shape"], ["wide"]),
        helper.make_node("Add", ["wide", "twos"], ["sum"]),
        helper.make_node("Gather", ["sum", "ids"], ["turned"], axis=0),
        helper.make_node("MatMul", ["turned", "M"], ["product"]),
        helper.make_node("LSTM", ["product", "W", "R"], ["", "h"], hidden_size=2),
        helper.make_node("Squeeze", ["h", "axes"], ["flat"]),
        helper.make_node("Concat", ["flat", "flat"], ["y"], axis=1),
    ]
    values = [helper.make_tensor_value_info(n, 1, ["N", s]) for n, s in (("x", 3), ("y", 4))]
    graph = helper.make_graph(
        nodes,
        "graph",
        values[:1],
        values[1:],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 14)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


def state_dict_file(path: Path) -> None:
    from safetensors.numpy import save_file

    save_file(state_dict(fastrnn.LSTM(3, 2, rng=0), prefix="rnn."), path)


def translator(path: Path) -> None:
    words = Vocabulary("ab")
    model = Seq2Seq(len(words), len(words), 3, 2, rng=0)
    Translator(model, words, words).save(path)


def text_model(path: Path) -> None:
    words = Vocabulary("abc")
    TextModel(LanguageModel(len(words), 2, 2, rng=0), words).save(path)


OWN = {
    "lstm": lambda path: fastrnn.save(fastrnn.LSTM(3, 2, 2, rng=0), path),
    "defined-cell": lambda path: fastrnn.save(
        fastrnn.Recurrent("lstmp", 3, 4, proj_size=2, rng=0), path
    ),
    "attention": lambda path: fastrnn.save(
        fastrnn.Attention(3, 2, 2, score="additive", rng=0), path
    ),
    "language-model": lambda path: fastrnn.save(LanguageModel(5, 2, 2, rng=0), path),
    "translator": translator,
    "text-model": text_model,
    "checkpoint": checkpoint,
}
OTHERS = {
    "state-dict.safetensors": state_dict_file,
    "gru.onnx": lambda path: to_onnx(fastrnn.GRU(3, 2, 2, rng=0), path, lengths=True, state=True),
    "language-model.onnx": lambda path: to_onnx(LanguageModel(5, 2, 2, rng=0), path),
    "operators.onnx": onnx_of_operators,
    "pairs.tsv": lambda path: path.write_text("a b\tc d\n\nü\t한국어\tnote\r\n", "utf-8"),
    "text.txt": lambda path: path.write_text("one two\r\nthree ü 한국어\n", "utf-8"),
}
SEEDS = {f"{n}.{_storage._VERSION}.safetensors": write for n, write in OWN.items()} | OTHERS


def main() -> None:
    CORPORA.mkdir(exist_ok=True)
    for name, write in SEEDS.items():
        if not (CORPORA / name).exists():
            write(CORPORA / name)
            print(CORPORA / name, (CORPORA / name).stat().st_size)


if __name__ == "__main__":
    main()
