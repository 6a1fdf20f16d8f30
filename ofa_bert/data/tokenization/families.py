"""What each family of encoders is cut with, and PaddleNLP's class that does the same: None where it has none.

Not in models/families: a run time, which sees no model code, cuts texts too.
"""

from __future__ import annotations

from ofa_bert.data.tokenization.second_cut import CUT_AGAIN
from ofa_bert.data.tokenization.tokenizer_json import BYTE_PAIRS, UNIGRAM, WORDPIECE

PADDLENLP: dict[tuple[str, str], str | None] = {
    ("bert", WORDPIECE): "BertTokenizer",
    ("ernie", WORDPIECE): "ErnieTokenizer",
    ("electra", WORDPIECE): "ElectraTokenizer",
    ("roberta", WORDPIECE): "RobertaChineseTokenizer",
    ("roberta", BYTE_PAIRS): "RobertaBPETokenizer",
    ("roberta", UNIGRAM): None,  # XLM-RoBERTa's
    ("tinybert", WORDPIECE): "TinyBertTokenizer",
    ("distilbert", WORDPIECE): "DistilBertTokenizer",
    ("ppminilm", WORDPIECE): "PPMiniLMTokenizer",
    ("ernie_gram", WORDPIECE): "ErnieGramTokenizer",
    ("ernie_m", CUT_AGAIN): "ErnieMTokenizer",
}
# What tokenizer_config.json calls a tokenizer that PaddleNLP does not have.
ELSEWHERE = {UNIGRAM: "XLMRobertaTokenizer"}
# PaddleNLP's tokenizers of these know of all settings letter case only.
LETTER_CASE_ONLY = frozenset({"ernie", "ernie_gram"})
