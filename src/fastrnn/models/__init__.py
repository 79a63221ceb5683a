"""Models built from the layers: language model and encoder-decoder, and their files."""

from fastrnn.models.alignment import Alignment
from fastrnn.models.language_model import LanguageModel
from fastrnn.models.seq2seq import Seq2Seq
from fastrnn.models.serialization import load, load_with_extra, save
from fastrnn.models.translator import Translator

__all__ = [
    "Alignment",
    "LanguageModel",
    "Seq2Seq",
    "Translator",
    "load",
    "load_with_extra",
    "save",
]
