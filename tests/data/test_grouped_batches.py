"""Examples of several rows stay whole: in batches, held-out parts, development shares and changed texts."""

import numpy as np
import pytest

from ofa_bert.data.dev_split import split_dev
from ofa_bert.data.encoding.batches import TrainBatches, example_batches
from ofa_bert.data.encoding.changed_batches import ChangedBatches, NearWords
from ofa_bert.data.encoding.encoded import Encoded, judged
from ofa_bert.data.held_out import HeldOut
from ofa_bert.tasks.groups import MOST
from ofa_bert.tasks.task import Example, Task

TASK = Task("q", (), ("accuracy",), ("text", "choices"), "choices")


def encoded(sizes, shuffled=False):
    """Row i holds the ids [i + 5, ...] and the label i."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    if shuffled:
        group = np.random.default_rng(0).permutation(group)
    ids = [np.full(3 + i % 4, i + 5) for i in range(len(group))]
    return Encoded(
        ids, [np.zeros(len(row), np.int64) for row in ids], np.arange(len(ids), dtype=np.float32), None, group
    )


def rows_of(data, number):
    return set(np.flatnonzero(data.group == number).tolist())


@pytest.mark.parametrize("world", [1, 2])
def test_a_batch_holds_whole_examples_and_an_epoch_every_one(world):
    data = encoded([2, 3, 4, 2, 5, 3, 2], shuffled=True)
    seen = []
    for rank in range(world):
        for batch in TrainBatches(data, 2, 1, 0, rank, world).epoch(0):
            assert set(batch.group) == {0, 1}  # two examples, numbered within the batch
            for number in (0, 1):
                rows = batch.index[batch.group == number]
                assert set(rows.tolist()) == rows_of(data, data.group[rows[0]])
                seen.append(int(data.group[rows[0]]))
    assert set(seen) == set(range(7))
    assert len(seen) == 8


def test_an_example_that_fills_the_last_batch_up_stays_apart_from_itself():
    (batch,) = TrainBatches(encoded([2]), 3, 0, 0).epoch(0)
    assert batch.group.tolist() == [0, 0, 1, 1, 2, 2]


def test_of_long_lists_every_epoch_takes_others():
    data = encoded([MOST + 20, 3])
    batches = TrainBatches(data, 2, 0, 0)
    taken = [{i for batch in batches.epoch(number) for i in batch.index.tolist()} for number in (0, 0, 1)]
    assert taken[0] == taken[1] != taken[2]
    assert all(len(rows & rows_of(data, 0)) == MOST and rows_of(data, 1) <= rows for rows in taken)


def test_every_example_is_measured_once_with_its_rows_together():
    data = encoded([2, 3, 4], shuffled=True)
    found = [(batch.index.tolist(), batch.group.tolist()) for batch in example_batches(data, 2, 0)]
    assert [len(set(group)) for _, group in found] == [2, 1]
    assert sorted(i for rows, _ in found for i in rows) == list(range(9))


def test_examples_are_taken_whole_in_the_order_asked_for():
    data = encoded([2, 3, 4], shuffled=True)
    taken = data.take([2, 0])
    assert taken.examples == 2
    assert len(taken) == 6
    assert set(taken.labels[taken.group == 0].astype(int).tolist()) == rows_of(data, 2)
    assert set(taken.labels[taken.group == 1].astype(int).tolist()) == rows_of(data, 0)
    assert data.digest() != data.alone().digest()
    assert HeldOut.of(taken, 3).count == 2


def test_a_share_of_the_questions_is_held_out_with_every_question_of_its_text():
    examples = [
        Example(f"article {article}", f"q{question} c{choice}", float(choice == 0), 2 * article + question)
        for article in range(10) for question in range(2) for choice in range(3)
    ]  # fmt: skip
    train, dev = split_dev(examples, 0.2, TASK, "file")
    assert {row.text for row in train} & {row.text for row in dev} == set()
    assert len(dev) == 12
    assert len(train) == 48


def test_what_metrics_take_of_examples():
    examples = [Example("a", "b", 1.0, 4), Example("a", "c", 0.0, 4)]
    logits, labels = judged(examples, np.asarray([[0.5], [2.0]], "float32"))
    np.testing.assert_array_equal(logits, [[0.5, 2.0]])
    np.testing.assert_array_equal(labels, [[1.0, 0.0]])


def test_a_question_changes_in_all_its_choices_or_in_none():
    data = encoded([3] * 40)
    near = NearWords(np.arange(200), np.full([200, 1], 199))
    batches = ChangedBatches(TrainBatches(data, 8, 0, 0), near, 0.9, 0.5)
    weights = []
    for batch in batches.epoch(0):
        for number in range(8):
            own = batch.label_weights[batch.group == number]
            assert len(set(own.tolist())) == 1
            weights.append(own[0])
    assert {0.0, 2.0} == set(weights)
