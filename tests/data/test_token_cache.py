"""The token cache gives what the tokenizer gives, and only for the same sentences, tokenizer and length."""

import io

import numpy as np
import pytest

from helpers.models import VOCABULARY
from helpers.tokenizer_files import add_tokens, write_vocabulary
from ofa_bert.data.encoding import token_ids
from ofa_bert.data.encoding.encoded import encode
from ofa_bert.data.encoding.token_ids import encode_once
from ofa_bert.data.tokenization.tokenizer_files import read_tokenizer
from ofa_bert.files.kept import keep_content, kept_content
from ofa_bert.tasks.task import Example

EXAMPLES = (Example("a film", "is not good", 1), Example("the plot was dull", "they said", 0), Example("we", "it", 1))


@pytest.fixture
def tokenizer(tmp_path_factory):
    return read_tokenizer(write_vocabulary(tmp_path_factory.mktemp("words")), "bert")


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
    np.testing.assert_array_equal(a.whole, b.whole)
    assert a.labels.dtype == b.labels.dtype
    assert a.input_ids[0].dtype == b.input_ids[0].dtype


def test_the_second_time_comes_from_the_cache(tmp_path, tokenizer, calls):
    first = encode_once(EXAMPLES, tokenizer, 16, tmp_path / "cache", False)
    second = encode_once(EXAMPLES, tokenizer, 16, tmp_path / "cache", False)
    assert len(calls) == 1
    same(first, encode(EXAMPLES, tokenizer, 16, False))
    same(second, first)


def test_other_sentences_labels_lengths_and_tokenizers_are_other_entries(tmp_path, tokenizer, calls):
    reversed_words = write_vocabulary(tmp_path / "reversed", [*VOCABULARY[:5], *reversed(VOCABULARY[5:])])
    others = [
        read_tokenizer(reversed_words, "bert"),
        read_tokenizer(write_vocabulary(tmp_path / "cased", do_lower_case=False), "bert"),
        read_tokenizer(add_tokens(write_vocabulary(tmp_path / "added"), "added_tokens.json"), "bert"),
    ]
    relabelled = (*EXAMPLES[:2], Example("we", "it", 0))
    for place, arguments in enumerate(
        [
            (EXAMPLES, tokenizer, 16),
            (EXAMPLES[:2], tokenizer, 16),
            (relabelled, tokenizer, 16),
            (EXAMPLES, tokenizer, 6),
            *((EXAMPLES, other, 16) for other in others),
        ]
    ):
        same(encode_once(*arguments, tmp_path / "cache", False), encode(*arguments, False))
        assert len(calls) == place + 1


def test_paddlenlps_tokenizers_have_entries_too(tmp_path, calls):
    from paddlenlp.transformers import BertTokenizer

    vocabulary = str(write_vocabulary(tmp_path / "words") / "vocab.txt")
    for lower in (True, False, True):
        arguments = EXAMPLES, BertTokenizer(vocabulary, do_lower_case=lower), 16
        same(encode_once(*arguments, tmp_path / "cache", False), encode(*arguments, False))
    assert len(calls) == 2


@pytest.mark.parametrize("damage", [b"", b"no archive", None])
def test_a_damaged_cache_is_made_anew(tmp_path, tokenizer, calls, damage):
    first = encode_once(EXAMPLES, tokenizer, 16, tmp_path, False)
    (path,) = tmp_path.glob("*.ids")
    path.write_bytes(path.read_bytes()[:100] if damage is None else damage)
    same(encode_once(EXAMPLES, tokenizer, 16, tmp_path, False), first)
    same(encode_once(EXAMPLES, tokenizer, 16, tmp_path, False), first)
    assert len(calls) == 2


def test_a_cache_of_before_lengths_were_counted_is_made_anew(tmp_path, tokenizer, calls):
    first = encode_once(EXAMPLES, tokenizer, 6, tmp_path, False)
    (path,) = tmp_path.glob("*.ids")
    with np.load(io.BytesIO(kept_content(path)), allow_pickle=False) as arrays:
        older = {name: arrays[name] for name in arrays if name != "whole"}
    content = io.BytesIO()
    np.savez(content, **older)
    keep_content(path, content.getvalue())
    same(encode_once(EXAMPLES, tokenizer, 6, tmp_path, False), first)
    same(encode_once(EXAMPLES, tokenizer, 6, tmp_path, False), first)
    assert len(calls) == 2
    assert first.whole.tolist() == [8, 9, 5]


def test_one_changed_byte_anywhere_costs_only_time(tmp_path, tokenizer, calls):
    first = encode_once(EXAMPLES, tokenizer, 16, tmp_path, False)
    (path,) = tmp_path.glob("*.ids")
    content = path.read_bytes()
    places = range(0, len(content), 7)
    for place in places:
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        same(encode_once(EXAMPLES, tokenizer, 16, tmp_path, False), first)
    assert len(calls) == 1 + len(places)
    assert path.read_bytes() == content


def test_an_unwritable_directory_costs_only_time(tmp_path, tokenizer):
    (tmp_path / "file").write_text("in the way")
    same(encode_once(EXAMPLES, tokenizer, 16, tmp_path / "file", False), encode(EXAMPLES, tokenizer, 16, False))
