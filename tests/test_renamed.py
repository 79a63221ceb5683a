"""Old public names: they work, and warn."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from support.decoders import random_decoder
from support.problems import decoder_problem

from fastrnn import Attention, models, ops, plot
from fastrnn._renamed import renamed


@renamed(old="new", older="newer")
def function(*, new=0, newer=0):
    return new, newer


def test_an_argument_by_its_old_name(recwarn):
    assert function(new=1) == (1, 0)
    assert not recwarn
    message = "^function: the argument old is now called new$"
    with pytest.warns(DeprecationWarning, match=message) as warned:
        assert function(old=1, newer=2) == (1, 2)
    assert warned[0].filename == __file__
    with pytest.raises(TypeError, match=r"^function: old is the old name of new$"):
        function(old=1, new=1)


@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize("context", ["input_feeding", "input"])
def test_a_decoder_as_loose_arrays(context, by_name, backend):
    problem = decoder_problem("lstm", np.random.default_rng(1), context=context, ended=True)
    wanted = ops.attention_decoder_forward(*problem.inputs, **problem.options)
    names = ("x", "fed", "states", "memory", "cells", "weights", "readout")
    arguments = {name: getattr(problem, name) for name in names}
    options = {"context": context, **problem.options}
    with pytest.warns(DeprecationWarning, match="given as one DecoderWeights$"):
        if by_name:
            got = ops.attention_decoder_forward(**arguments, **options)
        else:
            got = ops.attention_decoder_forward(*arguments.values(), **options)
    np.testing.assert_equal(problem.outputs(got), problem.outputs(wanted))
    np.testing.assert_equal(problem.backward(ops, got[-1]), problem.backward(ops, wanted[-1]))


def test_heads_of_a_decoder():
    weights, _, _ = random_decoder(np.random.default_rng(2), score="multi_head")
    fields = {"cell": weights.cell, "cells": weights.cells}
    with pytest.warns(DeprecationWarning, match="heads is now called num_heads$"):
        assert ops.DecoderWeights(**fields, heads=2).num_heads == 2
    with pytest.warns(DeprecationWarning, match="heads is now called num_heads$") as warned:
        assert weights.heads == 2
    assert warned[0].filename == __file__


def test_attention_that_was_called_alignment(backend):
    weights, states, given = random_decoder(np.random.default_rng(3), N=2)
    wanted = ops.decode_greedy(weights, states, **given, return_attention=True)
    with pytest.warns(DeprecationWarning, match="^decode_greedy: .* return_alignment is now"):
        decoded = ops.decode_greedy(weights, states, **given, return_alignment=True)
    with pytest.warns(DeprecationWarning, match="^Decoded: alignment is now called attention$"):
        np.testing.assert_array_equal(decoded.alignment, wanted.attention)


def test_gradients_of_attention_by_their_old_names(backend):
    x = np.random.default_rng(4).standard_normal((2, 3, 4))
    context, attention, stash = ops.attention_forward(x, x, x)
    wanted = ops.attention_backward(context, attention, stash)
    with pytest.warns(DeprecationWarning, match="dalignment is now called dattention$"):
        got = ops.attention_backward(context, dalignment=attention, stash=stash)
    np.testing.assert_equal(got, wanted)
    layer = Attention()
    layer(x, x, x)
    with pytest.warns(DeprecationWarning, match="dweights is now called dattention$"):
        np.testing.assert_equal(layer.backward(context, dweights=attention), wanted[:3])


def test_attention_of_a_translator_by_its_old_names(tmp_path):
    translator = models.Translator.from_pairs([("abc", "bca")], 4, 4, attention="dot", rng=0)
    wanted = translator.attention("abc")
    with pytest.warns(DeprecationWarning, match="align is now called attention$"):
        old = translator.align("abc")
    with pytest.warns(DeprecationWarning, match="Alignment is now called TokenAttention$"):
        assert isinstance(old, models.Alignment)
    with pytest.warns(DeprecationWarning, match="alignments is now called return_attention$"):
        ((best,),) = translator.n_best(["abc"], beam_size=1, n_best=1, alignments=True)
    with pytest.warns(DeprecationWarning, match="^Translation: alignment is now"):
        for attention in (old, best.alignment):
            np.testing.assert_equal(attention, wanted)
    with pytest.warns(DeprecationWarning, match="save_image is now fastrnn.plot.save_attention"):
        old.save_image(tmp_path / "old.png")
    plot.save_attention(*wanted, tmp_path / "new.png")
    assert (tmp_path / "old.png").read_bytes() == (tmp_path / "new.png").read_bytes()
    axes = Figure().subplots()
    with pytest.warns(DeprecationWarning, match="draw is now fastrnn.plot.attention"):
        assert old.draw(axes) in axes.get_images()
