"""Old public names: they work, and warn."""

from __future__ import annotations

import numpy as np
import pytest
from support.decoders import random_decoder
from support.problems import decoder_problem

from fastrnn import ops
from fastrnn._renamed import renamed, renamed_field


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


def test_a_field_by_its_old_name():
    class Owner:
        new = 3
        old = renamed_field("old", "new")

    with pytest.warns(DeprecationWarning, match="^Owner: old is now called new$") as warned:
        assert Owner().old == 3
    assert warned[0].filename == __file__


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
    with pytest.warns(DeprecationWarning, match="heads is now called num_heads$"):
        assert weights.heads == 2
