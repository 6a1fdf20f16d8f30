"""From parts of texts to tags of the tokenizer's own words, and from batches of logits to rows that count."""

import numpy as np
import pytest

from helpers.models import VOCABULARY
from helpers.paths import SHARED
from helpers.tokenizer_files import write_byte_pairs, write_vocabulary
from ofa_bert.data.encoding.augmentation import augment
from ofa_bert.data.encoding.batches import TrainBatches, eval_batches
from ofa_bert.data.encoding.encoded import encode
from ofa_bert.data.encoding.token_ids import encode_once
from ofa_bert.data.tagging.answered import Answered
from ofa_bert.data.tagging.labels import scored_words
from ofa_bert.data.tokenization.tokenizer_files import read_tokenizer
from ofa_bert.data.tokenization.words import cut_words
from ofa_bert.errors import UserError
from ofa_bert.tasks.kinds.base import Span, Spans
from ofa_bert.tasks.kinds.tokens import IGNORED
from ofa_bert.tasks.task import Example


@pytest.fixture
def tokenizer(tmp_path):
    write_vocabulary(tmp_path / "words", do_lower_case=True)
    return read_tokenizer(tmp_path / "words", "bert")


def example(text, *spans):
    return Example(text, None, Spans(Span(*span) for span in spans))


def tokens(tokenizer, row):
    return tokenizer.convert_ids_to_tokens(row)


def test_a_word_is_labelled_at_its_first_piece(tokenizer):
    text = "A film, not good"
    found = encode([example(text, (2, 6, 1), (8, 16, 0)), example("film")], tokenizer, 16, progress=False)
    assert found.per_token
    assert tokens(tokenizer, found.input_ids[0]) == ["[CLS]", "a", "film", ",", "not", "good", "[SEP]"]
    assert found.labels.tolist() == [
        [IGNORED, 0, 3, 0, 1, 2, IGNORED], [IGNORED, 0, IGNORED, IGNORED, IGNORED, IGNORED, IGNORED]
    ]  # fmt: skip
    assert found.scored.tolist() == [[0, 0], [3, 0], [0, 0], [1, 0], [2, 0], [0, 1]]


def test_later_pieces_of_a_word_count_for_nothing(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join([*VOCABULARY, "##s", "##y"]) + "\n")
    tokenizer = read_tokenizer(tmp_path, "bert")
    found = encode([example("films plot", (0, 5, 0))], tokenizer, 16, progress=False)
    assert tokens(tokenizer, found.input_ids[0]) == ["[CLS]", "film", "##s", "plot", "[SEP]"]
    assert found.labels.tolist() == [[IGNORED, 1, IGNORED, 0, IGNORED]]


def test_words_of_byte_pairs_stand_without_the_blank_before_them(tmp_path):
    write_byte_pairs(tmp_path / "pairs")
    tokenizer = read_tokenizer(tmp_path / "pairs", "roberta")
    text = "a  film"
    _, (words,) = cut_words(tokenizer.fast, [text], 16)
    assert [text[start:end] for start, end in words.spans] == ["a", "film"]


def test_a_part_that_ends_inside_a_word_takes_all_of_it_and_is_told(tokenizer, caplog):
    found = encode([example("a film", (2, 4, 0))], tokenizer, 16, progress=False)
    assert found.labels.tolist() == [[IGNORED, 0, 1, IGNORED]]
    assert "1 labelled part(s) begin or end inside a word" in caplog.text


def test_what_is_cut_off_has_no_labels_and_is_counted(tokenizer):
    text = "film film film film"
    found = encode([example(text, (0, 4, 0), (15, 19, 0))], tokenizer, 4, progress=False)
    assert found.labels.tolist() == [[IGNORED, 1, 0, IGNORED]]
    assert found.whole.tolist() == [6]


def test_ids_are_those_of_texts_without_labels(tokenizer):
    texts = ["A film, not good", "", "  the plot \U0001f600 was\tdull ", "e\u0301"]
    with_words = encode([example(text) for text in texts], tokenizer, 8, progress=False)
    plain = encode([Example(text, None, 0) for text in texts], tokenizer, 8, progress=False)
    assert [row.tolist() for row in with_words.input_ids] == [row.tolist() for row in plain.input_ids]


def data(tokenizer, count=11):
    made = [example("film plot " * (place % 4), *([(0, 4, 0)] if place % 4 else [])) for place in range(count)]
    return made, encode(made, tokenizer, 16, progress=False)


def test_logits_come_back_in_the_order_of_the_words_and_as_batches_again(tokenizer):
    examples, encoded = data(tokenizer)
    rng = np.random.default_rng(0)
    whole = rng.normal(size=[*encoded.labels.shape, 3]).astype("float32")
    answered = Answered(encoded, 3)
    for batch in eval_batches(encoded, 4, 0):
        length = batch.input_ids.shape[1]
        assert batch.labels.shape == batch.input_ids.shape
        answered.put(batch.index, whole[batch.index][:, :length])
    rows, places = np.nonzero(encoded.labels != IGNORED)
    np.testing.assert_array_equal(answered.logits, whole[rows, places])
    assert encoded.scored[:, 1].tolist() == rows.tolist()
    for batch in eval_batches(encoded, 3, 0):
        again, counts = answered.of(batch.index, batch.input_ids.shape[1]), batch.labels != IGNORED
        np.testing.assert_array_equal(again[counts], whole[batch.index][:, : counts.shape[1]][counts])
    _, words = cut_words(tokenizer.fast, [each.text for each in examples], 16)
    assert scored_words(examples, words).tolist() == encoded.scored.tolist()
    part = encoded.select([3, 1])
    assert part.per_token
    assert part.scored[:, 0].tolist() == [1, 0, 0, 0, 0, 0, 1, 0]


def test_training_batches_copies_and_the_cache_keep_the_tags(tokenizer, tmp_path):
    examples, encoded = data(tokenizer)
    (batch,) = TrainBatches(encoded, 11, 0, 0).epoch(0)
    assert batch.labels.shape == batch.input_ids.shape
    copies = augment(encoded, tokenizer, np.eye(len(tokenizer), dtype="float32"), 1, 0)
    assert copies.per_token
    assert copies.scored[:, 0].tolist() == 2 * encoded.scored[:, 0].tolist()
    for _ in range(2):
        kept = encode_once(examples, tokenizer, 16, tmp_path, progress=False)
        assert kept.per_token
        assert kept.labels.tolist() == encoded.labels.tolist()


def test_a_tokenizer_that_does_not_say_where_words_stand_is_refused():
    with pytest.raises(UserError, match="needs a tokenizer that says where words stand"):
        encode([example("a")], object(), 8, progress=False)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the models beside the checkout")
def test_ideographs_are_words_of_their_own():
    tokenizer = read_tokenizer(SHARED / "models" / "ernie-3.0-nano-zh-uie", "ernie")
    text = "我在北京的Hilton酒店"
    found = encode([example(text, (2, 4, 0), (5, 11, 1))], tokenizer, 32, progress=False)
    _, (words,) = cut_words(tokenizer.fast, [text], 32)
    assert [text[start:end] for start, end in words.spans] == [*"我在北京的", "Hilton", *"酒店"]
    assert found.scored[:, 0].tolist() == [0, 0, 1, 2, 0, 3, 0, 0]
