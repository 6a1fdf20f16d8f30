"""What a log says of a data set: rows and labels of every kind, lengths before the cut, and when a limit is too low."""

import numpy as np
import pytest

from helpers.tokenizer_files import write_vocabulary
from ofa_bert.data.description import TokenLengths, described, much_is_cut
from ofa_bert.data.encoding.encoded import Encoded, encode
from ofa_bert.data.tokenization.tokenizer_files import read_tokenizer
from ofa_bert.tasks.task import Example, Task


def labelled(labels, dtype="int64"):
    rows = [np.zeros(3, np.int64)] * len(labels)
    return Encoded(rows, rows, np.asarray(labels, dtype))


def task(labels, kind):
    return Task("t", tuple(labels), ("accuracy",), ("text",), kind)


def test_classes_are_counted_in_their_order_those_without_a_row_too():
    said = described(task(["neg", "pos", "odd"], "classification"), labelled([1, 0, 1, 1]))
    assert said == "4 rows: neg 1, pos 3, odd 0"


def test_of_many_classes_the_most_frequent_are_named_and_the_others_summed():
    labels = [number for number in range(12) for _ in range(number + 1)]
    said = described(task([f"c{number}" for number in range(12)], "classification"), labelled(labels))
    assert said == "78 rows: c11 12, c10 11, c9 10, c8 9, c7 8, c6 7, c5 6, c4 5, 4 others 10"


def test_numbers_have_a_range_and_a_mean():
    said = described(task([], "regression"), labelled([1.0, 2.5, 5.0], "float32"))
    assert said == "3 rows: numbers from 1 to 5, mean 2.833"


def test_several_labels_are_counted_each_and_rows_without_one():
    several = task(["sports", "science"], "multilabel")
    assert described(several, labelled([[1, 0], [1, 1], [0, 0]], "float32")) == (
        "3 rows: sports 2, science 1; no label 1"
    )
    assert described(several, labelled([[1, 0]], "float32")) == "1 row: sports 1, science 0"


def test_a_label_of_others_stays_on_its_line():
    said = described(task(["a\nb\x1b[31m", "x" * 500], "classification"), labelled([0, 1]))
    assert said == f"2 rows: a?b?[31m 1, {'x' * 40} 1"


def test_lengths_are_percentiles_that_occur():
    found = TokenLengths.of(np.asarray([5, 3, 9, 3]), 8)
    assert found == TokenLengths(rows=4, p50=3, p95=9, longest=9, cut=1, limit=8)
    assert str(found) == "tokens p50 3, p95 9, max 9, special ones included; cut at 8: 1 (25 %) of 4 rows"
    assert str(TokenLengths.of(np.asarray([8]), 8)).endswith("cut at 8: none of 1 rows")
    assert str(TokenLengths.of(np.asarray([9, 10]), 8)).endswith("cut at 8: all of 2 rows")


def test_a_share_that_rounds_away_is_not_nothing():
    few = np.where(np.arange(10_000) == 0, 200, 10)
    assert str(TokenLengths.of(few, 128)).endswith("cut at 128: 1 (under 0.1 %) of 10000 rows")
    assert str(TokenLengths.of(210 - few, 128)).endswith("cut at 128: 9999 (over 99.9 %) of 10000 rows")


@pytest.mark.parametrize(
    ("limit", "positions", "said"),
    [
        (90, 512, ""),  # 10 % are cut, no more
        (89, 512, "11 % of the training rows are cut at `max_seq_length` 89; `max_seq_length` 99 would cut 1 %"),
        (50, 80, "50 % of the training rows are cut at `max_seq_length` 50; `max_seq_length` 80, all that the model has"
                 " positions for, would cut 20 %"),
        (50, 50, "50 % of the training rows are cut at `max_seq_length` 50, and the model has no positions for more"),
    ],
)  # fmt: skip
def test_the_advice_names_a_length_that_the_model_can_take(limit, positions, said):
    assert much_is_cut(np.arange(1, 101), limit, positions) == said


def test_lengths_are_those_before_the_cut_for_texts_and_pairs_whoever_cuts(tmp_path):
    from paddlenlp.transformers import BertTokenizer

    home = write_vocabulary(tmp_path / "words")
    ours, theirs = read_tokenizer(home, "bert"), BertTokenizer(str(home / "vocab.txt"))
    single = [Example(" ".join(["film"] * count), None, 0) for count in (1, 4, 5, 9)]
    pairs = [Example(" ".join(["film"] * count), "good film", 1) for count in (1, 2, 7)]
    for examples, whole in ((single, [3, 6, 7, 11]), (pairs, [6, 7, 12])):
        for tokenizer in (ours, theirs):
            for limit in (6, 7, 128):
                found = encode(examples, tokenizer, limit, progress=False)
                assert found.whole.tolist() == whole
                assert [len(ids) for ids in found.input_ids] == [min(length, limit) for length in whole]


def test_a_part_of_a_data_set_keeps_its_lengths_and_its_digest(tmp_path):
    tokenizer = read_tokenizer(write_vocabulary(tmp_path / "words"), "bert")
    found = encode([Example("good film " * count, None, 0) for count in (1, 2, 3)], tokenizer, 5, progress=False)
    part = found.select([2, 0])
    assert part.whole.tolist() == [8, 4]
    assert part.digest() == Encoded(part.input_ids, part.token_type_ids, part.labels).digest()
