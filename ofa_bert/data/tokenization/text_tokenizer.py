"""Texts to token ids, in training and in deployment by the same tokenizer.json and the same function."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, overload

import numpy as np

from ofa_bert.data.tokenization import saving
from ofa_bert.data.tokenization.second_cut import CUT_AGAIN
from ofa_bert.data.tokenization.tokenizer_json import (
    BYTE_PAIRS,
    UNIGRAM,
    WORDPIECE,
    State,
    build,
    vocabulary_of,
    with_tokens,
)
from ofa_bert.errors import UserError, first_line
from ofa_bert.files.reading import Json
from ofa_bert.numerics import Ints
from ofa_bert.reporting import shown

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

_KEYS = ("input_ids", "token_type_ids")

Text: TypeAlias = str | tuple[str, str]


class PaddleTokenizer(Protocol):
    """What this project uses of PaddleNLP's tokenizers."""

    @property
    def init_kwargs(self) -> Mapping[str, object]: ...
    @property
    def pad_token_id(self) -> int: ...
    @property
    def mask_token_id(self) -> int: ...
    @property
    def all_special_ids(self) -> list[int]: ...
    def __len__(self) -> int: ...
    def get_vocab(self) -> dict[str, int]: ...
    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]: ...
    def save_pretrained(self, directory: str, /) -> object: ...
    def __call__(
        self, text: list[str], text_pair: list[str] | None = None, max_length: int | None = None, **asked: bool | str
    ) -> Mapping[str, list[list[int]]]: ...


class CutTexts(NamedTuple):
    """Token ids of texts or of pairs, and how long each was before it was cut, special tokens included."""

    input_ids: list[Ints]  # N of [T_i] int64
    token_type_ids: list[Ints]  # N of [T_i] int64
    whole: Ints  # [N] int64, T_i or more


Cutter: TypeAlias = "TextTokenizer | PaddleTokenizer"  # PaddleNLP's where it has to be


class TextTokenizer:
    """A checked tokenizer.json, what its special tokens are for, and the settings that PaddleNLP wants beside it.

    `roles` are PaddleNLP's names (pad_token, cls_token, ...) of tokens. Has what this project uses of a PaddleNLP
    tokenizer, under its names. Ids have no upper bound here but the vocabulary's: whoever loads a model compares.
    ValueError when the library refuses.

        tokenizer = read_tokenizer(Path("best"), "bert")
        input_ids, token_type_ids = tokenizer.encode(["a text", "another"], limit=128)
    """

    def __init__(self, family: str, state: State, roles: Mapping[str, str], settings: Mapping[str, Json]):
        self.family, self.roles, self.settings = family, dict(roles), dict(settings)
        self.state = {**state, "post_processor": template(state, roles)}
        self.fast: Tokenizer = build(self.state)
        self._ids: dict[str, int] = self.fast.get_vocab(with_added_tokens=True)
        self._size = max(self._ids.values()) + 1

    @property
    def kind(self) -> str:
        """One of those of tokenizer_json."""
        return str(self.state["model"]["type"])

    @property
    def is_wordpiece(self) -> bool:
        return self.kind == WORDPIECE

    @property
    def pad_token_id(self) -> int:
        return self._ids[self.roles["pad_token"]]

    @property
    def mask_token_id(self) -> int:
        return self._ids[self.roles["mask_token"]]

    @property
    def added_tokens(self) -> list[str]:
        """Everything that is found in a text before it is cut into words."""
        return [token["content"] for token in self.state["added_tokens"]]

    @property
    def all_special_tokens(self) -> list[str]:
        special = [token["content"] for token in self.state["added_tokens"] if token["special"]]
        return list(dict.fromkeys([*self.roles.values(), *special]))

    @property
    def all_special_ids(self) -> list[int]:
        return [self._ids[token] for token in self.all_special_tokens]

    @property
    def can_trim(self) -> bool:
        """Whether fewer tokens mean no other cut of a text whose tokens are all there; merges of byte pairs do.

        What is cut again has its pieces apart, which stay.
        """
        return self.kind != BYTE_PAIRS

    @property
    def not_to_lose(self) -> set[str]:
        """Every added and special token; in Unigram also the least likely one, which says what an unknown one costs."""
        found = {*self.added_tokens, *self.all_special_tokens}
        if self.kind == UNIGRAM:
            found.add(min(self.state["model"]["vocab"], key=lambda entry: entry[1])[0])
        return found

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what decides the ids."""
        return hashlib.sha256(json.dumps(self.state, sort_keys=True).encode()).hexdigest()

    def get_vocab(self) -> dict[str, int]:
        """Every token and its number, added ones too."""
        return dict(self._ids)

    def __len__(self) -> int:
        """How many rows a model needs: the largest number and one."""
        return self._size

    def convert_ids_to_tokens(self, ids: Iterable[int]) -> list[str]:
        """Tokens; the unknown one for a number without a token."""
        tokens = {number: token for token, number in self._ids.items()}
        return [tokens.get(int(number), self.roles["unk_token"]) for number in ids]

    def encode(self, texts: Sequence[Text], limit: int | None = None) -> tuple[list[Ints], list[Ints]]:
        """(input_ids, token_type_ids), each a list of [T_i] int64, of texts or of pairs."""
        return encode_texts(self.fast, texts, limit)

    def cut(self, texts: Sequence[Text], limit: int | None = None) -> CutTexts:
        """As `encode`, with the lengths before the cut."""
        return cut_texts(self.fast, texts, limit)

    @overload
    def __call__(
        self, text: str, text_pair: str | None = None, max_length: int | None = None, **asked: bool | str
    ) -> dict[str, list[int]]: ...
    @overload
    def __call__(
        self, text: list[str], text_pair: list[str] | None = None, max_length: int | None = None, **asked: bool | str
    ) -> dict[str, list[list[int]]]: ...
    def __call__(
        self, text: str | list[str], text_pair: str | list[str] | None = None, max_length: int | None = None,
        **asked: bool | str,
    ) -> dict[str, list[int]] | dict[str, list[list[int]]]:  # fmt: skip
        """input_ids and token_type_ids of one text or of several, as lists: called as a PaddleNLP tokenizer is."""
        if asked.get("padding"):
            raise TypeError("texts are not padded here; data.encoding.batches does it")
        if isinstance(text, str):
            found = self.encode([(text, text_pair) if isinstance(text_pair, str) else text], max_length)
            return {key: rows[0].tolist() for key, rows in zip(_KEYS, found)}
        texts = text if text_pair is None else list(zip(text, text_pair))
        return {key: [row.tolist() for row in rows] for key, rows in zip(_KEYS, self.encode(texts, max_length))}

    def trimmed(self, kept: Sequence[str]) -> TextTokenizer:
        """The same over fewer tokens, numbered in the order of `kept`, which must hold those of `not_to_lose`."""
        numbers = {token: number for number, token in enumerate(kept)}
        added = self.state["added_tokens"]
        state = {
            **self.state,
            "model": with_tokens(self.state, kept),
            "added_tokens": [{**token, "id": numbers[token["content"]]} for token in added],
        }
        return TextTokenizer(self.family, state, self.roles, self.settings)

    def save_pretrained(self, directory: str | Path) -> None:
        """tokenizer.json, and beside it the files that PaddleNLP's from_pretrained reads."""
        saving.save(self, Path(directory))


def template(state: State, roles: Mapping[str, str]) -> dict[str, object]:
    """The post-processor: [CLS] A [SEP] B [SEP] with types 0 and 1; others: two marks between, type 0; what is cut
    again: two, type 1 from the first of them on, as PaddleNLP says it."""
    wordpiece, again = (state["model"]["type"] == kind for kind in (WORDPIECE, CUT_AGAIN))
    numbers = {token["content"]: token["id"] for token in state["added_tokens"]} | vocabulary_of(state)
    start, end = roles["cls_token"], roles["sep_token"]

    def mark(token: str, kind: int = 0) -> dict[str, object]:
        return {"SpecialToken": {"id": token, "type_id": kind}}

    first = [mark(start), {"Sequence": {"id": "A", "type_id": 0}}]
    second = int(wordpiece or again)
    between = [mark(end)] if wordpiece else [mark(end, second)] * 2
    more = [{"Sequence": {"id": "B", "type_id": second}}, mark(end, second)]
    marks = {token: {"id": token, "ids": [numbers[token]], "tokens": [token]} for token in (start, end)}
    return {
        "type": "TemplateProcessing",
        "single": [*first, mark(end)],
        "pair": [*first, *between, *more],
        "special_tokens": marks,
    }


def encode_texts(fast: Tokenizer, texts: Sequence[Text], limit: int | None) -> tuple[list[Ints], list[Ints]]:
    """(input_ids, token_type_ids), each a list of [T_i] int64, as `cut_texts` cuts them."""
    input_ids, token_type_ids, _ = cut_texts(fast, texts, limit)
    return input_ids, token_type_ids


def cut_texts(fast: Tokenizer, texts: Sequence[Text], limit: int | None) -> CutTexts:
    """At most `limit` tokens of each text; of a pair the longer text gives first.

    UserError for a text that is no Unicode (half of a surrogate pair).
    """
    return cut_encodings(fast, texts, limit)[0]


def cut_encodings(
    fast: Tokenizer, texts: Sequence[Text], limit: int | None, with_offsets: bool = False
) -> tuple[CutTexts, list[Encoding]]:
    """As `cut_texts`, and the library's own objects; with_offsets: they know the characters of each token."""
    encodings = _run(fast, texts, with_offsets)
    whole = np.asarray([len(encoding) for encoding in encodings], dtype=np.int64)
    if limit is not None:
        for place in np.flatnonzero(whole > limit):
            encodings[place] = _cut(fast, texts[place], limit, with_offsets)
    input_ids = [np.asarray(encoding.ids, dtype=np.int64) for encoding in encodings]
    token_type_ids = [np.asarray(encoding.type_ids, dtype=np.int64) for encoding in encodings]
    return CutTexts(input_ids, token_type_ids, whole), encodings


def _run(fast: Tokenizer, texts: Sequence[Text], with_offsets: bool, **options: bool) -> list[Encoding]:
    try:
        return (fast.encode_batch if with_offsets else fast.encode_batch_fast)(list(texts), **options)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic inside the library is no Exception
        for text in texts:
            for part in (text,) if isinstance(text, str) else text:
                _check_unicode(part)
        raise UserError(f"the tokenizer fails: {first_line(error)}; take another tokenizer.json") from error


def _check_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"the text {shown(text)} holds half of a surrogate pair, no character") from error


def _cut(fast: Tokenizer, text: Text, limit: int, with_offsets: bool) -> Encoding:
    """The encoding of a text that is too long."""
    pair = isinstance(text, tuple)
    parts = _run(fast, list(text) if pair else [text], with_offsets, add_special_tokens=False)
    room = max(0, limit - fast.num_special_tokens_to_add(pair))
    kept = longest_first(len(parts[0]), len(parts[1]), room) if pair else (room,)
    for part, length in zip(parts, kept):
        part.truncate(length)
    return fast.post_process(parts[0], parts[1] if pair else None)


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """How much stays of two texts that together have more than `room` tokens, when the longer one gives first.

    As PaddleNLP does it; the library's own way leaves an odd token to the text that was longer, not to the first.
    """
    if first <= room // 2:
        return first, room - first
    if second <= room // 2:
        return room - second, second
    return room - room // 2, room // 2
