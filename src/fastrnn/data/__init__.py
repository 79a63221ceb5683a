"""From text to batches: vocabularies, batching, readers and the toy tasks."""

from fastrnn.data.batching import Batches, PairBatches, StreamBatches, pad
from fastrnn.data.readers import read_pairs, read_text
from fastrnn.data.splitting import split
from fastrnn.data.toy import addition, dates
from fastrnn.data.vocabulary import BOS, EOS, PAD, UNK, Vocabulary

__all__ = [
    "BOS",
    "EOS",
    "PAD",
    "UNK",
    "Batches",
    "PairBatches",
    "StreamBatches",
    "Vocabulary",
    "addition",
    "dates",
    "pad",
    "read_pairs",
    "read_text",
    "split",
]
