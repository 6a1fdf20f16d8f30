"""Texts that are changed on the fly: which places change, to what, and what the draws follow from. Needs no Paddle."""

import numpy as np
import pytest

from ofa_bert.data.encoding.augmentation import NEAREST, nearest
from ofa_bert.data.encoding.batches import TrainBatches
from ofa_bert.data.encoding.changed_batches import ChangedBatches, NearWords, uniform_draws, word_pieces
from ofa_bert.data.encoding.encoded import Encoded

WORDS = [f"word{letter}" for letter in "abcdefghijklmnopqrst"]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused1]", ",", "...", "1990", "s", "\u597d", "##ing", *WORDS]
SPECIAL = range(5)


class Tokenizer:
    def __init__(self, tokens=PIECES, special=SPECIAL):
        self.tokens, self.all_special_ids = tokens, list(special)

    def __len__(self):
        return len(self.tokens)

    def convert_ids_to_tokens(self, ids):
        return [self.tokens[i] for i in ids]


EMBEDDINGS = np.random.default_rng(0).normal(size=(len(PIECES), 8)).astype("f4")
MAY_CHANGE = np.asarray([token in ("\u597d", "##ing", *WORDS) for token in PIECES])


def texts(count, seed=0):
    rng = np.random.default_rng(seed)
    rows = [np.asarray([2, *rng.integers(5, len(PIECES), rng.integers(3, 20)), 3]) for _ in range(count)]
    return Encoded(rows, [np.zeros(len(row), np.int64) for row in rows], np.arange(count))


def batches(encoded, probability=0.3, share=0.5, batch_size=8, seed=3, rank=0, world=1):
    plain = TrainBatches(encoded, batch_size, seed, 0, rank=rank, world=world)
    return ChangedBatches(plain, NearWords.of(Tokenizer(), EMBEDDINGS, encoded), probability, share)


def by_text(several):
    """Example -> its ids without padding."""
    return {int(index): tuple(ids[ids != 0]) for batch in several for index, ids in zip(batch.index, batch.input_ids)}


def test_word_pieces_are_told_from_all_else():
    assert word_pieces(Tokenizer()).tolist() == MAY_CHANGE.tolist()
    tokens = [
        "<s>",
        "<pad>",
        "\u0120good",
        "good",
        "\u0120a",
        "\u0120",
        "\u00e2\u0122\u013b",
        "\u00c3\u00a9t\u00c3\u00a9",
        "!",
        "<x>",
    ]
    assert word_pieces(Tokenizer(tokens, [0, 1])).tolist() == [t in (2, 3, 7) for t in range(10)]


def test_only_word_pieces_change_and_only_to_near_ones():
    encoded = texts(400)
    near = NearWords.of(Tokenizer(), EMBEDDINGS, encoded)
    changed = words = texts_changed = 0
    for plain, batch in zip(batches(encoded).batches.epoch(0), batches(encoded).epoch(0)):
        assert (plain.index == batch.index).all()
        assert (plain.labels == batch.labels).all()
        assert (plain.token_type_ids == batch.token_type_ids).all()
        differs = plain.input_ids != batch.input_ids
        assert MAY_CHANGE[plain.input_ids[differs]].all()
        for before, after in zip(plain.input_ids[differs], batch.input_ids[differs]):
            assert after in near.near[near.row[before]]
        rows = batch.label_weights == 0
        assert not differs[~rows].any()
        assert set(batch.label_weights.tolist()) <= {0.0, 2.0}
        texts_changed += int(rows.sum())
        changed += int(differs.sum())
        words += int(MAY_CHANGE[plain.input_ids[rows]].sum())
    assert texts_changed / 400 == pytest.approx(0.5, abs=0.08)
    assert changed / words == pytest.approx(0.3, abs=0.04)


def test_near_words_are_words_and_never_the_word_itself():
    candidates = np.flatnonzero(MAY_CHANGE)
    near = NearWords.of(Tokenizer(), EMBEDDINGS, texts(50))
    tokens = np.flatnonzero(near.row >= 0)
    assert set(tokens.tolist()) == set(candidates.tolist())
    assert (near.near == nearest(EMBEDDINGS, tokens, candidates)).all()
    assert near.near.shape == (len(tokens), NEAREST)
    assert MAY_CHANGE[near.near].all()
    assert not (near.near == tokens[:, None]).any()


def test_a_vocabulary_without_near_words_changes_nothing():
    tokenizer = Tokenizer([*PIECES[:9], "word"])
    encoded = Encoded([np.asarray([2, 9, 9, 3])], [np.zeros(4, np.int64)], np.arange(1))
    near = NearWords.of(tokenizer, EMBEDDINGS[:10], encoded)
    ids = encoded.input_ids[0][None]
    assert near.put(ids, np.ones_like(ids, bool), np.full(ids.shape, 0.5)).tolist() == [[2, 9, 9, 3]]


def test_draws_are_even_and_independent_of_each_other():
    texts, places = np.arange(300)[:, None], np.arange(200)[None]
    one, other = uniform_draws((1, 5, 0), texts, places), uniform_draws((1, 5, 1), texts, places)
    assert one.shape == (300, 200)
    assert 0 <= one.min() < 1e-3
    assert 0.999 < one.max() < 1
    for cells in np.split(np.sort(one, axis=None), 10):
        assert cells[-1] - cells[0] == pytest.approx(0.1, abs=0.005)
    for a, b in ((one, other), (one[1:], one[:-1]), (one[:, 1:], one[:, :-1]), (one[1:, 1:], one[:-1, :-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.02
    # The places of a longer row begin with those of a shorter one, and a text draws the same wherever it stands.
    assert (uniform_draws((1, 5, 0), texts[7:9], places[:, :9]) == one[7:9, :9]).all()
    assert len(np.unique(one)) == one.size


def test_a_resumed_epoch_draws_the_same_and_every_epoch_is_new():
    encoded = texts(64)
    whole = [batch.input_ids for batch in batches(encoded).epoch(1)]
    rest = [batch.input_ids for batch in batches(encoded).epoch(1, start=5)]
    assert all(np.array_equal(a, b) for a, b in zip(whole[5:], rest, strict=True))
    first, second = by_text(batches(encoded).epoch(0)), by_text(batches(encoded).epoch(1))
    assert sum(first[i] != second[i] for i in first) > 20
    other = by_text(batches(encoded, seed=4).epoch(0))
    assert sum(first[i] != other[i] for i in first) > 20


def test_two_processes_draw_what_one_draws():
    encoded = texts(64)
    one = by_text(batches(encoded, batch_size=8).epoch(2))
    two = [batch for rank in (0, 1) for batch in batches(encoded, batch_size=4, rank=rank, world=2).epoch(2)]
    assert by_text(two) == one


def test_where_every_text_changes_no_label_counts():
    for batch in batches(texts(16), share=1.0).epoch(0):
        assert not batch.label_weights.any()
