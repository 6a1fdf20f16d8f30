"""A text file as a stream of masked-LM batches: one text a line, whole words masked, texts of one length together.

The file is read again in every epoch and never held: only a pool of lines is in memory. What a batch holds follows from
the seed, the epoch and its number, so a resumed run skips what it has seen without tokenizing it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ofa_bert.data.encoding.batches import POOL_BATCHES, Batch
from ofa_bert.data.tokenization.text_tokenizer import Cutter
from ofa_bert.errors import UserError
from ofa_bert.numerics import Bools, Ints

NOT_MASKED = -1
MASK, RANDOM = 0.8, 0.1  # of the chosen tokens: replaced by [MASK], by a random token; the others stay (BERT, 3.1)


@dataclass(frozen=True)
class Words:
    """What masking needs to know of a vocabulary. `continues[token]`: it goes on with the word before it."""

    mask_id: int
    pad_id: int
    special: frozenset[int]
    continues: Bools  # [V] bool
    ordinary: Ints  # ids that a random token is drawn from

    @classmethod
    def of(cls, tokenizer: Cutter) -> Words:
        """From a PaddleNLP tokenizer: WordPiece marks continued words (##), RoBERTa's BPE begun ones (a leading G)."""
        tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        special = frozenset(tokenizer.all_special_ids)
        begins = any(token.startswith("\u0120") for token in tokens)
        if begins:
            continues = [not token.startswith("\u0120") for token in tokens]
        else:
            continues = [token.startswith("##") for token in tokens]
        ordinary = np.asarray([i for i in range(len(tokens)) if i not in special])
        return cls(tokenizer.mask_token_id, tokenizer.pad_token_id, special, np.asarray(continues), ordinary)


def mask_words(ids: Ints, words: Words, share: float, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """(ids with masks, labels) of one text [T]: `share` of its words, at least one, with all their tokens.

    Labels hold the token that was there, and NOT_MASKED where nothing is to be predicted; with a share of 0 everywhere.
    """
    if not share:
        return ids, np.full(len(ids), NOT_MASKED, dtype=np.int64)
    groups: list[list[int]] = []
    for place, token in enumerate(ids.tolist()):
        if token in words.special:
            groups.append([])  # a word does not go on behind a mark
        elif groups and groups[-1] and words.continues[token]:
            groups[-1].append(place)
        else:
            groups.append([place])
    groups = [group for group in groups if group]
    masked, labels = ids.copy(), np.full(len(ids), NOT_MASKED, dtype=np.int64)
    if not groups:
        return masked, labels
    chosen = rng.permutation(len(groups))[: max(1, round(share * len(groups)))]
    for place in itertools.chain.from_iterable(groups[i] for i in chosen):
        labels[place] = ids[place]
        fate = rng.random()
        if fate < MASK:
            masked[place] = words.mask_id
        elif fate < MASK + RANDOM:
            masked[place] = rng.choice(words.ordinary)
    return masked, labels


def read_lines(path: Path) -> Iterator[str]:
    """The lines that hold text, without surrounding blanks. UserError with the line number for other encodings."""
    with open(path, "rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                line = raw.decode("utf-8").strip()
            except UnicodeDecodeError as error:
                raise UserError(f"{path}, line {number}: not UTF-8 ({error.reason}); convert the file") from error
            if line:
                yield line


def count_texts(path: str | Path, held_out: int) -> int:
    """How many there are. UserError without a file, for one that is no UTF-8, or has not twice `held_out` texts."""
    if not Path(path).is_file():
        raise UserError(f"`corpus` {path}: no such file; name a UTF-8 text file with one sentence or paragraph a line")
    texts = sum(1 for _ in read_lines(Path(path)))
    if texts < 2 or 2 * held_out > texts:
        raise UserError(f"`corpus` {path}: has {texts} texts; {held_out} of them cannot be held out, at most half")
    return texts


class Corpus:
    """Batches of one process. Every `hold_every`-th text is held out and never trained on.

    Has what `loop.fit` wants of batches. Batch.labels are [B, T]: the token to predict, or NOT_MASKED.
    """

    def __init__(
        self, path: str | Path, tokenizer: Cutter, max_seq_length: int, batch_size: int, seed: int, share: float,
        held_out: int = 0, rank: int = 0, world: int = 1,
    ) -> None:  # fmt: skip
        self.path, self.tokenizer, self.max_seq_length = Path(path), tokenizer, max_seq_length
        self.batch_size, self.seed, self.share, self.rank, self.world = batch_size, seed, share, rank, world
        self.texts = count_texts(self.path, held_out)
        self.words = Words.of(tokenizer)
        self.hold_every = self.texts // held_out if held_out else 0
        held = -(-self.texts // self.hold_every) if self.hold_every else 0
        self.size = self.texts - held
        self.steps_per_epoch = -(-self.size // self.global_batch)

    @property
    def global_batch(self) -> int:
        return self.batch_size * self.world

    @property
    def facts(self) -> dict[str, object]:
        """What results.json says of the data."""
        parts = {"train": self.size, "held out from train": self.texts - self.size}
        return {
            "task": self.path.name,
            "labels": [],
            "parts": {name: {"rows": rows, "examples": rows, "holds": f"{rows} texts"} for name, rows in parts.items()},
        }

    def held_out(self) -> list[Batch]:
        """The held-out texts, always masked alike."""
        kept = (line for i, line in enumerate(read_lines(self.path)) if self.hold_every and i % self.hold_every == 0)
        encoded = self._encode(list(kept))
        encoded.sort(key=len)
        masked = [self._mask(ids, 1, place) for place, ids in enumerate(encoded)]
        return [
            self._batch(masked[start : start + self.batch_size]) for start in range(0, len(masked), self.batch_size)
        ]

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch `number` without the first `start`; pools that are skipped whole are not tokenized."""
        lines = (line for i, line in enumerate(read_lines(self.path)) if not self.hold_every or i % self.hold_every)
        done = 0
        for pool_number in itertools.count():
            pool = list(itertools.islice(lines, POOL_BATCHES * self.global_batch))
            if not pool:
                return
            batches = -(-len(pool) // self.global_batch)
            if done + batches > start:
                yield from self._pool(pool, batches, (number, pool_number), max(0, start - done))
            done += batches

    def _pool(self, pool: Sequence[str], batches: int, place: tuple[int, int], start: int) -> Iterator[Batch]:
        rng = np.random.default_rng([self.seed, 2, *place])
        # np.resize repeats the shuffle from its start: the last batch is as full as the others.
        order = np.resize(rng.permutation(len(pool)), batches * self.global_batch)
        encoded = self._encode(pool)
        lengths = np.asarray([len(ids) for ids in encoded])
        order = order[np.argsort(lengths[order], kind="stable")].reshape(batches, self.global_batch)
        # Shuffled again, so that lengths do not rise from step to step.
        for indices in rng.permutation(order, axis=0)[start:]:
            yield self._batch([self._mask(encoded[i], 3, *place, i) for i in indices[self.rank :: self.world]])

    def _encode(self, lines: Sequence[str]) -> list[Ints]:
        tokens = self.tokenizer(
            list(lines), max_length=self.max_seq_length, truncation=True, return_token_type_ids=False,
            return_attention_mask=False,
        )["input_ids"]  # fmt: skip
        return [np.asarray(ids, dtype=np.int64) for ids in tokens]

    def _mask(self, ids: Ints, *place: int) -> tuple[Ints, Ints]:
        """Masked by where the text stands, so that every process would mask it alike."""
        return mask_words(ids, self.words, self.share, np.random.default_rng([self.seed, *place]))

    def _batch(self, texts: Sequence[tuple[Ints, Ints]]) -> Batch:
        longest = max(len(ids) for ids, _ in texts)
        ids = np.full((len(texts), longest), self.words.pad_id, dtype=np.int64)  # [B, T]
        labels = np.full((len(texts), longest), NOT_MASKED, dtype=np.int64)  # [B, T]
        for row, (own_ids, own_labels) in enumerate(texts):
            ids[row, : len(own_ids)], labels[row, : len(own_ids)] = own_ids, own_labels
        return Batch(ids, np.zeros_like(ids), labels, np.arange(len(texts)))
