"""A tokenizer as files: tokenizer.json, and beside it what PaddleNLP reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ofa_bert.data.tokenization.families import ELSEWHERE, PADDLENLP
from ofa_bert.data.tokenization.second_cut import CUT_AGAIN
from ofa_bert.data.tokenization.sentencepiece_model import NAME, SentencePiece, model_bytes
from ofa_bert.data.tokenization.tokenizer_json import BYTE_PAIRS, UNIGRAM, WORDPIECE, vocabulary_of

if TYPE_CHECKING:
    from ofa_bert.data.tokenization.text_tokenizer import TextTokenizer

FILE = "tokenizer.json"
ADDITIONAL = "additional_special_tokens"


def save(tokenizer: TextTokenizer, directory: Path) -> None:
    """Into a directory that is made where there is none."""
    model, kind = tokenizer.state["model"], tokenizer.kind
    directory.mkdir(parents=True, exist_ok=True)
    # Not by the library's own save, whose errors do not say that the disk is full.
    (directory / FILE).write_text(_content(tokenizer), encoding="utf-8")
    if kind in (WORDPIECE, CUT_AGAIN):
        _write_lines(directory / "vocab.txt", _lines(model["vocab"]))
    elif kind == BYTE_PAIRS:
        _write_json(directory / "vocab.json", model["vocab"])
        pairs = (pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"])
        _write_lines(directory / "merges.txt", ["#version: 0.2", *pairs])
    if kind == CUT_AGAIN:
        table = (tokenizer.state["normalizer"] or {}).get("precompiled_charsmap", "")
        (directory / NAME).write_bytes(model_bytes(SentencePiece([(*piece,) for piece in model["pieces"]], table)))
    _write_json(directory / "special_tokens_map.json", _special_tokens_map(tokenizer))
    about = {"tokenizer_class": PADDLENLP[tokenizer.family, kind] or ELSEWHERE[kind]}
    _write_json(directory / "tokenizer_config.json", {**tokenizer.settings, **tokenizer.roles, **about})
    known = vocabulary_of(tokenizer.state)
    added = tokenizer.state["added_tokens"]
    beyond = {token["content"]: token["id"] for token in added if token["content"] not in known}
    if beyond:
        _write_json(directory / "added_tokens.json", beyond)


def _content(tokenizer: TextTokenizer) -> str:
    """tokenizer.json. The library rounds Unigram's scores when it writes them, so those are written as they were."""
    if tokenizer.kind == CUT_AGAIN:  # the library knows no such model
        return json.dumps(tokenizer.state, ensure_ascii=False)
    content: str = tokenizer.fast.to_str(pretty=True)
    if tokenizer.kind != UNIGRAM:
        return content
    made = json.loads(content)
    made["model"]["vocab"] = tokenizer.state["model"]["vocab"]
    return json.dumps(made, ensure_ascii=False)


def _special_tokens_map(tokenizer: TextTokenizer) -> dict[str, object]:
    known = {token["content"]: token for token in tokenizer.state["added_tokens"]}

    def entry(content: str) -> str | dict[str, object]:
        # A plain string eats the blanks around it in PaddleNLP, which only byte pairs would notice.
        token = known.get(content)
        if tokenizer.is_wordpiece or token is None:
            return content
        return {key: token[key] for key in ("content", "single_word", "lstrip", "rstrip", "normalized")}

    others = [token for token in tokenizer.all_special_tokens if token not in tokenizer.roles.values()]
    roles: dict[str, object] = {role: entry(token) for role, token in tokenizer.roles.items()}
    return {**roles, ADDITIONAL: [entry(token) for token in others]} if others else roles


def _lines(vocabulary: Mapping[str, int]) -> list[str]:
    """vocab.txt: a token stands in the line of its number. A line without one repeats the last, which counts later."""
    tokens = {number: token for token, number in vocabulary.items()}
    last = tokens[max(tokens)]
    return [tokens.get(number, last) for number in range(max(tokens) + 1)]


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8", newline="")


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
