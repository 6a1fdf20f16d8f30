"""More training texts for distillation: copies whose words are replaced by near ones (TinyBERT, arXiv 1909.10351, 4.2).

Near means by cosine in the teacher's own word embeddings. The copies have no labels: the teacher answers for them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ofa_bert.data.batches import Encoded
from ofa_bert.data.corpus import Words
from ofa_bert.data.tokenization.text_tokenizer import Cutter
from ofa_bert.numerics import Bools, Floats, Ints

SHARE, NEAREST = 0.4, 15  # of the words of a text, and candidates for each: the paper's p and K
_ROWS = 512  # words whose neighbours are looked up together


class Vocabulary(NamedTuple):
    """Of every token, bool [V]: it is or begins a word of letters; it goes on with the word before it."""

    begins: Bools
    goes_on: Bools

    @classmethod
    def of(cls, tokenizer: Cutter) -> Vocabulary:
        words = Words.of(tokenizer)
        tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        letters = np.asarray([token.lstrip("\u0120").isalpha() for token in tokens])
        special = np.isin(np.arange(len(tokens)), list(words.special))
        return cls(letters & ~words.continues & ~special, words.continues & ~special)

    def single(self, ids: Ints) -> Bools:
        """[T] bool: a word of one token. Its pieces would not fit another word's."""
        return np.asarray(self.begins[ids] & ~np.append(self.goes_on[ids[1:]], False))


def augment(encoded: Encoded, tokenizer: Cutter, embeddings: Floats, copies: int, seed: int) -> Encoded:
    """The texts and, behind them, `copies` of each, as long as they are. `embeddings` [V, H] are the teacher's.

    Words of one token that are made of letters are replaced, by such words. The labels of copies are their texts'.
    """
    vocabulary = Vocabulary.of(tokenizer)
    used = np.unique(np.concatenate(encoded.input_ids))
    near = neighbours(embeddings, used[vocabulary.begins[used]], np.flatnonzero(vocabulary.begins))
    rng = np.random.default_rng([seed, copies])
    texts = list(encoded.input_ids)
    for _ in range(copies):
        texts += [replaced(ids, vocabulary, near, rng) for ids in encoded.input_ids]
    return Encoded(texts, encoded.token_type_ids * (copies + 1), np.concatenate([encoded.labels] * (copies + 1)))


def neighbours(embeddings: Floats, tokens: Ints, candidates: Ints) -> dict[int, Ints]:
    """Token -> the NEAREST candidates by cosine, itself left out, nearest first."""
    count = min(NEAREST, len(candidates) - 1)
    if count < 1:
        return {}
    unit = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    found: dict[int, Ints] = {}
    for start in range(0, len(tokens), _ROWS):
        some = tokens[start : start + _ROWS]
        cosines = unit[some] @ unit[candidates].T  # [rows, candidates]
        cosines[some[:, None] == candidates] = -np.inf
        best = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        order = np.argsort(-np.take_along_axis(cosines, best, 1), axis=1, kind="stable")
        found.update(zip(some.tolist(), candidates[np.take_along_axis(best, order, 1)]))
    return found


def replaced(ids: Ints, vocabulary: Vocabulary, near: dict[int, Ints], rng: np.random.Generator) -> Ints:
    """A copy of one text [T] with about SHARE of its words of one token replaced by near ones."""
    copy = ids.copy()
    for place in np.flatnonzero(vocabulary.single(ids) & (rng.random(len(ids)) < SHARE)):
        options = near.get(int(ids[place]))
        if options is not None:
            copy[place] = rng.choice(options)
    return copy
