"""Models built from the layers: language model and encoder-decoder, and their files."""

from fastrnn.models.alignment import Alignment
from fastrnn.models.generation import Hypothesis
from fastrnn.models.language_model import LanguageModel
from fastrnn.models.seq2seq import Seq2Seq
from fastrnn.models.serialization import load, load_with_extra, save
from fastrnn.models.translator import Translation, Translator

__all__ = [
    "Alignment",
    "Hypothesis",
    "LanguageModel",
    "Seq2Seq",
    "Translation",
    "Translator",
    "load",
    "load_with_extra",
    "save",
]
