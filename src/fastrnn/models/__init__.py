"""Models built from the layers: language model and encoder-decoder, and their files."""

from typing import Any

from fastrnn._renamed import warn
from fastrnn.models.evaluation import Evaluation, evaluate
from fastrnn.models.generation import Hypothesis
from fastrnn.models.language_model import LanguageModel
from fastrnn.models.scores import TokenScores
from fastrnn.models.seq2seq import Seq2Seq
from fastrnn.models.serialization import load, load_with_extra, save
from fastrnn.models.text_model import TextModel
from fastrnn.models.token_attention import TokenAttention
from fastrnn.models.translator import Translation, Translator

__all__ = [
    "Evaluation",
    "Hypothesis",
    "LanguageModel",
    "Seq2Seq",
    "TextModel",
    "TokenAttention",
    "TokenScores",
    "Translation",
    "Translator",
    "evaluate",
    "load",
    "load_with_extra",
    "save",
]


def __getattr__(name: str) -> Any:
    if name == "Alignment":
        warn("fastrnn.models: Alignment is now called TokenAttention")
        return TokenAttention
    raise AttributeError(f"module 'fastrnn.models' has no attribute {name!r}")
