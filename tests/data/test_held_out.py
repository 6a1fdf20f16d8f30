"""A later run finds the very examples that an earlier one held out, or says that they are gone."""

import numpy as np
import pytest

from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.data.held_out import HeldOut, split_holdout
from ofa_bert.errors import UserError
from ofa_bert.files.fields import Fields


def examples(order):
    ids = [np.asarray([2, 5 + i, 3]) for i in order]
    return Encoded(ids, [np.zeros(3, np.int64)] * len(ids), np.asarray([i % 2 for i in order]))


def test_the_same_examples_are_found():
    all_of = examples(range(20))
    held = all_of.select(split_holdout(20, 6, 3)[1])
    written = HeldOut.of(held, 3)
    read = HeldOut.read(Fields(written.to_json(), "a record"))
    assert read == written
    rest, again = read.split("here", 20)
    read.check("here", all_of.select(again))
    assert sorted([*rest, *again]) == list(range(20))
    assert all_of.select(again).digest() == held.digest()


@pytest.mark.parametrize("order", [range(1, 21), range(19, -1, -1)])
def test_other_data_and_another_order_are_refused(order):
    _, held = split_holdout(20, 6, 3)
    written = HeldOut.of(examples(range(20)).select(held), 3)
    with pytest.raises(UserError, match="here: was trained with other training data"):
        written.check("here", examples(order).select(held))
    HeldOut(6, 3).check("here", examples(order).select(held))  # records of before say no digest


@pytest.mark.parametrize("total", [0, 5, 6])
def test_fewer_examples_than_were_held_out_are_refused(total):
    with pytest.raises(UserError, match="6 held-out examples, and the training data have"):
        HeldOut(6, 3).split("here", total)
