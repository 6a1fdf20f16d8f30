"""A directory's tokenizer, from whichever files it has: tokenizer.json, or a vocabulary with its settings.

Added tokens are taken from all three places where they are kept: tokenizer.json, added_tokens.json, and
added_tokens_decoder in tokenizer_config.json.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ofa_bert.data.text_tokenizer import ADDITIONAL, FILE, PADDLENLP, TextTokenizer
from ofa_bert.data.tokenizer_json import (
    BYTE_PAIRS,
    CONTINUES,
    SPLIT_SYMBOLS,
    WORDPIECE,
    build,
    check_added_token,
    parse,
    read_state,
)
from ofa_bert.errors import UserError
from ofa_bert.reporting import shortened

logger = logging.getLogger(__name__)

_VOCABULARY, _PAIRS, _MERGES = "vocab.txt", "vocab.json", "merges.txt"
# In PaddleNLP's order, which is that of the numbers for those that a vocabulary lacks.
_ROLES = {
    WORDPIECE: {
        "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]",
    },
    BYTE_PAIRS: {
        "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>",
        "cls_token": "<s>", "mask_token": "<mask>",
    },
}  # fmt: skip
_LONGEST_WORD = 100
# tokenizer_config.json -> the normalizer of tokenizer.json.
_NORMALIZER = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}
# Paths, code and what is written anew; the rest of a tokenizer_config.json is handed on.
_NOT_KEPT = ("added_tokens_decoder", "auto_map", "init_args", "init_class", "init_inputs", "name_or_path", ADDITIONAL)


def read_tokenizer(directory: Path, family: str) -> TextTokenizer | None:
    """The tokenizer of a model directory; None where only PaddleNLP cuts as its settings say.

    UserError when there is none, when it is damaged or not what the family is cut with, and when its files disagree.
    """
    _check_there(directory, family)
    try:
        config = _object(directory / "tokenizer_config.json")
        has_file = (directory / FILE).is_file()
        reason = "" if has_file else _only_paddlenlp(config)
        if reason:
            _check_not_lost(directory, config, reason)
            logger.warning("%s: %s is not known to the package tokenizers; PaddleNLP cuts the texts", directory, reason)
            return None
        state = _from_json(directory, config) if has_file else _from_vocabulary(directory, family, config)
        kind = state["model"]["type"]
        if (family, kind) not in PADDLENLP:
            raise ValueError(f"{FILE} is {kind}; a {family} model is cut with {WORDPIECE}")
        roles, additional = _roles(kind, config, _object(directory / "special_tokens_map.json"))
        state["added_tokens"] = _added(directory, config, state, roles, additional)
        tokenizer = TextTokenizer(family, state, roles, _settings(config, state))
        if has_file:
            _check_marks(state, tokenizer)
    except ValueError as error:
        raise UserError(f"{directory}: its tokenizer cannot be loaded ({error})") from error
    return tokenizer


def _check_there(directory: Path, family: str) -> None:
    wanted = [_VOCABULARY]
    if family == "roberta" and (directory / _PAIRS).is_file():
        wanted = [_PAIRS, _MERGES]
    absent = [name for name in wanted if not (directory / name).is_file()]
    if absent and not (directory / FILE).is_file():
        raise UserError(f"{directory}: has no tokenizer; {absent[0]} is missing")


def _object(path: Path) -> dict[str, Any]:
    """A JSON object; {} when there is no such file."""
    if not path.is_file():
        return {}
    value = parse(path)
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} must hold a JSON object, not {type(value).__name__}")
    return value


def _only_paddlenlp(config: Mapping[str, Any]) -> str:
    if config.get("never_split"):
        return f"never_split {shortened(config['never_split'])}"
    return "" if config.get("do_basic_tokenize", True) else "do_basic_tokenize false"


def _check_not_lost(directory: Path, config: Mapping[str, Any], reason: str) -> None:
    """PaddleNLP's tokenizer does not read added_tokens_decoder."""
    known = _read_vocabulary(directory / _VOCABULARY) | _object(directory / "added_tokens.json")
    lost = [token["content"] for token in _stated(directory, config, []) if token["content"] not in known]
    if lost:
        raise ValueError(
            f"{reason} and the added token {shortened(lost[0])} cannot be had together; take the former out of"
            " tokenizer_config.json"
        )


def _flag(config: Mapping[str, Any], key: str, default: bool | None) -> bool | None:
    value = config.get(key, default)
    if not isinstance(value, bool) and not (value is None and default is None):
        raise ValueError(f"tokenizer_config.json: {key} is {shortened(value)}, not true or false")
    return value


def _from_json(directory: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """tokenizer.json; what tokenizer_config.json says of letter case, accents and ideographs goes before."""
    state = read_state(directory / FILE)
    known = {token["content"]: token["id"] for token in state["added_tokens"]} | state["model"]["vocab"]
    if state["model"]["type"] == WORDPIECE and (directory / _VOCABULARY).is_file():
        for token, number in _read_vocabulary(directory / _VOCABULARY).items():
            if known.get(token) != number:
                raise ValueError(
                    f"{shortened(token)} is number {number} in {_VOCABULARY} and {known.get(token, 'none')} in {FILE};"
                    " remove the file that does not belong to the model"
                )
    normalizer = state.get("normalizer") or {}
    if normalizer.get("type") == "BertNormalizer":
        for key, name in _NORMALIZER.items():
            wanted = _flag(config, key, None)
            if wanted is not None and wanted != _effective(normalizer, name):
                logger.warning("%s: %s is %s, %s says otherwise and is not followed", directory, key, wanted, FILE)
                normalizer[name] = wanted
    return state


def _effective(normalizer: Mapping[str, Any], name: str) -> object:
    value = normalizer.get(name)
    return normalizer.get("lowercase") if name == "strip_accents" and value is None else value


def _from_vocabulary(directory: Path, family: str, config: Mapping[str, Any]) -> dict[str, Any]:
    if family == "roberta" and (directory / _PAIRS).is_file():
        return _byte_pairs(directory, config)
    vocabulary = _read_vocabulary(directory / _VOCABULARY)
    unknown = _content(config.get("unk_token", "[UNK]"))
    if unknown not in vocabulary:
        raise ValueError(f"{_VOCABULARY} has no line {unknown}")
    stated = {} if family == "ernie" else config  # PaddleNLP's ERNIE knows letter case only
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": _flag(stated, "tokenize_chinese_chars", True),
            "strip_accents": _flag(stated, "strip_accents", None),  # None: as lowercase says
            "lowercase": _flag(config, "do_lower_case", True),
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


def _byte_pairs(directory: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    vocabulary = _object(directory / _PAIRS)
    wrong = [token for token, number in vocabulary.items() if type(number) is not int]
    if wrong or not vocabulary:
        raise ValueError(f"{_PAIRS} is no object of tokens and their numbers")
    merges = [line.split() for line in _text(directory / _MERGES).split("\n")[1:-1]]  # below a line with the version
    unknown = _content(config.get("unk_token", "<unk>"))
    blank = _flag(config, "add_prefix_space", False)
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


def _read_vocabulary(path: Path) -> dict[str, int]:
    """A token a line; of two equal lines the later one counts, an empty line is no token."""
    lines = _text(path).split("\n")
    vocabulary = {token: number for number, token in enumerate(lines) if token}
    if not vocabulary:
        raise ValueError(f"{path.name} is empty")
    return vocabulary


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is not UTF-8 text ({error.reason})") from error


def _roles(kind: str, config: Mapping[str, Any], special: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """What each special token is, and the further special ones. special_tokens_map.json goes before the settings."""
    stated = {**config, **special}
    roles = {role: _content(stated.get(role) or default) for role, default in _ROLES[kind].items()}
    additional = stated.get(ADDITIONAL) or []
    if not isinstance(additional, list):
        raise ValueError(f"{ADDITIONAL} is {shortened(additional)}, no list")
    return roles, [_content(token) for token in additional]


def _content(token: object) -> str:
    content = token.get("content") if isinstance(token, dict) else token
    if not isinstance(content, str) or not content.strip():
        raise ValueError(f"a special token is {shortened(token)}")
    return content


def _added(
    directory: Path, config: Mapping[str, Any], state: Mapping[str, Any], roles: Mapping[str, str], more: list[str]
) -> list[dict[str, Any]]:
    """Every added and special token with its number, by number. The first that describes a token decides how it is."""
    vocabulary = state["model"]["vocab"]
    special = list(dict.fromkeys([*roles.values(), *more]))
    found: dict[str, dict[str, Any]] = {}
    for token in [*state["added_tokens"], *_stated(directory, config, special)]:
        content, number = token["content"], token["id"]
        known = vocabulary.get(content, found.get(content, token)["id"])
        if known != number:
            raise ValueError(f"the added token {shortened(content)} is number {number} here and {known} elsewhere")
        found.setdefault(content, token)
    end = max([*vocabulary.values(), *(token["id"] for token in found.values())]) + 1
    absent = [token for token in special if token not in found and token not in vocabulary]
    numbers = {**vocabulary, **{token: end + place for place, token in enumerate(absent)}}
    for content in special:
        # RoBERTa's mask takes the blank before it along, as a word would.
        before = content == roles["mask_token"] and state["model"]["type"] == BYTE_PAIRS
        if content not in found:
            token = {"content": content, "id": numbers[content], "special": True, "lstrip": before}
            check_added_token(token)
            found[content] = token
    _check_numbers(vocabulary, found.values())
    return sorted(found.values(), key=lambda token: token["id"])


def _check_numbers(vocabulary: Mapping[str, int], added: Iterable[Mapping[str, Any]]) -> None:
    owners = {number: token for token, number in vocabulary.items()}
    for token in added:
        owner = owners.setdefault(token["id"], token["content"])
        if owner != token["content"]:
            raise ValueError(f"{shortened(owner)} and the added token {shortened(token['content'])} share a number")


def _stated(directory: Path, config: Mapping[str, Any], special: list[str]) -> Iterator[dict[str, Any]]:
    """The added tokens that tokenizer_config.json and added_tokens.json name."""
    decoder = config.get("added_tokens_decoder") or {}
    if not isinstance(decoder, dict):
        raise ValueError(f"added_tokens_decoder is {shortened(decoder)}, no object")
    for number, about in decoder.items():
        if not number.isdecimal() or not isinstance(about, dict):
            raise ValueError(f"added_tokens_decoder: {shortened(number)} is {shortened(about)}")
        token = {key: about[key] for key in about if not key.startswith("__")} | {"id": int(number)}
        check_added_token(token)
        yield token
    for content, number in _object(directory / "added_tokens.json").items():
        token = {"content": content, "id": number, "special": content in special}
        check_added_token(token)
        yield token


def _settings(config: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    """tokenizer_config.json as it will be written: what the tokenizer really does, and what it says besides."""
    kept = {key: value for key, value in config.items() if key not in _NOT_KEPT and not key.endswith("_file")}
    normalizer = state.get("normalizer") or {}
    if normalizer.get("type") == "BertNormalizer":
        kept.update({key: normalizer.get(name) for key, name in _NORMALIZER.items()})
    pre = state.get("pre_tokenizer") or {}
    if pre.get("type") == "ByteLevel":
        kept["add_prefix_space"] = pre.get("add_prefix_space", True)
    return kept


def _check_marks(state: Mapping[str, Any], tokenizer: TextTokenizer) -> None:
    """A post-processor that the file brings must do what the family's does."""
    if state.get("post_processor") is None:
        return
    theirs = build(state)
    for texts in (("a",), ("a", "a")):
        found, wanted = theirs.encode(*texts), tokenizer.fast.encode(*texts)
        if (found.ids, found.type_ids) != (wanted.ids, wanted.type_ids):
            raise ValueError(
                f"{FILE} marks a text as {' '.join(found.tokens)} (types {found.type_ids}), a {tokenizer.family} model"
                f" expects {' '.join(wanted.tokens)} (types {wanted.type_ids})"
            )
