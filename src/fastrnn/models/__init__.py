"""Models built from the layers: language model and encoder-decoder, and their files."""

from fastrnn.models.alignment import Alignment
from fastrnn.models.evaluation import Evaluation, evaluate
from fastrnn.models.generation import Hypothesis
from fastrnn.models.language_model import LanguageModel
from fastrnn.models.scores import TokenScores
from fastrnn.models.seq2seq import Seq2Seq
from fastrnn.models.serialization import load, load_with_extra, save
from fastrnn.models.text_model import TextModel
from fastrnn.models.translator import Translation, Translator

__all__ = [
    "Alignment",
    "Evaluation",
    "Hypothesis",
    "LanguageModel",
    "Seq2Seq",
    "TextModel",
    "TokenScores",
    "Translation",
    "Translator",
    "evaluate",
    "load",
    "load_with_extra",
    "save",
]
