"""How many answers of an exported model are the dynamic one's, where an answer is about several rows."""

import numpy as np
import paddle
import pytest

from helpers.models import build, randomise
from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.export.agreement import Compared
from ofa_bert.tasks.task import Task

QUESTIONS = 10


@pytest.fixture(scope="module")
def model():
    model = randomise(build("bert", num_labels=1), 2)
    model.eval()
    return model


def rows_of(counts):
    """Random rows, so many of each example, the examples' rows not beside one another."""
    rng = np.random.default_rng(0)
    group = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    ids = [rng.integers(5, 20, 8) for _ in group]
    return Encoded(ids, [np.zeros_like(row) for row in ids], np.zeros(len(ids), np.float32), group=group)


def task(kind):
    return Task("t", (), ("accuracy",), ("a", "b"), kind)


def changed(model, by):
    """What answers as the model does, with `by` behind it."""

    def forward(batch):
        logits = model(batch.input_ids, batch.token_type_ids).numpy()
        return paddle.to_tensor(by(logits))

    return forward


@pytest.mark.parametrize("kind", ["choices", "ranking"])
def test_answers_and_not_rows_are_counted(model, kind):
    compared = Compared.of(model, task(kind), rows_of([3] * QUESTIONS))
    assert compared.agreement(changed(model, lambda logits: logits)) == 1.0
    assert compared.agreement(changed(model, lambda logits: 3 * logits + 1)) == 1.0  # the same choice, the same order
    assert compared.agreement(changed(model, lambda logits: -logits)) == 0.0
    noise = np.random.default_rng(0)
    some = compared.agreement(changed(model, lambda logits: logits + noise.normal(0, logits.std(), logits.shape)))
    assert 0 < some < 1
    assert some * QUESTIONS == pytest.approx(round(some * QUESTIONS))


def test_queries_with_one_passage_say_nothing(model):
    alone, some = rows_of([1] * QUESTIONS), rows_of([1] * QUESTIONS + [2])
    turned = changed(model, lambda logits: -logits)
    assert Compared.of(model, task("ranking"), alone).agreement(turned) is None
    assert Compared.of(model, task("ranking"), some).agreement(turned) == 0.0
