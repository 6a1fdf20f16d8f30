"""A directory's tokenizer, from whichever files it has: tokenizer.json, or a vocabulary with its settings.

Added tokens are taken from all three places where they are kept: tokenizer.json, added_tokens.json, and
added_tokens_decoder in tokenizer_config.json.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ofa_bert.data.tokenization.families import PADDLENLP
from ofa_bert.data.tokenization.saving import ADDITIONAL, FILE
from ofa_bert.data.tokenization.second_cut import CUT_AGAIN
from ofa_bert.data.tokenization.sentencepiece_model import NAME
from ofa_bert.data.tokenization.text_tokenizer import TextTokenizer
from ofa_bert.data.tokenization.tokenizer_json import (
    BYTE_PAIRS,
    UNIGRAM,
    WORDPIECE,
    AddedToken,
    State,
    build,
    checked_token,
    read_state,
    vocabulary_of,
)
from ofa_bert.data.tokenization.vocabulary_files import (
    MERGES,
    PAIRS,
    VOCABULARY,
    content_of,
    flag,
    from_vocabulary,
    has_byte_pairs,
    is_cut_again,
    json_object,
    read_vocabulary,
)
from ofa_bert.errors import UserError
from ofa_bert.files.reading import Json
from ofa_bert.reporting import shown

logger = logging.getLogger(__name__)

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
_ROLES |= {UNIGRAM: _ROLES[BYTE_PAIRS], CUT_AGAIN: _ROLES[WORDPIECE]}
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
        config = json_object(directory / "tokenizer_config.json")
        has_file = (directory / FILE).is_file()
        reason = "" if has_file else _only_paddlenlp(config)
        if reason:
            _check_not_lost(directory, config, reason)
            logger.warning("%s: %s is not known to the package tokenizers; PaddleNLP cuts the texts", directory, reason)
            return None
        state = _from_json(directory, config) if has_file else from_vocabulary(directory, family, config)
        kind = state["model"]["type"]
        if (family, kind) not in PADDLENLP:
            usual = CUT_AGAIN if is_cut_again(family) else WORDPIECE
            raise ValueError(f"{FILE} is {kind}; a {family} model is cut with {usual}")
        roles, additional = _roles(kind, config, json_object(directory / "special_tokens_map.json"))
        state["added_tokens"] = _added(directory, config, state, roles, additional)
        tokenizer = TextTokenizer(family, state, roles, _settings(config, state))
        if has_file:
            _check_marks(state, tokenizer)
    except ValueError as error:
        raise UserError(f"{directory}: its tokenizer cannot be loaded ({error})") from error
    return tokenizer


def _check_there(directory: Path, family: str) -> None:
    wanted = [VOCABULARY]
    if has_byte_pairs(directory, family):
        wanted = [PAIRS, MERGES]
    elif is_cut_again(family):
        wanted = [VOCABULARY, NAME]
    absent = [name for name in wanted if not (directory / name).is_file()]
    if absent and not (directory / FILE).is_file():
        if any(directory.glob("*.model")) and (family, UNIGRAM) in PADDLENLP:
            raise UserError(
                f"{directory}: has a sentencepiece model without {FILE}; transformers' AutoTokenizer writes one when it"
                " loads the directory and saves it again"
            )
        raise UserError(f"{directory}: has no tokenizer; {absent[0]} is missing")


def _only_paddlenlp(config: Mapping[str, Json]) -> str:
    if config.get("never_split"):
        return f"never_split {shown(config['never_split'])}"
    return "" if config.get("do_basic_tokenize", True) else "do_basic_tokenize false"


def _check_not_lost(directory: Path, config: Mapping[str, Json], reason: str) -> None:
    """PaddleNLP's tokenizer does not read added_tokens_decoder."""
    known = read_vocabulary(directory / VOCABULARY) | json_object(directory / "added_tokens.json")
    lost = [token["content"] for token in _stated(directory, config, []) if token["content"] not in known]
    if lost:
        raise ValueError(
            f"{reason} and the added token {shown(lost[0])} cannot be had together; take the former out of"
            " tokenizer_config.json"
        )


def _from_json(directory: Path, config: Mapping[str, Json]) -> State:
    """tokenizer.json; what tokenizer_config.json says of letter case, accents and ideographs goes before."""
    state = read_state(directory / FILE)
    known = {token["content"]: token["id"] for token in state["added_tokens"]} | vocabulary_of(state)
    if state["model"]["type"] in (WORDPIECE, CUT_AGAIN) and (directory / VOCABULARY).is_file():
        for token, number in read_vocabulary(directory / VOCABULARY).items():
            if known.get(token) != number:
                raise ValueError(
                    f"{shown(token)} is number {number} in {VOCABULARY} and {known.get(token, 'none')} in {FILE};"
                    " remove the file that does not belong to the model"
                )
    normalizer = state.get("normalizer") or {}
    if normalizer.get("type") == "BertNormalizer":
        for key, name in _NORMALIZER.items():
            wanted = flag(config, key, None)
            if wanted is not None and wanted != _effective(normalizer, name):
                logger.warning("%s: %s is %s, %s says otherwise and is not followed", directory, key, wanted, FILE)
                normalizer[name] = wanted
    return state


def _effective(normalizer: Mapping[str, object], name: str) -> object:
    value = normalizer.get(name)
    return normalizer.get("lowercase") if name == "strip_accents" and value is None else value


def _roles(kind: str, config: Mapping[str, Json], special: Mapping[str, Json]) -> tuple[dict[str, str], list[str]]:
    """What each special token is, and the further special ones. special_tokens_map.json goes before the settings."""
    stated = {**config, **special}
    roles = {role: content_of(stated.get(role) or default) for role, default in _ROLES[kind].items()}
    additional = stated.get(ADDITIONAL) or []
    if not isinstance(additional, list):
        raise ValueError(f"{ADDITIONAL} is {shown(additional)}, no list")
    return roles, [content_of(token) for token in additional]


def _added(
    directory: Path, config: Mapping[str, Json], state: State, roles: Mapping[str, str], more: list[str]
) -> list[AddedToken]:
    """Every added and special token with its number, by number. The first that describes a token decides how it is."""
    vocabulary = vocabulary_of(state)
    special = list(dict.fromkeys([*roles.values(), *more]))
    found: dict[str, AddedToken] = {}
    for token in [*state["added_tokens"], *_stated(directory, config, special)]:
        content, number = token["content"], token["id"]
        known = vocabulary.get(content, found.get(content, token)["id"])
        if known != number:
            raise ValueError(f"the added token {shown(content)} is number {number} here and {known} elsewhere")
        found.setdefault(content, token)
    end = max([*vocabulary.values(), *(token["id"] for token in found.values())]) + 1
    absent = [token for token in special if token not in found and token not in vocabulary]
    numbers = {**vocabulary, **{token: end + place for place, token in enumerate(absent)}}
    for content in special:
        # RoBERTa's mask takes the blank before it along, as a word would.
        before = content == roles["mask_token"] and state["model"]["type"] in (BYTE_PAIRS, UNIGRAM)
        if content not in found:
            about: dict[str, Json] = {"content": content, "id": numbers[content], "special": True, "lstrip": before}
            found[content] = checked_token(about)
    _check_numbers(vocabulary, found.values())
    return sorted(found.values(), key=lambda token: token["id"])


def _check_numbers(vocabulary: Mapping[str, int], added: Iterable[AddedToken]) -> None:
    owners = {number: token for token, number in vocabulary.items()}
    for token in added:
        owner = owners.setdefault(token["id"], token["content"])
        if owner != token["content"]:
            raise ValueError(f"{shown(owner)} and the added token {shown(token['content'])} share a number")


def _stated(directory: Path, config: Mapping[str, Json], special: list[str]) -> Iterator[AddedToken]:
    """The added tokens that tokenizer_config.json and added_tokens.json name."""
    decoder = config.get("added_tokens_decoder") or {}
    if not isinstance(decoder, dict):
        raise ValueError(f"added_tokens_decoder is {shown(decoder)}, no object")
    for number, about in decoder.items():
        if not number.isdecimal() or not isinstance(about, dict):
            raise ValueError(f"added_tokens_decoder: {shown(number)} is {shown(about)}")
        own = {key: about[key] for key in about if not key.startswith("__")}
        yield checked_token({**own, "id": int(number)})
    for content, place in json_object(directory / "added_tokens.json").items():
        yield checked_token({"content": content, "id": place, "special": content in special})


def _settings(config: Mapping[str, Json], state: State) -> dict[str, Json]:
    """tokenizer_config.json as it will be written: what the tokenizer really does, and what it says besides."""
    kept = {key: value for key, value in config.items() if key not in _NOT_KEPT and not key.endswith("_file")}
    normalizer = state.get("normalizer") or {}
    if normalizer.get("type") == "BertNormalizer":
        kept.update({key: normalizer.get(name) for key, name in _NORMALIZER.items()})
    pre = state.get("pre_tokenizer") or {}
    if pre.get("type") == "ByteLevel":
        kept["add_prefix_space"] = pre.get("add_prefix_space", True)
    return kept


def _check_marks(state: State, tokenizer: TextTokenizer) -> None:
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
