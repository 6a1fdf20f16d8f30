"""tokenizer.json for the package `tokenizers`: somebody else's file until it was checked.

What it may hold is what encoders of this project need. A regular expression of its own may run without end, so the only
one that passes is the one written here.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, cast

from ofa_bert.data.tokenization.second_cut import BLANK, CUT_AGAIN, SecondCut, check_cut_again
from ofa_bert.errors import UserError, first_line
from ofa_bert.files.reading import Json, read_utf8
from ofa_bert.reporting import shown
from ofa_bert.system import packages

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# A tokenizer.json that was checked here. What its parts hold depends on their "type", so the values have none.
State: TypeAlias = dict[str, Any]


class AddedToken(TypedDict):
    """A token that is found in a text before it is cut into words."""

    content: str
    id: int
    special: bool
    single_word: bool
    lstrip: bool
    rstrip: bool
    normalized: bool


WORDPIECE, BYTE_PAIRS, UNIGRAM = "WordPiece", "BPE", "Unigram"
CONTINUES = "##"  # how WordPiece marks a piece that goes on with a word

# PaddleNLP cuts at symbols beside punctuation, and at a few more characters.
_SYMBOLS = r"[\p{S}\x{AD}\x{B2}\x{BA}\x{3007}\x{B5}\x{D8}\x{14B}\x{1B1}]"
SPLIT_SYMBOLS = {"type": "Split", "pattern": {"Regex": _SYMBOLS}, "behavior": "Isolated", "invert": False}

_NORMALIZERS = {"BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "StripAccents", "Strip", "Sequence"}
_PRE_TOKENIZERS = {
    "BertPreTokenizer", "ByteLevel", "Digits", "Punctuation", "Sequence", "Whitespace", "WhitespaceSplit",
}  # fmt: skip
# What sentencepiece does before Unigram: its own table of characters, and a mark in place of blanks.
_TABLE, _MARKED = "Precompiled", "Metaspace"
_BLANKS = [{"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": content} for content in (" ", BLANK)]
_KNOWN = (SPLIT_SYMBOLS, *_BLANKS)  # the only regular expressions that pass
_NESTED = 4  # sequences in sequences
_LARGEST_ID = 10_000_000
_LONGEST_WORD = 1000  # WordPiece takes time with the square of a word's length
_MOST_BYTES = 256 << 20
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


def read_state(path: Path) -> State:
    """The content of a tokenizer.json, checked; ValueError says what cannot be used."""
    found = parse(path)
    if not isinstance(found, dict):
        raise ValueError(f"must hold a JSON object, not {type(found).__name__}")
    return checked(found)


def checked(state: State) -> State:
    """What may stand in a tokenizer.json, without what this project decides itself; ValueError."""
    model = state.get("model")
    if not isinstance(model, dict):
        raise ValueError("it has no model")
    # Files of 2020 and before do not name it.
    scored = isinstance(model.get("vocab"), list)
    kind = model.setdefault("type", BYTE_PAIRS if "merges" in model else UNIGRAM if scored else WORDPIECE)
    if not isinstance(kind, str) or kind not in _CHECKS:
        raise ValueError(f"its model is {shown(kind)}, supported are {', '.join(_CHECKS)}")
    _CHECKS[kind](model)
    more = ({_TABLE}, {_MARKED}) if kind == UNIGRAM else (set(), set())
    before = ({_TABLE}, set()) if kind == CUT_AGAIN else (_NORMALIZERS | more[0], _PRE_TOKENIZERS | more[1])
    _check_part("normalizer", state.get("normalizer"), before[0], "normalizers")
    _check_part("pre_tokenizer", state.get("pre_tokenizer"), before[1], "pretokenizers")
    _check_marks("post_processor", state.get("post_processor"))
    _check_added(state.setdefault("added_tokens", []))
    # Lengths and padding are this project's own business, and nothing is ever decoded.
    return {**state, "truncation": None, "padding": None, "decoder": None}


def parse(path: Path) -> Json:
    """JSON of a file; ValueError when it is none, too deep or too large."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"{path.name} is larger than {_MOST_BYTES >> 20} MiB")
        value: Json = json.loads(read_utf8(path))
        return value
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read: {error.strerror or error}") from error
    except RecursionError as error:
        raise ValueError(f"{path.name} is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is not UTF-8 text ({error.reason})") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{path.name} is not a JSON file ({error})") from error


def build(state: State) -> Tokenizer:
    """The library's tokenizer; ValueError with its reason, or for a token that would get another number."""
    again = state["model"]["type"] == CUT_AGAIN  # stands in for the library's wherever one is used here
    tokenizer = cast("Tokenizer", SecondCut(state, _made)) if again else _made(state)
    for token in state["added_tokens"]:
        content, found = token["content"], tokenizer.token_to_id(token["content"])
        if found != token["id"]:
            raise ValueError(
                f"the added token {shown(content)} has number {token['id']} where only {found} is free;"
                " number added tokens from the end of the vocabulary on, without gaps"
            )
        normalizer = tokenizer.normalizer if token["normalized"] else None
        if normalizer is not None and not normalizer.normalize_str(content).strip():
            raise ValueError(f"nothing is left of the added token {shown(content)} when it is normalized")
    return tokenizer


def _made(state: State) -> Tokenizer:
    tokenizers = library()
    try:
        tokenizer: Tokenizer = tokenizers.Tokenizer.from_str(json.dumps(state))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic inside the library is no Exception
        raise ValueError(first_line(error)) from error
    return tokenizer


def load(path: Path) -> Tokenizer:
    """The tokenizer of a bundle. UserError, in one line, for a file that is none or could hang."""
    try:
        return build(read_state(path))
    except ValueError as error:
        raise UserError(f"{path}: not a tokenizer: {error}; copy or export the bundle again") from error


def library() -> ModuleType:
    """The package tokenizers; UserError that says how to get it."""
    # Not at the top: most commands never cut a text, and not every install has it.
    try:
        import tokenizers
    except ImportError as error:
        cure = packages.cure("tokenizers")
        raise UserError(f"the package tokenizers does not load ({error}): {cure}") from error
    return tokenizers


def vocabulary_of(state: State) -> dict[str, int]:
    """The model's tokens and their numbers, without added ones; in Unigram a token stands in its number's place."""
    vocabulary = state["model"]["vocab"]
    if state["model"]["type"] == UNIGRAM:
        return {token: number for number, (token, _) in enumerate(vocabulary)}
    found: dict[str, int] = vocabulary
    return found


def with_tokens(state: State, kept: Sequence[str]) -> State:
    """The model over those of its tokens that are in `kept`, numbered in that order; none of byte pairs."""
    model, known = state["model"], vocabulary_of(state)
    numbers = {token: number for number, token in enumerate(kept) if token in known}
    if model["type"] != UNIGRAM:
        return {**model, "vocab": numbers}
    unknown = model["vocab"][model["unk_id"]][0]
    return {**model, "vocab": [model["vocab"][known[token]] for token in numbers], "unk_id": numbers[unknown]}


def _check_vocabulary(vocabulary: object) -> None:
    if not isinstance(vocabulary, dict) or not vocabulary:
        raise ValueError("its vocabulary is no object of tokens and their numbers")
    for token, number in vocabulary.items():
        if type(number) is not int or not 0 <= number <= _LARGEST_ID:
            raise ValueError(f"its token {shown(token)} has the number {shown(number)}")
    if len(set(vocabulary.values())) < len(vocabulary):
        raise ValueError("two tokens of its vocabulary share a number")


def _check_wordpiece(model: State) -> None:
    _check_vocabulary(model.get("vocab"))
    unknown, prefix = model.get("unk_token"), model.get("continuing_subword_prefix")
    if not isinstance(unknown, str) or unknown not in model["vocab"]:
        raise ValueError(f"its unk_token {shown(unknown)} is not in the vocabulary")
    if prefix != CONTINUES:
        raise ValueError(f"its continuing_subword_prefix is {shown(prefix)}, not {CONTINUES!r}")
    if any("\n" in token or "\r" in token for token in model["vocab"]):
        raise ValueError("a token of its vocabulary holds a line break")
    longest = model.get("max_input_chars_per_word")
    if type(longest) is not int or not 1 <= longest <= _LONGEST_WORD:
        raise ValueError(f"its max_input_chars_per_word is {shown(longest)}, not 1 to {_LONGEST_WORD}")


def _check_byte_pairs(model: State) -> None:
    _check_vocabulary(model.get("vocab"))
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"):
        if model.get(key):
            raise ValueError(f"its model has {key} {shown(model[key])}, which no model here is trained with")
    if not isinstance(model.get("merges"), list):
        raise ValueError("its merges are no list")


def _check_scored(vocabulary: object) -> None:
    if not isinstance(vocabulary, list) or not 0 < len(vocabulary) <= _LARGEST_ID:
        raise ValueError("its vocabulary is no list of tokens and their scores")
    for entry in vocabulary:
        token, score = entry if isinstance(entry, list) and len(entry) == 2 else (None, None)
        number = isinstance(score, (int, float)) and not isinstance(score, bool) and math.isfinite(score)
        if not isinstance(token, str) or not token or not number:
            raise ValueError(f"an entry of its vocabulary is {shown(entry)}, no token and its score")
    if len({token for token, _ in vocabulary}) < len(vocabulary):
        raise ValueError("its vocabulary holds a token twice")


def _check_unigram(model: State) -> None:
    unknown = model.get("unk_id")
    _check_scored(model.get("vocab"))
    if type(unknown) is not int or not 0 <= unknown < len(model["vocab"]):
        raise ValueError(f"its unk_id is {shown(unknown)}, no number of its vocabulary")
    if model.get("byte_fallback"):
        raise ValueError("its model has byte_fallback, which no model here is trained with")


def _check_cut_again(model: State) -> None:
    _check_vocabulary(model.get("vocab"))
    _check_scored(model.get("pieces"))
    check_cut_again(model)


_CHECKS = {
    WORDPIECE: _check_wordpiece, BYTE_PAIRS: _check_byte_pairs, UNIGRAM: _check_unigram, CUT_AGAIN: _check_cut_again,
}  # fmt: skip


def _check_sentencepiece(part: State) -> None:
    """Of what only Unigram may have: sentencepiece's table is a trie behind its size, in base64."""
    if part["type"] == _MARKED and part.get("replacement") != BLANK:
        raise ValueError(f"its {_MARKED} marks a blank as {shown(part.get('replacement'))}, not {BLANK}")
    if part["type"] == _TABLE:
        try:
            table = base64.b64decode(part["precompiled_charsmap"], validate=True)
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise ValueError(f"its {_TABLE} normalizer has no table of characters in base64") from error
        if len(table) < 8 or int.from_bytes(table[:4], "little") > len(table) - 4:
            raise ValueError(f"its {_TABLE} normalizer has a table that is cut off")


def _check_part(name: str, part: object, allowed: set[str], members: str, depth: int = 0) -> None:
    if (part is None and depth == 0) or part in _KNOWN:
        return
    if not isinstance(part, dict):
        raise ValueError(f"its {name} is {shown(part)}")
    kind = part.get("type")
    if not isinstance(kind, str) or kind not in allowed or depth > _NESTED:
        raise ValueError(f"its {name} {shown(kind)} is not supported; known are {', '.join(sorted(allowed))}")
    _check_sentencepiece(part)
    if kind == "Sequence":
        if not isinstance(part.get(members), list):
            raise ValueError(f"its {name} is a Sequence without {members}")
        for member in part[members]:
            _check_part(name, member, allowed, members, depth + 1)


def _check_marks(name: str, part: object, depth: int = 0) -> None:
    """A template that names a mark it does not describe ends in a panic, which says more than one line."""
    if not isinstance(part, dict) or depth > _NESTED:
        if part is None and depth == 0:
            return
        raise ValueError(f"its {name} is {shown(part)}")
    if part.get("type") == "Sequence":
        members = part.get("processors")
        for member in members if isinstance(members, list) else [None]:
            _check_marks(name, member, depth + 1)
    if part.get("type") != "TemplateProcessing":
        return
    marks = part.get("special_tokens")
    for key in ("single", "pair"):
        pieces = part.get(key)
        for piece in pieces if isinstance(pieces, list) else [None]:
            mark = piece.get("SpecialToken") if isinstance(piece, dict) else None
            named = mark.get("id") if isinstance(mark, dict) else None
            known = isinstance(marks, dict) and isinstance(named, str) and named in marks
            if not known and not (isinstance(piece, dict) and "Sequence" in piece):
                raise ValueError(f"its {name} has {shown(piece)} in a {key}, which it does not describe")


def _check_added(added: object) -> None:
    if not isinstance(added, list):
        raise ValueError("its added_tokens are no list")
    for token in added:
        if not isinstance(token, dict):
            raise ValueError(f"its added token {shown(token)} is no object")
        checked_token(token)


def checked_token(token: dict[str, Json]) -> AddedToken:
    """The token, with what it leaves open filled in; ValueError for what it may not be."""
    content, number = token.get("content"), token.get("id")
    if not isinstance(content, str) or not content.strip():
        raise ValueError(f"an added token is {shown(content)}")
    if type(number) is not int or not 0 <= number <= _LARGEST_ID:
        raise ValueError(f"the added token {shown(content)} has the number {shown(number)}")
    token.setdefault("special", False)
    token.setdefault("normalized", not token["special"])
    for flag in _FLAGS:
        if not isinstance(token.setdefault(flag, False), bool):
            raise ValueError(f"the added token {shown(content)} has {flag} {shown(token[flag])}")
    return cast(AddedToken, token)
