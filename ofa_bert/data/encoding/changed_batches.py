"""Training batches in which word pieces are replaced on the fly by near ones, so that every epoch has new texts.

Near means by cosine in the teacher's own word embeddings; the teacher answers for the changed texts.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ofa_bert.data.encoding.augmentation import nearest
from ofa_bert.data.encoding.batches import Batch, TrainBatches
from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.data.tokenization.text_tokenizer import Cutter
from ofa_bert.numerics import Bools, Floats, Ints

_STREAM = 0x61756721  # parts these draws from all others of the same seed
_PLACE = re.compile(r"\[[^\]]+\]|<[^>]+>")  # [unused7], <mask>: of a vocabulary, not of a language


def word_pieces(tokenizer: Cutter) -> Bools:
    """[V] bool: which tokens are words or pieces of words, of any vocabulary.

    Special tokens, unused places, marks and numbers are none, nor is a lone letter of an alphabet, which is rarely a
    word; a lone ideograph is one.
    """
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    special = set(tokenizer.all_special_ids)
    by_bytes = any(token.startswith("\u0120") for token in tokens)
    return np.asarray([i not in special and _is_word(token, by_bytes) for i, token in enumerate(tokens)])


def _is_word(token: str, by_bytes: bool) -> bool:
    if _PLACE.fullmatch(token):
        return False
    text = _of_bytes(token) if by_bytes else token.removeprefix("##").lstrip("\u2581")
    text = text.strip()
    if len(text) == 1:
        return unicodedata.category(text) == "Lo"
    return any(character.isalpha() for character in text)


def _of_bytes(token: str) -> str:
    """The text of a token of a byte-level vocabulary (GPT-2's, RoBERTa's); what is no whole character is left out."""
    return bytes(_BYTES[character] for character in token if character in _BYTES).decode("utf-8", "ignore")


def _byte_table() -> dict[str, int]:
    """Character -> the byte that it stands for: printable bytes for themselves, the others from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    return {
        **{chr(byte): byte for byte in printable},
        **{chr(0x100 + place): byte for place, byte in enumerate(others)},
    }


_BYTES = _byte_table()


@dataclass(frozen=True)
class NearWords:
    """What may stand in the place of each token. `row` [V]: its row of `near` [R, K], -1 for a token that stays."""

    row: Ints
    near: Ints

    @classmethod
    def of(cls, tokenizer: Cutter, embeddings: Floats, encoded: Encoded) -> NearWords:
        """Of the word pieces that these texts have, by the teacher's word embeddings [V, H]."""
        words = word_pieces(tokenizer)
        words[len(embeddings) :] = False
        used = np.unique(np.concatenate(encoded.input_ids))
        tokens = used[words[used]]
        near = nearest(embeddings, tokens, np.flatnonzero(words))
        row = np.full(len(words), -1, np.int64)
        if near.shape[1]:
            row[tokens] = np.arange(len(tokens))
        return cls(row, near)

    def put(self, ids: Ints, wanted: Bools, draws: Floats) -> Ints:
        """Ids with a near word in each place [B, T] that is `wanted` and has any; draws [B, T], 0 to 1, say which."""
        rows = np.where(wanted, self.row[ids], -1)
        changed = rows >= 0
        copy = ids.copy()
        count = self.near.shape[1]
        copy[changed] = self.near[rows[changed], (draws[changed] * count).astype(np.int64)]
        return copy


def uniform_draws(keys: Sequence[int], *more: Ints) -> Floats:
    """Numbers from 0 to below 1, each decided by the keys and its own integers alone; `more` broadcast to its shape.

    SplitMix64's output function, chained: no generator has to be made for each, which would cost more than the draws.
    """
    state = np.asarray(0, np.uint64)
    with np.errstate(over="ignore"):  # it counts modulo 2**64
        for key in (*keys, *more):
            state = (state ^ np.asarray(key).astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return np.asarray((state >> np.uint64(11)) / float(1 << 53))


@dataclass(frozen=True)
class ChangedBatches:
    """`batches`, in which about a `share` of the texts have words replaced by near ones, with `probability` each.

    What happens to a text follows from the seed, the epoch and the text alone: a resumed run draws the same, and so do
    two processes and one. The label of a changed text counts for nothing, those of the others for so much more that
    the sum stays what it was.
    """

    batches: TrainBatches
    near: NearWords
    probability: float
    share: float

    @property
    def steps_per_epoch(self) -> int:
        return self.batches.steps_per_epoch

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """As of `TrainBatches`."""
        for batch in self.batches.epoch(number, start):
            yield self._changed(batch, number)

    def _changed(self, batch: Batch, epoch: int) -> Batch:
        group = self.batches.encoded.group  # an example of several rows changes in all of them, or in none
        example = batch.index if batch.group is None or group is None else group[batch.index]  # [B]
        keys, text = (_STREAM, self.batches.seed, epoch), example[:, None]  # [B, 1]
        place = np.arange(batch.input_ids.shape[1])[None]  # [1, T]
        chosen = uniform_draws((*keys, 0), text) < self.share  # [B, 1]
        wanted = chosen & (uniform_draws((*keys, 1), text, place) < self.probability)  # [B, T]
        ids = self.near.put(batch.input_ids, wanted, uniform_draws((*keys, 2), text, place))
        full = 1 / (1 - self.share) if self.share < 1 else 0.0
        weights = np.where(chosen[:, 0], 0.0, full).astype(np.float32)  # [B]
        return dataclasses.replace(batch, input_ids=ids, label_weights=weights)
