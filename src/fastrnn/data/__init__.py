"""Vocabularies, batches, readers of text files and the toy tasks."""

from fastrnn.data.batching import Batches, PairBatches, StreamBatches, TextPairBatches, pad
from fastrnn.data.lines import normalized
from fastrnn.data.pair_file import PairFile, digest_of_pairs
from fastrnn.data.readers import read_pairs, read_text
from fastrnn.data.splitting import split, split_rows
from fastrnn.data.subset import Subset
from fastrnn.data.toy import addition, dates
from fastrnn.data.vocabulary import BOS, EOS, PAD, UNK, Vocabulary

__all__ = [
    "BOS",
    "EOS",
    "PAD",
    "UNK",
    "Batches",
    "PairBatches",
    "PairFile",
    "StreamBatches",
    "Subset",
    "TextPairBatches",
    "Vocabulary",
    "addition",
    "dates",
    "digest_of_pairs",
    "normalized",
    "pad",
    "read_pairs",
    "read_text",
    "split",
    "split_rows",
]
