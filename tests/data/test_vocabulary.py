from __future__ import annotations

import json
import unicodedata
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrnn.data import BOS, EOS, PAD, UNK, Vocabulary

NORMAL = partial(unicodedata.normalize, "NFC")
SCRIPTS = st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3) | st.characters(
    min_codepoint=0x3040, max_codepoint=0x30FF
)
TEXT = st.text(SCRIPTS | st.characters()).map(NORMAL)
LETTERS = SCRIPTS | st.characters(categories=["L", "N", "P"])
WORDS = st.lists(st.text(LETTERS, min_size=1)).map(" ".join).map(NORMAL)


@settings(deadline=None, max_examples=100)
@given(st.lists(TEXT, min_size=1))
def test_characters_round_trip(texts):
    vocabulary = Vocabulary.from_texts(texts)
    for text in texts:
        ids = vocabulary.encode(text)
        assert ids.dtype == np.int64 and ids.shape == (len(text),)
        assert not np.isin(ids, [PAD, BOS, EOS, UNK]).any()
        assert vocabulary.decode(ids) == text


@settings(deadline=None, max_examples=100)
@given(st.lists(WORDS, min_size=1))
def test_words_round_trip(texts):
    vocabulary = Vocabulary.from_texts(texts, level="word")
    for text in texts:
        assert vocabulary.decode(vocabulary.encode(text)) == text


@settings(deadline=None, max_examples=100)
@given(TEXT, TEXT)
def test_unknown_characters(known, text):
    vocabulary = Vocabulary.from_texts([known])
    ids = vocabulary.encode(text)
    assert [i == UNK for i in ids] == [c not in known for c in text]
    assert vocabulary.decode(ids) == "".join(c if c in known else "\ufffd" for c in text)


@settings(deadline=None, max_examples=50)
@given(st.lists(TEXT, min_size=1), st.sampled_from(["char", "word"]))
def test_json_round_trip(texts, level):
    vocabulary = Vocabulary.from_texts(texts, level=level)
    again = Vocabulary.from_dict(json.loads(json.dumps(vocabulary.to_dict())))
    assert again == vocabulary and hash(again) == hash(vocabulary)
    assert again.tokens == vocabulary.tokens


def test_ids_by_frequency_then_code():
    vocabulary = Vocabulary.from_texts(["cabbac", "b"])
    assert vocabulary.tokens == ("<pad>", "<bos>", "<eos>", "<unk>", "b", "a", "c")
    assert vocabulary.encode("abcd", eos=True).tolist() == [5, 4, 6, UNK, EOS]
    assert len(vocabulary) == 7
    assert "a" in vocabulary and "d" not in vocabulary and "<pad>" not in vocabulary


def test_min_count():
    vocabulary = Vocabulary.from_texts(["to be or not to be"], level="word", min_count=2)
    assert vocabulary.tokens[4:] == ("be", "to")


def test_decode_stops_at_eos_and_skips_padding():
    vocabulary = Vocabulary("abc")
    assert vocabulary.decode([BOS, 4, PAD, 5, EOS, 6]) == "ab"
    assert vocabulary.decode([]) == ""
    assert vocabulary.decode(np.array([6, 4], dtype=np.uint8)) == "ca"


def test_unknown_word():
    vocabulary = Vocabulary(["ja", "nein"], level="word")
    assert vocabulary.decode(vocabulary.encode("ja doch\tnein")) == "ja <unk> nein"


def test_special_names_in_a_text_are_unknown_words():
    text = "a <pad> b <eos> c"
    vocabulary = Vocabulary.from_texts([text], level="word")
    assert vocabulary.encode(text).tolist() == [4, UNK, 5, UNK, 6]


def test_differ_by_level():
    assert Vocabulary("ab") != Vocabulary("ab", level="word")
    assert Vocabulary("ab") != "ab"
    assert repr(Vocabulary("ab")) == "<Vocabulary of 6 chars>"


@pytest.mark.parametrize(
    ("tokens", "level", "message"),
    [
        ("ab", "byte", "level must be one of char, word, got 'byte'"),
        ("aba", "char", "token 'a' is there twice"),
        (["ab"], "char", "'ab' is not one char"),
        ([""], "char", "'' is not one char"),
        (["a b"], "word", "'a b' is not one word"),
        (["<eos>"], "word", "token '<eos>' is there twice"),
    ],
)
def test_bad_tokens(tokens, level, message):
    with pytest.raises(ValueError, match=f"^Vocabulary: {message}$"):
        Vocabulary(tokens, level=level)


def test_from_texts_unknown_level():
    with pytest.raises(ValueError, match="level must be one of char, word, got 'x'"):
        Vocabulary.from_texts(["a"], level="x")


def test_from_one_text():
    with pytest.raises(TypeError, match="put it in a list"):
        Vocabulary.from_texts("abc")


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([[4]], ValueError, r"ids must have shape \(T,\), got \(1, 1\)"),
        ([4.0], TypeError, "ids must be integers, got float64"),
        ([4, 7], ValueError, r"id 7 is not in 0\.\.6"),
        ([-1], ValueError, r"id -1 is not in 0\.\.6"),
    ],
)
def test_bad_ids(ids, error, message):
    with pytest.raises(error, match=f"^Vocabulary: {message}$"):
        Vocabulary("abc").decode(ids)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text(SCRIPTS | st.characters())), st.sampled_from(["char", "word"]))
def test_a_decomposed_text_gives_the_same_ids(texts, level):
    vocabulary = Vocabulary.from_texts(texts, level=level)
    decomposed = [unicodedata.normalize("NFD", text) for text in texts]
    assert Vocabulary.from_texts(decomposed, level=level) == vocabulary
    for text, other in zip(texts, decomposed, strict=True):
        np.testing.assert_array_equal(vocabulary.encode(other), vocabulary.encode(text))
        assert UNK not in vocabulary.encode(other)


def test_hangul_and_accents_however_typed():
    vocabulary = Vocabulary("\ud55c\u00e9")
    assert vocabulary.encode("\u1112\u1161\u11abe\u0301").tolist() == [4, 5]
    with pytest.raises(ValueError, match="is not one char"):
        Vocabulary(["\u212b"])  # the sign of angstrom, for which the normal form has the letter


def test_a_file_from_before_normalisation_takes_text_as_it_is():
    vocabulary = Vocabulary.from_dict({"level": "char", "tokens": ["\u212b", "e", "\u0301"]})
    assert vocabulary.encode("\u212be\u0301").tolist() == [4, 5, 6]
    again = Vocabulary.from_dict(vocabulary.to_dict())
    assert again == vocabulary and again != Vocabulary("e")


def test_unknown_tokens_each_once():
    assert Vocabulary("ab").unknown(["abxa", "yx"]) == ["x", "y"]
    words = Vocabulary(["ja"], level="word")
    assert words.unknown(["ja doch", "doch <eos>"]) == ["doch", "<eos>"]


@pytest.mark.parametrize("text", [None, 3, b"a"])
def test_what_is_not_text(text):
    for call in (Vocabulary("a").encode, Vocabulary("a").split, lambda each: Vocabulary([each])):
        with pytest.raises(TypeError, match=f"^text must be a str, got {type(text).__name__}$"):
            call(text)


SPACES = "\u00a0\u3000\u202f\u2009\u2028\x85"


@pytest.mark.parametrize("space", SPACES)
def test_spaces_that_are_not_ascii_stay(space):
    texts = [f"10{space}km", f"a{space}{space}b c", f"{space}a b{space}", "a b"]
    for level in ("char", "word"):
        vocabulary = Vocabulary.from_texts(texts, level=level)
        for text in texts:
            assert vocabulary.decode(vocabulary.encode(text)) == text
    assert vocabulary.split(f"10{space}km x\ty") == ["10", space, "km", "x", "y"]
    assert Vocabulary.from_dict(vocabulary.to_dict()) == vocabulary


def test_spaces_that_a_vocabulary_lacks_only_separate():
    """As in files from before they were tokens."""
    vocabulary = Vocabulary(["ja", "nein"], level="word")
    text = f"ja{SPACES}nein"
    assert vocabulary.split(text) == ["ja", "nein"] and not vocabulary.unknown([text])
    assert vocabulary.encode(text).tolist() == [4, 5]


@settings(deadline=None, max_examples=200)
@given(st.text(st.sampled_from(f"ab \t\u00e9{SPACES}")))
def test_words_are_those_between_white_space(text):
    vocabulary = Vocabulary.from_texts([text], level="word")
    tokens = vocabulary.split(text)
    assert [token for token in tokens if not token.isspace()] == text.split()
    assert "".join(tokens) == "".join(letter for letter in text if letter not in " \t")
    again = vocabulary.decode(vocabulary.encode(text))
    assert vocabulary.split(again) == tokens and UNK not in vocabulary.encode(text)
