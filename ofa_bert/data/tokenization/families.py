"""What each family of encoders is cut with, and PaddleNLP's class that does the same.

Not in models/families: a run time, which sees no model code, cuts texts too.
"""

from __future__ import annotations

from ofa_bert.data.tokenization.tokenizer_json import BYTE_PAIRS, WORDPIECE

PADDLENLP = {
    ("bert", WORDPIECE): "BertTokenizer",
    ("ernie", WORDPIECE): "ErnieTokenizer",
    ("electra", WORDPIECE): "ElectraTokenizer",
    ("roberta", WORDPIECE): "RobertaChineseTokenizer",
    ("roberta", BYTE_PAIRS): "RobertaBPETokenizer",
    ("tinybert", WORDPIECE): "TinyBertTokenizer",
    ("distilbert", WORDPIECE): "DistilBertTokenizer",
    ("ppminilm", WORDPIECE): "PPMiniLMTokenizer",
    ("ernie_gram", WORDPIECE): "ErnieGramTokenizer",
}
# PaddleNLP's tokenizers of these know of all settings letter case only.
LETTER_CASE_ONLY = frozenset({"ernie", "ernie_gram"})
