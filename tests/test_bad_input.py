"""What every wrong argument is told, and that a failed call changes nothing."""

from __future__ import annotations

import copy
import re

import numpy as np
import pytest
from support.backends import needs_kernels

import fastrnn as fr
from fastrnn import ops, reference
from fastrnn.ops._recurrent import forward_one
from fastrnn.ops.lstm import CELL

RNG = np.random.default_rng(1)


def f4(*shape):
    return RNG.standard_normal(shape).astype("float32")


def f8(*shape):
    return RNG.standard_normal(shape)


def lstm(**options):
    """A layer with the tape of a forward over x (3, 5, 4)."""
    layer = fr.LSTM(4, 2, **{"num_layers": 2, "dropout": 0.5, "rng": 1, **options})
    layer(f4(3, 5, 4))
    return layer


def gru():
    layer = fr.GRU(4, 2, rng=1)
    layer(f4(3, 5, 4))
    return layer


def embedding():
    layer = fr.Embedding(10, 3, rng=1)
    layer(RNG.integers(0, 10, (2, 4)))
    return layer


def linear():
    layer = fr.Linear(4, 3, rng=1)
    layer(f4(2, 4))
    return layer


def tanh():
    layer = fr.Tanh()
    layer(f4(2, 4))
    return layer


def dropout():
    layer = fr.Dropout(0.5, rng=1)
    layer(f4(2, 4))
    return layer


def loss():
    layer = fr.SoftmaxCrossEntropy(ignore_index=-1)
    layer(f4(2, 4, 5), RNG.integers(0, 5, (2, 4)))
    return layer


def attention():
    layer = fr.Attention(4, 3, score="general", rng=1)
    layer(f4(2, 5, 4), f4(2, 6, 3))
    return layer


def put(layer, key, array):
    """Replace a parameter."""
    layer.params[key] = array
    return layer


V, T = ValueError, TypeError
X = f4(3, 5, 4)
H = f4(2, 3, 2)  # a state of lstm() for three sequences
LSTM_ARGS = f8(3, 5, 4), f8(3, 2), f8(3, 2), f8(4, 8), f8(2, 8), f8(8)
ATTENTION_ARGS = f8(2, 5, 4), f8(2, 6, 4), f8(2, 6, 4)


DECODER = {
    "cell": "lstm",
    "cells": [(f8(11, 20), f8(5, 20), f8(20)), (f8(5, 20), f8(5, 20), f8(20))],
    "context": "input_feeding",
    "score": "general",
    "weights": (f8(5, 3),),
    "readout": (f8(8, 7), f8(7)),
}
DECODER_ARGS = {
    "x": f8(2, 3, 4),
    "fed": f8(2, 7),
    "states": [f8(2, 2, 5), f8(2, 2, 5)],
    "memory": f8(2, 6, 3),
}


def decoder(*, embedding=None, **changed):
    weights = {name: changed.pop(name, value) for name, value in DECODER.items()}
    weights |= {"num_heads": changed.pop("num_heads", 1), "embedding": embedding}
    decoder = ops.DecoderWeights(**weights)
    return ops.attention_decoder_forward(decoder, **{**DECODER_ARGS, **changed})


def decoder_backward(*upstream):
    return ops.attention_decoder_backward(*upstream, STASHES["decoder"])


def lstm_into(out):
    x, h0, c0, *weights = LSTM_ARGS
    return forward_one(CELL, x, (h0, c0), weights, train=True, out=out)


STASHES = {
    "lstm": ops.lstm_forward(*LSTM_ARGS, backend="reference")[-1],
    "linear": ops.linear_forward(f8(2, 3), f8(3, 4), backend="reference")[-1],
    "decoder": decoder(backend="reference")[-1],
}

# A layer, a call of it, the error and its message.
LAYER_CALLS = [
    # x
    (lstm, lambda a: a(f4(8, 4)), V, "LSTM: x must have shape (N, T, 4), got (8, 4)"),
    (lstm, lambda a: a(f4(3, 5, 3)), V, "LSTM: x must have shape (N, T, 4), got (3, 5, 3)"),
    (lstm, lambda a: a(f8(3, 5, 4)), T, "LSTM: x must be float32, got float64"),
    (lstm, lambda a: a(np.ones((3, 5, 4), int)), T, "LSTM: x must be float32, got int64"),
    (lstm, lambda a: a(None), T, "LSTM: x must be float32, got None"),
    (lstm, lambda a: a("text"), T, "LSTM: x must be float32, got <U4"),
    (gru, lambda a: a(X.astype("float16")), T, "GRU: x must be float32, got float16"),
    (gru, lambda a: a(f4()), V, "GRU: x must have shape (N, T, 4), got ()"),
    # state
    (lstm, lambda a: a(X, H), V, "LSTM: state must be (h, c), got ndarray"),
    (lstm, lambda a: a(X, (H,)), V, "LSTM: state must be (h, c), got a tuple of 1"),
    (lstm, lambda a: a(X, [H] * 3), V, "LSTM: state must be (h, c), got a list of 3"),
    (lstm, lambda a: a(X, (H[:, :1], H)), V, "LSTM: h must have shape (2, 3, 2), got (2, 1, 2)"),
    (lstm, lambda a: a(X, (H, H[:1])), V, "LSTM: c must have shape (2, 3, 2), got (1, 3, 2)"),
    (lstm, lambda a: a(X, (H, f8(2, 3, 2))), T, "LSTM: c must be float32, got float64"),
    (gru, lambda a: a(X, f4(3, 2)), V, "GRU: h must have shape (1, 3, 2), got (3, 2)"),
    (gru, lambda a: a(X, (H, H)), V, "GRU: h must have shape (1, 3, 2), got (2, 2, 3, 2)"),
    (lstm, lambda a: a.init_state(-1), V, "LSTM: batch_size must be at least 0, got -1"),
    # lengths
    (lstm, lambda a: a(X, lengths=[1, 2]), V, "LSTM: lengths must have shape (3,), got (2,)"),
    (lstm, lambda a: a(X, lengths=[]), V, "LSTM: lengths must have shape (3,), got (0,)"),
    (lstm, lambda a: a(X, lengths=5), V, "LSTM: lengths must have shape (3,), got ()"),
    (lstm, lambda a: a(X, lengths=[1, -2, 3]), V, "LSTM: lengths must be in 0..5, got -2"),
    (lstm, lambda a: a(X, lengths=[1, 6, 3]), V, "LSTM: lengths must be in 0..5, got 6"),
    (
        lstm,
        lambda a: a(X, lengths=np.array([1, 2**64 - 1, 3], "uint64")),
        V,
        "LSTM: lengths must be in 0..5, got 18446744073709551615",
    ),
    (lstm, lambda a: a(X, lengths=[1.0, 2, 3]), T, "LSTM: lengths must be integers, got float64"),
    (lstm, lambda a: a(X, lengths=[True] * 3), T, "LSTM: lengths must be integers, got bool"),
    # threads
    (lstm, lambda a: a(X, num_threads=0), V, "LSTM: num_threads must be at least 1, got 0"),
    (lstm, lambda a: a(X, num_threads=1.5), T, "LSTM: num_threads must be an integer, got 1.5"),
    (
        lstm,
        lambda a: a.backward(num_threads=-1),
        V,
        "LSTM: num_threads must be at least 1, got -1",
    ),
    # backward
    (
        lambda: fr.LSTM(4, 2),
        lambda a: a.backward(),
        V,
        "LSTM: backward needs a forward in train mode before it",
    ),
    (
        lambda: lstm().eval(),
        lambda a: (a(X), a.backward()),
        V,
        "LSTM: backward needs a forward in train mode before it",
    ),
    (
        lambda: linear().eval().train(),
        lambda a: a.backward(f4(2, 3)),
        V,
        "Linear: backward needs a forward in train mode before it",
    ),
    (
        lstm,
        lambda a: a.backward(f4(3, 5, 3)),
        V,
        "LSTM: dy must have shape (3, 5, 2), got (3, 5, 3)",
    ),
    (
        lstm,
        lambda a: a.backward(f4(3, 5)),
        V,
        "LSTM: dy must have shape (3, 5, 2), got (3, 5)",
    ),
    (lstm, lambda a: a.backward(f8(3, 5, 2)), T, "LSTM: dy must be float32, got float64"),
    (lstm, lambda a: a.backward(None, H), V, "LSTM: dstate must be (dh, dc), got ndarray"),
    (
        lstm,
        lambda a: a.backward(None, (H, H[:1])),
        V,
        "LSTM: dc must have shape (2, 3, 2), got (1, 3, 2)",
    ),
    # step
    (lstm, lambda a: a.step(f4(1, 3)), V, "LSTM: x must have shape (N, 4), got (1, 3)"),
    (lstm, lambda a: a.step(f4(4)), V, "LSTM: x must have shape (N, 4), got (4,)"),
    (lstm, lambda a: a.step(f8(1, 4)), T, "LSTM: x must be float32, got float64"),
    (
        lstm,
        lambda a: a.step(f4(1, 4), (H, H)),
        V,
        "LSTM: h must have shape (2, 1, 2), got (2, 3, 2)",
    ),
    (
        lambda: lstm(bidirectional=True),
        lambda a: a.step(f4(1, 4)),
        V,
        "LSTM: step needs bidirectional=False, got True",
    ),
    # parameters that the user put there
    (
        lambda: put(lstm(), "Wh_l1", f4(2, 7)),
        lambda a: a(X),
        V,
        "LSTM: Wh_l1 must have shape (2, 8), got (2, 7)",
    ),
    (
        lambda: put(lstm(), "b_l1", f8(8)),
        lambda a: a(X),
        T,
        "LSTM: b_l1 must be float32, got float64",
    ),
    (
        lambda: put(lstm(), "Wx_l0", f4(3, 8)),
        lambda a: a.step(f4(1, 4)),
        V,
        "LSTM: Wx_l0 must have shape (4, 8), got (3, 8)",
    ),
    (
        lambda: put(linear(), "W", f4(4, 4)),
        lambda a: a(f4(2, 4)),
        V,
        "Linear: W must have shape (4, 3), got (4, 4)",
    ),
    # embedding
    (embedding, lambda a: a([3, 10]), V, "Embedding: ids must be in 0..9, got 10"),
    (embedding, lambda a: a([[-1]]), V, "Embedding: ids must be in 0..9, got -1"),
    (embedding, lambda a: a(None), T, "Embedding: ids must be integers, got None"),
    (embedding, lambda a: a([0.5]), T, "Embedding: ids must be integers, got float64"),
    (
        embedding,
        lambda a: a.backward(f4(2, 3, 3)),
        V,
        "Embedding: dy must have shape (2, 4, 3), got (2, 3, 3)",
    ),
    # linear
    (linear, lambda a: a(f4(2, 3)), V, "Linear: x must have shape (..., 4), got (2, 3)"),
    (linear, lambda a: a(f4()), V, "Linear: x must have shape (..., 4), got ()"),
    (linear, lambda a: a(f8(2, 4)), T, "Linear: x must be float32, got float64"),
    (
        linear,
        lambda a: a(f4(2, 4), num_threads=0),
        V,
        "Linear: num_threads must be at least 1, got 0",
    ),
    (
        linear,
        lambda a: a.backward(f4(2, 4)),
        V,
        "Linear: dy must have shape (2, 3), got (2, 4)",
    ),
    # tanh
    (tanh, lambda a: a([1, 2]), T, "Tanh: x must be float32 or float64, got int64"),
    (tanh, lambda a: a.backward(f4(4)), V, "Tanh: dy must have shape (2, 4), got (4,)"),
    (
        lambda: fr.Tanh().eval(),
        lambda a: a.backward(a(f4(4))),
        V,
        "Tanh: backward needs a forward in train mode before it",
    ),
    # dropout
    (dropout, lambda a: a(None), T, "Dropout: x must be float32 or float64, got None"),
    (dropout, lambda a: a([1, 2]), T, "Dropout: x must be float32 or float64, got int64"),
    (
        lambda: dropout().eval(),
        lambda a: a([1, 2]),
        T,
        "Dropout: x must be float32 or float64, got int64",
    ),
    (dropout, lambda a: a.backward(f4(4)), V, "Dropout: dy must have shape (2, 4), got (4,)"),
    # loss
    (
        loss,
        lambda a: a(f4(2, 4, 5), np.zeros((2, 3), int)),
        V,
        "SoftmaxCrossEntropy: targets must have shape (2, 4), got (2, 3)",
    ),
    (
        loss,
        lambda a: a(f4(2, 5), [0, 5]),
        V,
        "SoftmaxCrossEntropy: targets must be in 0..4 or ignore_index (-1), got 5",
    ),
    (
        fr.SoftmaxCrossEntropy,
        lambda a: a(f4(2, 5), [0, -1]),
        V,
        "SoftmaxCrossEntropy: targets must be in 0..4, got -1",
    ),
    (
        loss,
        lambda a: a(f4(2, 5), [0.0, 1.0]),
        T,
        "SoftmaxCrossEntropy: targets must be integers, got float64",
    ),
    (
        loss,
        lambda a: a(np.ones((2, 5), int), [0, 1]),
        T,
        "SoftmaxCrossEntropy: logits must be float32 or float64, got int64",
    ),
    (
        loss,
        lambda a: a(f4(2, 0), [0, 1]),
        V,
        "SoftmaxCrossEntropy: logits must have shape (..., V), got (2, 0)",
    ),
    (
        loss,
        lambda a: a.backward("much"),
        T,
        "SoftmaxCrossEntropy: dloss must be a number, got 'much'",
    ),
    # attention
    (
        attention,
        lambda a: a(f4(2, 4), f4(2, 6, 3)),
        V,
        "Attention: query must have shape (N, Tq, 4), got (2, 4)",
    ),
    (
        attention,
        lambda a: a(f4(2, 5, 4), f4(3, 6, 3)),
        V,
        "Attention: keys must have shape (2, Tk, 3), got (3, 6, 3)",
    ),
    (
        attention,
        lambda a: a(f4(2, 5, 4), f4(2, 6, 3), f4(2, 5, 3)),
        V,
        "Attention: values must have shape (2, 6, Dv), got (2, 5, 3)",
    ),
    (
        attention,
        lambda a: a(f8(2, 5, 4), f8(2, 6, 3)),
        T,
        "Attention: query must be float32, got float64",
    ),
    (
        attention,
        lambda a: a(f4(2, 5, 4), f4(2, 6, 3), lengths=[7, 1]),
        V,
        "Attention: lengths must be in 0..6, got 7",
    ),
    (
        fr.Attention,
        lambda a: a(f4(2, 5, 4), f4(2, 6, 3)),
        V,
        "Attention: keys must have shape (2, Tk, 4), got (2, 6, 3)",
    ),
    (
        attention,
        lambda a: a.backward(f4(2, 5, 4)),
        V,
        "Attention: dcontext must have shape (2, 5, 3), got (2, 5, 4)",
    ),
    (
        attention,
        lambda a: a.backward(f4(2, 5, 3), f4(2, 5, 3)),
        V,
        "Attention: dattention must have shape (2, 5, 6), got (2, 5, 3)",
    ),
]

# A call, the error and its message.
CALLS = [
    # sizes and options of constructors
    (lambda: fr.LSTM(0, 4), V, "LSTM: input_size must be at least 1, got 0"),
    (lambda: fr.LSTM(4, -1), V, "LSTM: hidden_size must be at least 1, got -1"),
    (lambda: fr.LSTM(4, 2.5), T, "LSTM: hidden_size must be an integer, got 2.5"),
    (lambda: fr.RNN(4, "2"), T, "RNN: hidden_size must be an integer, got '2'"),
    (lambda: fr.GRU(4, 2, 0), V, "GRU: num_layers must be at least 1, got 0"),
    (lambda: fr.GRU(4, 2, dropout=1), V, "GRU: dropout must be in [0, 1), got 1"),
    (
        lambda: fr.RNN(4, 2, recurrent_dropout=1),
        V,
        "RNN: recurrent_dropout must be in [0, 1), got 1",
    ),
    (lambda: fr.GRU(4, 2, dropout=-0.1), V, "GRU: dropout must be in [0, 1), got -0.1"),
    (lambda: fr.GRU(4, 2, dropout=float("nan")), V, "GRU: dropout must be in [0, 1), got nan"),
    (lambda: fr.GRU(4, 2, dropout="x"), T, "GRU: dropout must be a number, got 'x'"),
    (
        lambda: fr.RNN(4, 2, nonlinearity="sigmoid"),
        V,
        "RNN: nonlinearity must be one of tanh, relu, got 'sigmoid'",
    ),
    (
        lambda: fr.RNN(4, 2, nonlinearity=[]),
        V,
        "RNN: nonlinearity must be one of tanh, relu, got []",
    ),
    (
        lambda: fr.RNN(4, 2, nonlinearity=np.array(["tanh", "relu"])),
        V,
        "RNN: nonlinearity must be one of tanh, relu, got a <U4 array of shape (2,)",
    ),
    (
        lambda: fr.LSTM(4, 2, dtype=int),
        T,
        "LSTM: dtype must be float32 or float64, got <class 'int'>",
    ),
    (lambda: fr.LSTM(4, 2, dtype="f2"), T, "LSTM: dtype must be float32 or float64, got 'f2'"),
    (lambda: fr.LSTM(4, 2, dtype="real"), T, "LSTM: dtype must be float32 or float64, got 'real'"),
    (
        lambda: fr.LSTM(4, 2, rng="seed"),
        V,
        "LSTM: rng must be None, an integer from 0 or a numpy.random.Generator, got 'seed'",
    ),
    (
        lambda: fr.LSTM(4, 2, rng=-1),
        V,
        "LSTM: rng must be None, an integer from 0 or a numpy.random.Generator, got -1",
    ),
    (lambda: fr.Embedding(0, 3), V, "Embedding: num_embeddings must be at least 1, got 0"),
    (lambda: fr.Embedding(3, 0), V, "Embedding: embedding_size must be at least 1, got 0"),
    (lambda: fr.Linear(0, 3), V, "Linear: input_size must be at least 1, got 0"),
    (lambda: fr.Linear(3, 0), V, "Linear: output_size must be at least 1, got 0"),
    (
        lambda: fr.Dropout(10**400),
        V,
        "Dropout: p must fit in a float64, got a longer integer",
    ),
    (
        lambda: fr.Dropout(f8(2, 3)),
        T,
        "Dropout: p must be a number, got a float64 array of shape (2, 3)",
    ),
    (lambda: fr.Dropout(1.0), V, "Dropout: p must be in [0, 1), got 1.0"),
    (
        lambda: fr.SoftmaxCrossEntropy("pad"),
        T,
        "SoftmaxCrossEntropy: ignore_index must be an integer, got 'pad'",
    ),
    (
        lambda: fr.SoftmaxCrossEntropy(label_smoothing=1.0),
        V,
        "SoftmaxCrossEntropy: label_smoothing must be in [0, 1), got 1.0",
    ),
    (
        lambda: fr.Attention(score="cosine"),
        V,
        "Attention: score must be one of dot, scaled_dot, general, additive, multi_head, "
        "got 'cosine'",
    ),
    (
        lambda: fr.Attention(4, score="general"),
        V,
        "Attention: score 'general' needs key_size, got None",
    ),
    (
        lambda: fr.Attention(4, 0, score="general"),
        V,
        "Attention: key_size must be at least 1, got 0",
    ),
    (
        lambda: fr.Attention(4, 4, num_heads=2),
        V,
        "Attention: num_heads must be 1 for score 'dot', got 2",
    ),
    (
        lambda: fr.Attention(4, 4, 10, score="multi_head", num_heads=3),
        V,
        "Attention: num_heads must divide the attention size 10, got 3",
    ),
    (
        lambda: fr.Attention(4, 4, score="multi_head", num_heads=0),
        V,
        "Attention: num_heads must be at least 1, got 0",
    ),
    (lambda: reference.GRU(4, 0), V, "GRU: hidden_size must be at least 1, got 0"),
    # functions
    (
        lambda: ops.lstm(*LSTM_ARGS[:4], f8(2, 7), LSTM_ARGS[5]),
        V,
        "LSTM: Wh must have shape (2, 8), got (2, 7)",
    ),
    (
        lambda: ops.lstm(f8(3, 5, 4), None, None, f8(4, 7), f8(2, 8), f8(8)),
        V,
        "LSTM: Wx must have shape (4, 8), got (4, 7)",
    ),
    (
        lambda: ops.lstm(*LSTM_ARGS[:4], f8(0, 0), f8(0)),
        V,
        "LSTM: Wh must have shape (H, 4*H), got (0, 0)",
    ),
    (
        lambda: ops.lstm(*LSTM_ARGS[:3], [[1, 2]], *LSTM_ARGS[4:]),
        T,
        "LSTM: Wx must be float32 or float64, got int64",
    ),
    (
        lambda: ops.lstm(*LSTM_ARGS[:5], f4(8)),
        T,
        "LSTM: b must be float64, got float32",
    ),
    (lambda: ops.lstm(*LSTM_ARGS[:5], None), T, "LSTM: b must be float64, got None"),
    (
        lambda: ops.lstm(LSTM_ARGS[0], f8(2, 2), *LSTM_ARGS[2:]),
        V,
        "LSTM: h0 must have shape (3, 2), got (2, 2)",
    ),
    (
        lambda: ops.lstm_forward(*LSTM_ARGS, drop_h=f8(2)),
        V,
        "LSTM: drop_h must have shape (3, 2), got (2,)",
    ),
    (
        lambda: ops.lstm_step(*LSTM_ARGS),
        V,
        "LSTM: x must have shape (N, 4), got (3, 5, 4)",
    ),
    (
        lambda: ops.gru_step(f8(3, 4), None, f8(4, 6), f8(2, 6), f8(6)),
        T,
        "GRU: h must be float64, got None",
    ),
    (
        lambda: ops.gru(f8(3, 5, 4), None, f8(4, 6), f8(2, 6), f8(6), f8(6)),
        V,
        "GRU: bh must have shape (2,), got (6,)",
    ),
    (
        lambda: ops.rnn(f8(3, 5, 4), None, f8(4, 2), f8(2, 2), f8(2), nonlinearity="exp"),
        V,
        "RNN: nonlinearity must be one of tanh, relu, got 'exp'",
    ),
    (
        lambda: ops.lstm(*LSTM_ARGS, backend="fast"),
        V,
        "fastrnn: backend must be one of compiled, reference, got 'fast'",
    ),
    (
        lambda: lstm_into(f4(3, 5, 2)),
        V,
        "LSTM: out must be a float64 array of shape (3, 5, 2), got float32 (3, 5, 2)",
    ),
    (
        lambda: lstm_into(f8(3, 5, 4)[..., ::2]),
        V,
        "LSTM: out must be writeable with a contiguous last axis",
    ),
    (
        lambda: lstm_into([]),
        V,
        "LSTM: out must be a float64 array of shape (3, 5, 2), got []",
    ),
    (
        lambda: ops.lstm([[[1.0]], [[1.0, 2.0]]], *LSTM_ARGS[1:]),
        V,
        "LSTM: x must be an array, got a ragged list",
    ),
    (
        # converted before it is checked, this would be 12 TiB
        lambda: ops.lstm(np.broadcast_to(f8(1), (3, 2**40)), *LSTM_ARGS[1:]),
        V,
        "LSTM: x must have shape (N, T, 4), got (3, 1099511627776)",
    ),
    # stashes
    (
        lambda: ops.gru_backward(None, None, STASHES["lstm"]),
        V,
        "GRU: stash must be that of a forward of GRU, got that of LSTM",
    ),
    (
        lambda: ops.lstm_backward(None, None, None, None),
        V,
        "LSTM: stash must be that of a forward of LSTM, got NoneType",
    ),
    (
        lambda: ops.lstm_backward(f8(3, 5, 3), None, None, STASHES["lstm"]),
        V,
        "LSTM: dy must have shape (3, 5, 2), got (3, 5, 3)",
    ),
    (
        lambda: ops.linear_backward(None, STASHES["linear"]),
        T,
        "Linear: dy must be float64, got None",
    ),
    # the other functions
    (lambda: ops.linear(f8(2, 3), f8(3)), V, "Linear: W must have shape (D, O), got (3,)"),
    (lambda: ops.linear(f8(2, 0), f8(0, 3)), V, "Linear: W must have shape (D, O), got (0, 3)"),
    (lambda: ops.linear(f8(2, 3), f8(3, 4), f8(3)), V, "Linear: b must have shape (4,), got (3,)"),
    (lambda: ops.embedding([0], f8(3)), V, "Embedding: W must have shape (V, D), got (3,)"),
    (
        lambda: ops.dropout(f8(3), 1.5, rng=np.random.default_rng(1)),
        V,
        "Dropout: p must be in [0, 1), got 1.5",
    ),
    (
        lambda: ops.dropout(f8(3), 0.5, rng=0),
        T,
        "Dropout: rng must be a numpy.random.Generator, got 0",
    ),
    (
        lambda: ops.softmax_cross_entropy(f8(2, 3), [0, 1], ignore_index=0.5),
        T,
        "SoftmaxCrossEntropy: ignore_index must be an integer, got 0.5",
    ),
    (
        lambda: ops.softmax_cross_entropy(f8(2, 3), [0, 1], label_smoothing="much"),
        T,
        "SoftmaxCrossEntropy: label_smoothing must be a number, got 'much'",
    ),
    # attention_decoder
    (
        lambda: decoder(cell="mgu"),
        V,
        "AttentionDecoder: cell must be one of rnn, lstm, gru, got 'mgu'",
    ),
    (
        lambda: ops.attention_decoder(7, **DECODER_ARGS),
        T,
        "AttentionDecoder: weights must be DecoderWeights, got int",
    ),
    (
        lambda: decoder(context=None),
        V,
        "AttentionDecoder: context must be one of input_feeding, input, got None",
    ),
    (
        lambda: decoder(context="output"),
        V,
        "AttentionDecoder: context must be one of input_feeding, input, got 'output'",
    ),
    (
        lambda: decoder(cells=[]),
        V,
        "AttentionDecoder: cells must be a sequence of (Wx, Wh, b) for each layer, got a list of 0",
    ),
    (
        lambda: decoder(cells=[f8(11, 20)]),
        V,
        "AttentionDecoder: cells must be (Wx, Wh, b) for each layer, got a ndarray",
    ),
    (
        lambda: decoder(cells=[*DECODER["cells"][:1], (f8(4, 20), f8(5, 20), f8(20))]),
        V,
        "AttentionDecoder: Wx_l1 must have shape (5, 20), got (4, 20)",
    ),
    (
        lambda: decoder(cells=[(f8(10, 20), f8(5, 20), f8(20)), *DECODER["cells"][1:]]),
        V,
        "AttentionDecoder: Wx_l0 must have 4 + 7 rows (x and fed), got 10",
    ),
    (
        lambda: decoder(context="input", fed=None),
        V,
        "AttentionDecoder: Wx_l0 must have 4 + 3 rows (x and context), got 11",
    ),
    (
        lambda: decoder(readout=(f8(7, 7), f8(7))),
        V,
        "AttentionDecoder: Wc must have shape (8, R), got (7, 7)",
    ),
    (
        lambda: decoder(readout=f8(8, 7)),
        V,
        "AttentionDecoder: readout must be (Wc, bc) or None, got a ndarray",
    ),
    (
        lambda: decoder(weights=(f8(3, 5),)),
        V,
        "AttentionDecoder: W must have shape (5, 3), got (3, 5)",
    ),
    (
        lambda: decoder(score="dot", weights=()),
        V,
        "AttentionDecoder: memory must be as wide as the hidden state, 5, for score 'dot', got 3",
    ),
    (
        lambda: decoder(num_heads=2),
        V,
        "AttentionDecoder: num_heads must be 1 for score 'general', got 2",
    ),
    (
        lambda: decoder(states=[f8(2, 2, 5)]),
        V,
        "AttentionDecoder: states must be a sequence of 2 arrays, got a list of 1",
    ),
    (
        lambda: decoder(states=[f8(2, 2, 5), f8(1, 2, 5)]),
        V,
        "AttentionDecoder: states[1] must have shape (2, 2, 5), got (1, 2, 5)",
    ),
    (
        lambda: decoder(fed=f8(2, 8)),
        V,
        "AttentionDecoder: fed must have shape (2, 7), got (2, 8)",
    ),
    (
        lambda: decoder(
            context="input", cells=[(f8(7, 20), f8(5, 20), f8(20)), DECODER["cells"][1]]
        ),
        V,
        "AttentionDecoder: fed must be None for context 'input', where nothing is fed",
    ),
    (
        lambda: decoder(drop_h=f8(2, 3, 5)),
        V,
        "AttentionDecoder: drop_h must have shape (2, 2, 5), got (2, 3, 5)",
    ),
    (
        lambda: decoder(drops=f8(2, 2, 3, 5)),
        V,
        "AttentionDecoder: drops must have shape (1, 2, 3, 5), got (2, 2, 3, 5)",
    ),
    (
        lambda: decoder(lengths=[6, 7]),
        V,
        "AttentionDecoder: lengths must be in 0..6, got 7",
    ),
    (lambda: decoder(steps=[3, 4]), V, "AttentionDecoder: steps must be in 0..3, got 4"),
    (
        lambda: decoder(steps=[3, 2, 1]),
        V,
        "AttentionDecoder: steps must have shape (2,), got (3,)",
    ),
    (
        lambda: decoder(x=[[0, 1, 2], [3, 4, 5]], embedding=f8(5, 4)),
        V,
        "AttentionDecoder: x must be in 0..4, got 5",
    ),
    (
        lambda: decoder(x=f8(2, 3), embedding=f8(5, 4)),
        T,
        "AttentionDecoder: x must be integers, got float64",
    ),
    (
        lambda: decoder(x=[[0, 1, 2], [3, 4, 0]], embedding=f8(5, 3)),
        V,
        "AttentionDecoder: Wx_l0 must have 3 + 7 rows (x and fed), got 11",
    ),
    (lambda: decoder(x=f4(2, 3, 4)), T, "AttentionDecoder: x must be float64, got float32"),
    (
        lambda: decoder_backward(f8(2, 3, 6), None, None, [None, None]),
        V,
        "AttentionDecoder: dfeatures must have shape (2, 3, 7), got (2, 3, 6)",
    ),
    (
        lambda: decoder_backward(None, f8(2, 3, 5), None, [None, None]),
        V,
        "AttentionDecoder: dattention must have shape (2, 3, 6), got (2, 3, 5)",
    ),
    (
        lambda: decoder_backward(None, None, None, None),
        V,
        "AttentionDecoder: dstates must be a sequence of 2 arrays, got a NoneType",
    ),
    (
        lambda: ops.attention(f8(2, 5, 4), f8(2, 6, 4), f8(2, 6, 4), [f8(4, 4)]),
        V,
        "Attention: weights must be () for dot, got 1",
    ),
    (
        lambda: ops.attention(*ATTENTION_ARGS, weights=None),
        T,
        "Attention: weights must be a sequence of arrays, got NoneType",
    ),
    (
        lambda: ops.attention(*ATTENTION_ARGS, score=np.array(["dot"])),
        V,
        "Attention: score must be one of dot, scaled_dot, general, additive, multi_head, "
        "got a <U3 array of shape (1,)",
    ),
    (
        lambda: ops.attention(f8(2, 5, 4), f8(2, 6, 4), f8(2, 6, 4), score="additive"),
        V,
        "Attention: weights must be (Wq, Wk, v) for additive, got 0",
    ),
    (
        lambda: ops.attention(
            f8(2, 5, 4), f8(2, 6, 3), f8(2, 6, 4), (f8(4, 5), f8(3, 5), f8(4)), score="additive"
        ),
        V,
        "Attention: v must have shape (5,), got (4,)",
    ),
    (
        lambda: ops.attention(
            *(f8(2, 5, 4), f8(2, 6, 4), f8(2, 6, 3)), [f8(4, 4)] * 4, score="multi_head"
        ),
        V,
        "Attention: values must have shape (2, 6, 4), got (2, 6, 3)",
    ),
    (
        lambda: ops.attention(*ATTENTION_ARGS, [f8(4, 4)] * 4, score="multi_head", num_heads=8),
        V,
        "Attention: num_heads must divide the attention size 4, got 8",
    ),
    # updates
    (
        lambda: ops.sgd_update(f8(3), f8(4), lr=0.1),
        V,
        "SGD: grad must have shape (3,), got (4,)",
    ),
    (lambda: ops.sgd_update(f8(3), f4(3), lr=0.1), T, "SGD: grad must be float64, got float32"),
    (
        lambda: ops.sgd_update([1.0], f8(1), lr=0.1),
        T,
        "SGD: param must be an array to be updated in place, got list",
    ),
    (
        lambda: ops.sgd_update(f8(3, 4).T, f8(4, 3), lr=0.1),
        V,
        "SGD: param must be C-contiguous and writeable to be updated in place",
    ),
    (
        lambda: ops.momentum_update(f8(3), f8(3), f4(3), lr=0.1, momentum=0.9),
        T,
        "Momentum: velocity must be float64, got float32",
    ),
    (
        lambda: ops.adam_update(
            f8(3), f8(3), f8(3), f8(3), lr=0.1, beta1=0.9, beta2=0.9, eps=1e-8, step=0
        ),
        V,
        "Adam: step must be at least 1, got 0",
    ),
    (
        lambda: ops.scale_in_place(f8(4)[::2], 2.0),
        V,
        "scale_in_place: array must be C-contiguous and writeable to be updated in place",
    ),
]


def snapshot(layer):
    """All that a failed call must not change."""
    arrays = {**layer.params, **{f"d{key}": grad for key, grad in layer.grads.items()}}
    return copy.deepcopy((arrays, layer.training, layer.rng.bit_generator.state, layer.config()))


def says(error, message):
    return pytest.raises(error, match=f"^{re.escape(message)}$")


@pytest.mark.parametrize(("make", "call", "error", "message"), LAYER_CALLS)
def test_layers(make, call, error, message, backend):
    layer = make()
    before, tape = snapshot(layer), layer._tape
    with says(error, message):
        call(layer)
    np.testing.assert_equal(snapshot(layer), before)
    assert layer._tape is tape


@pytest.mark.parametrize(("call", "error", "message"), CALLS)
def test_functions_and_constructors(call, error, message, backend):
    with says(error, message):
        call()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda a: a(f4(8, 4)), "LSTM: x must have shape (N, T, 4), got (8, 4)"),
        (lambda a: a.backward(f4(1)), "LSTM: dy must have shape (3, 5, 2), got (1,)"),
    ],
)
def test_backward_after_a_failed_call_is_that_of_the_forward_before(bad, message, backend):
    layer = lstm()
    dy = f4(3, 5, 2)
    wanted, _ = layer.backward(dy)
    with says(ValueError, message):
        bad(layer)
    np.testing.assert_array_equal(layer.backward(dy)[0], wanted)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("keyword", ["dropout", "out"])
def test_unknown_keyword(cell, keyword):
    for name in (cell, f"{cell}_forward"):
        message = f"{name}() got an unexpected keyword argument '{keyword}'"
        with says(TypeError, message):
            getattr(ops, name)(*LSTM_ARGS, **{keyword: None})


def test_a_failed_call_draws_no_parameters(backend):
    rng = np.random.default_rng(1)
    with says(ValueError, "GRU: dropout must be in [0, 1), got 2"):
        fr.GRU(4, 2, dropout=2, rng=rng)
    assert rng.bit_generator.state == np.random.default_rng(1).bit_generator.state


def test_a_table_of_one_row_may_have_any_stride() -> None:
    W = np.ones((5, 8), np.float32)[::5] * np.float32(3)
    W = np.lib.stride_tricks.as_strided(W, (1, 8), (160, 4))
    np.testing.assert_equal(ops.embedding([0, 0], W), np.full((2, 8), 3, np.float32))


def test_ids_and_lengths_may_change_before_the_backward() -> None:
    rng = np.random.default_rng(0)
    ids, layer = np.array([1, 2, 1]), fr.Embedding(4, 3, rng=0)
    dy = rng.standard_normal(layer(ids).shape, np.float32)
    ids[:] = 10**9
    layer.backward(dy)
    np.testing.assert_allclose(layer.grads["W"], [0 * dy[0], dy[0] + dy[2], dy[1], 0 * dy[0]])

    query, keys = (rng.standard_normal((2, T, 4), np.float32) for T in (3, 5))
    lengths, dcontext = np.array([5, 2]), rng.standard_normal(query.shape, np.float32)
    results = []
    for spoilt in (False, True):
        *_, stash = ops.attention_forward(query, keys, keys, [], lengths=lengths)
        lengths[:] = 10**9 if spoilt else lengths
        results.append(ops.attention_backward(dcontext, None, stash))
    np.testing.assert_equal(*results)


def test_shared_keys_and_values_have_one_shape() -> None:
    query, keys, values = (np.ones((1, 2, width), np.float32) for width in (16, 16, 5))
    *_, stash = ops.attention_forward(query, keys, values, [])
    wanted = r"^Attention: shared must be False for keys \(1, 2, 16\) and values \(1, 2, 5\)"
    with pytest.raises(ValueError, match=wanted):
        ops.attention_backward(np.ones((1, 2, 5), np.float32), None, stash, shared=True)


@pytest.mark.filterwarnings("ignore:Setting the:DeprecationWarning")
@needs_kernels
def test_x_and_weights_keep_their_shapes_until_the_backward() -> None:
    layer, x = fr.LSTM(6, 4, rng=0), np.ones((3, 4, 6), np.float32)
    y, _ = layer(x)
    x.shape = (3, 6, 4)
    with pytest.raises(ValueError, match=r"^LSTM: x must lie as in the forward, float32 \(3, 4"):
        layer.backward(y)


def test_results_may_be_made_read_only_and_writeable_again() -> None:
    y = fr.RNN(3, 64, rng=0).eval()(np.ones((8, 20, 3), np.float32))[0]
    y.flags.writeable = False
    y.flags.writeable = True
    y[...] = 0
