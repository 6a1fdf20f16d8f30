"""Unigram whose pieces are cut again, at ideographs, marks and numbers: what ERNIE-M is cut with.

No part of a tokenizer.json stands behind its model, so this is a kind of model that the package tokenizers does not
know: other software refuses the file instead of giving other numbers. `model` holds the pieces that the first cut finds
with their scores, and apart from them the vocabulary that what is left of a piece is looked up in.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from ofa_bert.data.tokenization.character_table import CharacterTable
from ofa_bert.reporting import shown

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

    from ofa_bert.data.tokenization.tokenizer_json import AddedToken, State

CUT_AGAIN = "UnigramCutAgain"  # as `type` of the model
BLANK = "\N{LOWER ONE EIGHTH BLOCK}"
MARKS = ",;:.?!~，；：。？！《》【】"  # PaddleNLP's and transformers' own list
# Stands for what the first cut does not know; no text has it, since blanks are marked before.
_UNKNOWN = "not known"
_FULL = 100_000  # pieces that are remembered
_BLANKS = re.compile(" {2,}")
_BARE: State = {
    "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
    "pre_tokenizer": None, "post_processor": None, "decoder": None,
}  # fmt: skip
_Span: TypeAlias = tuple[int, int]
_ALONE, _DIGITS, _OTHERS = range(1, 4)  # what a part is


class _Part(NamedTuple):
    """Of a piece: what it is, its number in the vocabulary, and where it stands in the piece."""

    kind: int
    number: int
    text: str
    start: int
    end: int


def digits() -> str:
    """What Python here takes for a digit. Stands in the file: a later Python knows more of them."""
    return "".join(letter for letter in map(chr, range(sys.maxunicode + 1)) if letter.isdigit())


def check_cut_again(model: State) -> None:
    """ValueError for a model that cannot cut; whether `vocab` and `pieces` are such is looked at elsewhere."""
    unknown, pieces, known = model.get("unk_token"), model["pieces"], model.get("digits")
    if not isinstance(unknown, str) or unknown not in model["vocab"]:
        raise ValueError(f"its unk_token {shown(unknown)} is not in the vocabulary")
    if any("\n" in token or "\r" in token for token in model["vocab"]):
        raise ValueError("a token of its vocabulary holds a line break")
    if all(piece != BLANK for piece, _ in pieces):
        raise ValueError(f"none of its pieces is the mark of a blank, {BLANK}")
    joined = next((piece for piece, _ in pieces if BLANK in piece[1:]), None)
    if joined is not None:
        raise ValueError(f"its piece {shown(joined)} goes on behind a blank, which is not supported")
    if not isinstance(known, str) or not known.isalnum():
        raise ValueError(f"its digits are {shown(known)}")
    if not isinstance(model.get("lone_blanks"), bool):
        raise ValueError(f"its lone_blanks is {shown(model.get('lone_blanks'))}, not true or false")


def _first_cut(model: State) -> State:
    """The content of a tokenizer.json that gives sentencepiece's own pieces of a text whose blanks are marked."""
    pieces = [[_UNKNOWN, 0.0], *model["pieces"]]
    marked = {"type": "Metaspace", "replacement": BLANK, "prepend_scheme": "never", "split": True}
    return {**_BARE, "pre_tokenizer": marked, "model": {"type": "Unigram", "unk_id": 0, "vocab": pieces}}


def _finding(added: Sequence[AddedToken]) -> State:
    """One that finds added tokens in a text, as it stands: so PaddleNLP and transformers look for them."""
    tokens = [{**token, "id": 1 + number, "normalized": False} for number, token in enumerate(added)]
    model = {"type": "WordLevel", "unk_token": _UNKNOWN, "vocab": {_UNKNOWN: 0}}
    return {**_BARE, "added_tokens": tokens, "model": model}


class _Stretch(NamedTuple):
    """An added token, or a text as the first cut reads it, and where its letters stood, if that is wanted."""

    text: str
    spans: list[_Span]
    added: bool


@dataclass
class Pieces:
    """Has of the library's Encoding what this project uses."""

    ids: list[int] = field(default_factory=list)
    type_ids: list[int] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    offsets: list[_Span] = field(default_factory=list)
    word_ids: list[int | None] = field(default_factory=list)
    special_tokens_mask: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, number: int, token: str, offsets: _Span, word: int | None, kind: int = 0, mark: bool = False) -> None:
        self.ids.append(number)
        self.type_ids.append(kind)
        self.tokens.append(token)
        self.offsets.append(offsets)
        self.word_ids.append(word)
        self.special_tokens_mask.append(int(mark))

    def truncate(self, length: int) -> None:
        for each in vars(self).values():
            del each[length:]


class SecondCut:
    """Has of the library's Tokenizer what this project uses.

    build: from the content of a tokenizer.json to the library's object. ValueError for a state that is none.
    """

    normalizer = None  # added tokens are found before anything is done to a text

    def __init__(self, state: State, build: Callable[[State], Tokenizer]):
        model, added = state["model"], state["added_tokens"]
        self.state = state
        self._table = CharacterTable((state.get("normalizer") or {}).get("precompiled_charsmap", ""))
        self._first, self._finds = build(_first_cut(model)), build(_finding(added))
        self._added = re.compile("|".join(re.escape(token["content"]) for token in added) or "(?!)")
        self._numbers: dict[str, int] = {**model["vocab"], **{token["content"]: token["id"] for token in added}}
        self._unknown: int = model["vocab"][model["unk_token"]]
        self._lone_blanks: bool = model["lone_blanks"]
        known = re.escape(model["digits"])
        alone = f"\u4e00-\u9fff{re.escape(MARKS)}"
        self._parts = re.compile(f"([{alone}])|([{known}]+)|([^{alone}{known}]+)")
        self._marked = {False: self._template("single", "A"), True: self._template("pair", "AB")}
        self._seen: dict[str, list[_Part]] = {}

    def token_to_id(self, token: str) -> int | None:
        return self._numbers.get(token)

    def get_vocab(self, with_added_tokens: bool = True) -> dict[str, int]:
        return dict(self._numbers if with_added_tokens else self.state["model"]["vocab"])

    def num_special_tokens_to_add(self, is_pair: bool) -> int:
        return sum(not is_text for is_text, *_ in self._marked[is_pair])

    def encode(self, sequence: str, pair: str | None = None, add_special_tokens: bool = True) -> Pieces:
        return self.encode_batch([sequence if pair is None else (sequence, pair)], add_special_tokens)[0]

    def encode_batch(
        self, texts: Sequence[str | tuple[str, str]], add_special_tokens: bool = True, spans: bool = True
    ) -> list[Pieces]:
        parts = [part for text in texts for part in ((text,) if isinstance(text, str) else text)]
        cut = [self._stretches(part, spans) for part in parts]
        # Not by encode_batch_fast, which leaves out the texts of the pieces.
        pieces = iter(
            self._first.encode_batch([each.text for stretches in cut for each in stretches if not each.added])
        )
        found = iter([self._again([(each, None if each.added else next(pieces)) for each in row]) for row in cut])
        return [
            self.post_process(next(found), None if isinstance(text, str) else next(found), add_special_tokens)
            for text in texts
        ]

    def encode_batch_fast(
        self, texts: Sequence[str | tuple[str, str]], add_special_tokens: bool = True
    ) -> list[Pieces]:
        """Without the places in the text."""
        return self.encode_batch(texts, add_special_tokens, spans=False)

    def post_process(self, first: Pieces, second: Pieces | None = None, add_special_tokens: bool = True) -> Pieces:
        """With the marks around."""
        made, texts = Pieces(), {"A": first, "B": second}
        for is_text, name, kind in self._marked[second is not None]:
            if not is_text:
                if add_special_tokens:
                    made.add(self._numbers[name], name, (0, 0), None, kind, mark=True)
                continue
            source = texts[name]
            assert source is not None  # a template of one text has no B
            for number, token, span, word in zip(source.ids, source.tokens, source.offsets, source.word_ids):
                made.add(number, token, span, word, kind)
        return made

    def _template(self, name: str, texts: str) -> list[tuple[bool, str, int]]:
        """Whether each part of a marked text is one of the `texts` or a mark, its name and its type."""
        made = self.state.get("post_processor")
        if made is None:
            return [(True, text, kind) for kind, text in enumerate(texts)]
        parts = made.get(name) if isinstance(made, dict) and made.get("type") == "TemplateProcessing" else None
        found = []
        for part in parts if isinstance(parts, list) else [None]:
            (key, about), *more = part.items() if isinstance(part, dict) and part else [("", None)]
            known = {"Sequence": texts, "SpecialToken": self._numbers}.get(key, ())
            which, kind = (about.get("id"), about.get("type_id")) if isinstance(about, dict) else (None, None)
            if more or not isinstance(which, str) or which not in known or kind not in (0, 1):
                raise ValueError(f"its post_processor has {shown(part)} in a {name}")
            found.append((key == "Sequence", which, int(kind)))
        if sorted(which for is_text, which, _ in found if is_text) != list(texts):
            raise ValueError(f"its post_processor has a {name} without each text once")
        return found

    def _stretches(self, text: str, spans: bool) -> list[_Stretch]:
        """The added tokens of a text, and what stands between them as the first cut reads it."""
        if self._added.search(text) is None:
            return [self._prepared(text, 0, spans)]
        row = self._finds.encode(text)
        return [
            _Stretch(token, [span], True) if number else self._prepared(text[slice(*span)], span[0], spans)
            for number, token, span in zip(row.ids, row.tokens, row.offsets)
        ]

    def _prepared(self, text: str, start: int, spans: bool) -> _Stretch:
        """Blanks are one each, none at an end, and a mark stands for each and at the start."""
        if not spans:
            changed = _BLANKS.sub(" ", self._table.changed(text).lstrip(" "))
            return _Stretch(f"{BLANK}{changed}".replace(" ", BLANK).rstrip(BLANK), [], False)
        changed, places = self._table.aligned(text)
        kept = [n for n, letter in enumerate(changed) if letter != " " or (n and changed[n - 1] != " ")]
        prepared = (BLANK + "".join(changed[n] for n in kept)).replace(" ", BLANK).rstrip(BLANK)
        where = [(start + places[n][0], start + places[n][1]) for n in kept[: max(0, len(prepared) - 1)]]
        return _Stretch(prepared, [(where[0][0], where[0][0]), *where] if where else [], False)

    def _again(self, stretches: Sequence[tuple[_Stretch, Encoding | None]]) -> Pieces:
        """The second cut of what the first one found in a text. Its words end where it cuts, too."""
        made, words = Pieces(), 0
        for stretch, first in stretches:
            if first is None:
                made.add(self._numbers[stretch.text], stretch.text, stretch.spans[0], words)
                words += 1
                continue
            place, last = 0, (-1, _ALONE)
            for index, (piece, word) in enumerate(zip(first.tokens, first.word_ids)):
                for part in self._kept(first.tokens, index):
                    here = (-1 if word is None else word, part.kind)
                    words, last = words + (here != last or part.kind == _ALONE), here
                    inside = stretch.spans[place + part.start : place + part.end]
                    where = (inside[0][0], inside[-1][1]) if inside else (0, 0)
                    made.add(part.number, part.text, where, words)
                place += len(piece)
            words += 1
        return made

    def _kept(self, pieces: Sequence[str], index: int) -> list[_Part]:
        """What is left of a piece; a blank that stands alone is a token where it is asked for, inside of a text."""
        piece = pieces[index]
        if piece != BLANK:
            return self._cut(piece)
        inside = 0 < index < len(pieces) - 1 and not pieces[index + 1].startswith(BLANK)
        if not self._lone_blanks or not inside:
            return []
        return [_Part(_ALONE, self._numbers.get(BLANK, self._unknown), BLANK, 0, 1)]

    def _cut(self, piece: str) -> list[_Part]:
        """All that a piece is cut into but the mark of a blank."""
        found = self._seen.get(piece)
        if found is None:
            parts = [(each.lastindex or 0, each.group(), *each.span()) for each in self._parts.finditer(piece)]
            found = [
                _Part(kind, self._numbers.get(part, self._unknown), part, *span)
                for kind, part, *span in parts
                if part != BLANK
            ]
            if len(self._seen) < _FULL:
                self._seen[piece] = found
        return found
