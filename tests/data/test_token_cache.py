"""The token cache gives what the tokenizer gives, and only for the same sentences, tokenizer and length."""

import numpy as np
import pytest

from helpers.models import VOCABULARY
from ofa_bert.data import token_ids
from ofa_bert.data.batches import encode
from ofa_bert.data.token_ids import encode_once
from ofa_bert.tasks.task import Example

EXAMPLES = (Example("a film", "is not good", 1), Example("the plot was dull", "they said", 0), Example("we", "it", 1))


@pytest.fixture
def tokenizer(tiny_bert_dir):
    from paddlenlp.transformers import BertTokenizer

    return BertTokenizer.from_pretrained(str(tiny_bert_dir))


@pytest.fixture
def calls(monkeypatch):
    """The number of times that the tokenizer really ran."""
    counted = []

    def counting(*arguments):
        counted.append(1)
        return encode(*arguments)

    monkeypatch.setattr(token_ids, "encode", counting)
    return counted


def same(a, b):
    assert [list(row) for row in a.input_ids] == [list(row) for row in b.input_ids]
    assert [list(row) for row in a.token_type_ids] == [list(row) for row in b.token_type_ids]
    np.testing.assert_array_equal(a.labels, b.labels)
    assert a.labels.dtype == b.labels.dtype
    assert a.input_ids[0].dtype == b.input_ids[0].dtype


def test_the_second_time_comes_from_the_cache(tmp_path, tokenizer, calls):
    first = encode_once(EXAMPLES, tokenizer, 16, tmp_path / "cache", False)
    second = encode_once(EXAMPLES, tokenizer, 16, tmp_path / "cache", False)
    assert len(calls) == 1
    same(first, encode(EXAMPLES, tokenizer, 16, False))
    same(second, first)


def test_other_sentences_labels_lengths_and_tokenizers_are_other_entries(tmp_path, tokenizer, calls):
    from paddlenlp.transformers import BertTokenizer

    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join([*VOCABULARY[:5], *reversed(VOCABULARY[5:])]) + "\n", encoding="utf-8")
    other = BertTokenizer(str(vocabulary))
    relabelled = (*EXAMPLES[:2], Example("we", "it", 0))
    for place, arguments in enumerate(
        [
            (EXAMPLES, tokenizer, 16),
            (EXAMPLES[:2], tokenizer, 16),
            (relabelled, tokenizer, 16),
            (EXAMPLES, tokenizer, 6),
            (EXAMPLES, other, 16),
        ]
    ):
        same(encode_once(*arguments, tmp_path / "cache", False), encode(*arguments, False))
        assert len(calls) == place + 1


@pytest.mark.parametrize("damage", [b"", b"no archive", None])
def test_a_damaged_cache_is_made_anew(tmp_path, tokenizer, calls, damage):
    first = encode_once(EXAMPLES, tokenizer, 16, tmp_path, False)
    (path,) = tmp_path.glob("*.npz")
    path.write_bytes(path.read_bytes()[:100] if damage is None else damage)
    same(encode_once(EXAMPLES, tokenizer, 16, tmp_path, False), first)
    same(encode_once(EXAMPLES, tokenizer, 16, tmp_path, False), first)
    assert len(calls) == 2


def test_an_unwritable_directory_costs_only_time(tmp_path, tokenizer):
    (tmp_path / "file").write_text("in the way")
    same(encode_once(EXAMPLES, tokenizer, 16, tmp_path / "file", False), encode(EXAMPLES, tokenizer, 16, False))
