"""New training texts for distillation: words are replaced by near ones (TinyBERT, arXiv 1909.10351, 4.2).

Near means by cosine in the teacher's own word embeddings. Such texts have no labels: the teacher answers for them.
Copies are made before training, in which whole words change; `changed_batches` changes word pieces on the fly.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ofa_bert.data.corpus import Words
from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.data.tokenization.text_tokenizer import Cutter
from ofa_bert.numerics import Bools, Floats, Ints
from ofa_bert.progress import Progress

SHARE, NEAREST = 0.4, 15  # of the words of a text, and candidates for each: the paper's p and K
_CELLS = 1 << 24  # cosines held at once: 64 MiB


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
    group = encoded.group
    if group is not None:  # copies of an example are another one
        group = np.concatenate([group + copy * (int(group.max()) + 1) for copy in range(copies + 1)])
    types, labels = encoded.token_type_ids * (copies + 1), np.concatenate([encoded.labels] * (copies + 1))
    windows = encoded.windows * (copies + 1)
    return Encoded(texts, types, labels, group=group, per_token=encoded.per_token, windows=windows)


def nearest(embeddings: Floats, tokens: Ints, candidates: Ints) -> Ints:
    """[tokens, K]: of each token the K = NEAREST candidates by cosine, itself left out, nearest first.

    K is less where there are fewer candidates.
    """
    count = min(NEAREST, len(candidates) - 1)
    if count < 1:
        return np.zeros([len(tokens), 0], np.int64)
    unit = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    others = np.ascontiguousarray(unit[candidates].T)  # [H, candidates]
    rows = max(1, _CELLS // len(candidates))
    found = np.zeros([len(tokens), count], np.int64)
    with Progress(total=len(tokens), desc="near words", unit="word", leave=False) as bar:
        for start in range(0, len(tokens), rows):
            some = tokens[start : start + rows]
            cosines = unit[some] @ others  # [rows, candidates]
            cosines[some[:, None] == candidates] = -np.inf
            best = np.argpartition(cosines, -count, axis=1)[:, -count:]
            order = np.argsort(-np.take_along_axis(cosines, best, 1), axis=1, kind="stable")
            found[start : start + rows] = candidates[np.take_along_axis(best, order, 1)]
            bar.update(len(some))
    return found


def neighbours(embeddings: Floats, tokens: Ints, candidates: Ints) -> dict[int, Ints]:
    """Token -> its `nearest`; empty where there are none."""
    found = nearest(embeddings, tokens, candidates)
    return dict(zip(tokens.tolist(), found)) if found.shape[1] else {}


def replaced(ids: Ints, vocabulary: Vocabulary, near: dict[int, Ints], rng: np.random.Generator) -> Ints:
    """A copy of one text [T] with about SHARE of its words of one token replaced by near ones."""
    copy = ids.copy()
    for place in np.flatnonzero(vocabulary.single(ids) & (rng.random(len(ids)) < SHARE)):
        options = near.get(int(ids[place]))
        if options is not None:
            copy[place] = rng.choice(options)
    return copy
