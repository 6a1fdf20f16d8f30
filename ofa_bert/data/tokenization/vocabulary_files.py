"""vocab.txt, alone or beside a sentencepiece model, or vocab.json and merges.txt, as the content of a tokenizer.json.

What is wrong with a file is a ValueError here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ofa_bert.data.tokenization.families import LETTER_CASE_ONLY, PADDLENLP
from ofa_bert.data.tokenization.second_cut import CUT_AGAIN, digits
from ofa_bert.data.tokenization.sentencepiece_model import NAME, read_model
from ofa_bert.data.tokenization.tokenizer_json import (
    BYTE_PAIRS,
    CONTINUES,
    SPLIT_SYMBOLS,
    WORDPIECE,
    State,
    checked,
    parse,
)
from ofa_bert.files.reading import Json, read_utf8
from ofa_bert.reporting import shown

VOCABULARY, PAIRS, MERGES = "vocab.txt", "vocab.json", "merges.txt"
_LONGEST_WORD = 100
# Of tokenizer_config.json: whether a blank that stands alone before a word is a token, as in transformers, and what
# transformers alone writes there.
LONE_BLANKS, OF_TRANSFORMERS = "lone_blanks", "sp_model_kwargs"


def has_byte_pairs(directory: Path, family: str) -> bool:
    return (family, BYTE_PAIRS) in PADDLENLP and (directory / PAIRS).is_file()


def is_cut_again(family: str) -> bool:
    return (family, CUT_AGAIN) in PADDLENLP


def from_vocabulary(directory: Path, family: str, config: Mapping[str, Json]) -> State:
    if has_byte_pairs(directory, family):
        return _byte_pairs(directory, config)
    if is_cut_again(family):
        return _cut_again(directory, config)
    vocabulary = read_vocabulary(directory / VOCABULARY)
    unknown = content_of(config.get("unk_token", "[UNK]"))
    if unknown not in vocabulary:
        raise ValueError(f"{VOCABULARY} has no line {unknown}")
    stated: Mapping[str, Json] = {} if family in LETTER_CASE_ONLY else config
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": flag(stated, "tokenize_chinese_chars", True),
            "strip_accents": flag(stated, "strip_accents", None),  # None: as lowercase says
            "lowercase": flag(config, "do_lower_case", True),
        },
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "BertPreTokenizer"}, SPLIT_SYMBOLS]},
        "decoder": None,
        "model": {
            "type": WORDPIECE,
            "unk_token": unknown,
            "continuing_subword_prefix": CONTINUES,
            "max_input_chars_per_word": _LONGEST_WORD,
            "vocab": vocabulary,
        },
    }


def _cut_again(directory: Path, config: Mapping[str, Json]) -> State:
    if flag(config, "do_lower_case", False):
        raise ValueError("tokenizer_config.json: do_lower_case is true, which is not supported with sentencepiece")
    kwargs = config.get(OF_TRANSFORMERS)
    if kwargs:
        raise ValueError(f"tokenizer_config.json: {OF_TRANSFORMERS} is {shown(kwargs)}, which cuts at random")
    vocabulary, found = read_vocabulary(directory / VOCABULARY), read_model(directory / NAME)
    unknown = content_of(config.get("unk_token", "[UNK]"))
    state: State = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "pre_tokenizer": None,
        "normalizer": {"type": "Precompiled", "precompiled_charsmap": found.table} if found.table else None,
        "decoder": None,
        "model": {
            "type": CUT_AGAIN,
            "unk_token": unknown,
            "vocab": vocabulary,
            "pieces": [[piece, score] for piece, score in found.pieces],
            "digits": digits(),
            "lone_blanks": flag(config, LONE_BLANKS, OF_TRANSFORMERS in config),
        },
    }  # fmt: skip
    return checked(state)


def _byte_pairs(directory: Path, config: Mapping[str, Json]) -> State:
    vocabulary = json_object(directory / PAIRS)
    wrong = [token for token, number in vocabulary.items() if type(number) is not int]
    if wrong or not vocabulary:
        raise ValueError(f"{PAIRS} is no object of tokens and their numbers")
    merges = [line.split() for line in _text(directory / MERGES).split("\n")[1:-1]]  # below a line with the version
    unknown = content_of(config.get("unk_token", "<unk>"))
    blank = flag(config, "add_prefix_space", False)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": blank, "trim_offsets": True, "use_regex": True},
        "decoder": None,
        "model": {
            "type": BYTE_PAIRS,
            "dropout": None,
            "unk_token": unknown if unknown in vocabulary else None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": vocabulary,
            "merges": [pair for pair in merges if len(pair) == 2],
        },
    }


def read_vocabulary(path: Path) -> dict[str, int]:
    """A token a line; of two equal lines the later one counts, an empty line is no token."""
    lines = _text(path).split("\n")
    vocabulary = {token: number for number, token in enumerate(lines) if token}
    if not vocabulary:
        raise ValueError(f"{path.name} is empty")
    return vocabulary


def _text(path: Path) -> str:
    try:
        return read_utf8(path)
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is not UTF-8 text ({error.reason})") from error


def flag(config: Mapping[str, Json], key: str, default: bool | None) -> bool | None:
    value = config.get(key, default)
    if not isinstance(value, bool) and not (value is None and default is None):
        raise ValueError(f"tokenizer_config.json: {key} is {shown(value)}, not true or false")
    return value


def content_of(token: object) -> str:
    content = token.get("content") if isinstance(token, dict) else token
    if not isinstance(content, str) or not content.strip():
        raise ValueError(f"a special token is {shown(token)}")
    return content


def json_object(path: Path) -> dict[str, Json]:
    """A JSON object; {} when there is no such file."""
    if not path.is_file():
        return {}
    value = parse(path)
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} must hold a JSON object, not {type(value).__name__}")
    return value
