"""Unigram, which XLM-RoBERTa is cut with: transformers' and sentencepiece's own ids, trimmed, damaged, deployed."""

import base64
import json
import random
import time

import numpy as np
import pytest

from helpers.paths import TESTS
from helpers.tokenizer_files import code_point_texts
from helpers.torch_families import PAIRS, TEXTS
from helpers.unigram_files import BLANK, ids_by_sentencepiece, processor, sentences, train, write_unigram
from ofa_bert.data.tokenization.tokenizer_files import read_tokenizer
from ofa_bert.data.tokenization.tokenizer_json import load
from ofa_bert.data.tokenization.windows import cut_windows
from ofa_bert.data.tokenization.words import cut_words
from ofa_bert.errors import UserError
from ofa_bert.export.tokenizer import ODD_TEXTS
from ofa_bert.runtime.tokenizer import load_text_encoder

pytest.importorskip("tokenizers")
# All that are odd in export/tokenizer.py but those with marks, which sentencepiece takes for text.
ODD = [text for text in ODD_TEXTS if "<mask>" not in text]
STORED = TESTS / "models" / "stored" / "xlm-roberta" / "classifier"


@pytest.fixture(scope="module")
def model():
    """sentencepiece's own, with the table of characters that XLM-R has."""
    pytest.importorskip("sentencepiece")
    return train()


@pytest.fixture(scope="module")
def tokenizer(model, tmp_path_factory):
    return read_tokenizer(write_unigram(tmp_path_factory.mktemp("unigram"), model), "roberta")


def ids_of(tokenizer, texts):
    return [row.tolist() for row in tokenizer.encode(texts)[0]]


def test_ids_are_transformers_own():
    found, stored = read_tokenizer(STORED, "roberta"), json.loads((STORED / "ids.json").read_text())
    assert ids_of(found, TEXTS) == stored["singles"]
    assert ids_of(found, PAIRS) == stored["pairs"]
    types = found.encode(PAIRS)[1]
    assert set(np.concatenate(types).tolist()) == {0}
    assert (found.pad_token_id, found.mask_token_id, len(found)) == (1, 104, 105)


def test_a_file_of_2020_is_read_too(tmp_path):
    """As the first XLM-RoBERTa's is: its model has no name, the table stands alone, blanks are marked in two steps."""
    state = json.loads((STORED / "tokenizer.json").read_text())
    del state["model"]["type"], state["model"]["byte_fallback"]
    state["normalizer"] = state["normalizer"]["normalizers"][0]
    marked = {"type": "Metaspace", "replacement": BLANK, "str_rep": BLANK, "add_prefix_space": True}
    state["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, marked]}
    (tmp_path / "tokenizer.json").write_text(json.dumps(state))
    found, stored = read_tokenizer(tmp_path, "roberta"), json.loads((STORED / "ids.json").read_text())
    texts = {text: row for text, row in zip(TEXTS, stored["singles"]) if "\t" not in text}  # such a file drops tabs
    assert ids_of(found, list(texts)) == list(texts.values())
    found.save_pretrained(tmp_path / "saved")
    assert ids_of(read_tokenizer(tmp_path / "saved", "roberta"), list(texts)) == list(texts.values())


def test_ids_are_sentencepieces_own(model, tokenizer):
    rng, letters = random.Random(3), "".join(sentences())
    texts = [*ODD, *sentences(), *("".join(rng.choices(letters, k=30)) for _ in range(500))]
    assert ids_of(tokenizer, texts) == ids_by_sentencepiece(processor(model), texts)


def differing(model, tokenizer, texts):
    return [
        text
        for text, one, other in zip(texts, ids_of(tokenizer, texts), ids_by_sentencepiece(processor(model), texts))
        if one != other
    ]


@pytest.mark.slow
def test_nearly_every_code_point_is_cut_as_sentencepiece_cuts_it(model, tokenizer):
    """The library looks whole characters up with their marks, sentencepiece letter after letter."""
    points = [point for point in range(0x20000) if not 0xD800 <= point < 0xE000]
    texts = [f"a{chr(point)}b film" for point in points]
    different = differing(model, tokenizer, texts)
    assert len(different) < len(texts) / 1000, ascii(different[:20])


@pytest.mark.slow
def test_every_code_point_is_cut_alike_in_training_and_in_deployment(tokenizer, tmp_path):
    for name in ("best", "bundle"):
        (tmp_path / name).mkdir()
    tokenizer.save_pretrained(tmp_path / "best")
    again = read_tokenizer(tmp_path / "best", "roberta")
    assert again.digest == tokenizer.digest
    again.save_pretrained(tmp_path / "bundle")
    deployed = load_text_encoder(tmp_path / "bundle", 10**6)
    texts = list(code_point_texts())
    for text, one, other in zip(texts, tokenizer.encode(texts)[0], deployed(texts)[0]):
        assert np.array_equal(one, other), ascii(text)


def test_what_is_saved_is_read_again(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path / "saved")
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == [
        "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    about = json.loads((tmp_path / "saved" / "tokenizer_config.json").read_text())
    assert about["tokenizer_class"] == "XLMRobertaTokenizer"
    again = read_tokenizer(tmp_path / "saved", "roberta")
    assert again.digest == tokenizer.digest
    assert again.get_vocab() == tokenizer.get_vocab()


def test_added_tokens_come_behind_the_vocabulary(model, tmp_path):
    directory = write_unigram(tmp_path / "m", model)
    end = len(read_tokenizer(directory, "roberta"))
    (directory / "added_tokens.json").write_text(json.dumps({"<user>": end}))
    tokenizer = read_tokenizer(directory, "roberta")
    assert end in ids_of(tokenizer, ["a <user> film"])[0]
    tokenizer.save_pretrained(tmp_path / "saved")
    (tmp_path / "saved" / "added_tokens.json").unlink()  # tokenizer.json says it too
    assert read_tokenizer(tmp_path / "saved", "roberta").digest == tokenizer.digest
    kept = [*tokenizer.not_to_lose, BLANK + "a", BLANK + "film"]
    smaller = tokenizer.trimmed(sorted(set(kept), key=tokenizer.get_vocab().get))
    tokens = smaller.convert_ids_to_tokens(ids_of(smaller, ["a <user> film"])[0])
    assert [tokens[1], tokens[-2]] == [BLANK + "a", BLANK + "film"]
    assert "<user>" in tokens


def test_a_trimmed_vocabulary_cuts_what_it_holds_as_before(tokenizer):
    """Of any text all of whose tokens are kept."""
    rng = random.Random(7)
    vocabulary = tokenizer.get_vocab()
    texts = [*sentences(), *ODD]
    checked = 0
    for _ in range(60):
        sample = rng.sample(texts, 3)
        tokens = {token for row in ids_of(tokenizer, sample) for token in tokenizer.convert_ids_to_tokens(row)}
        kept = sorted(tokens | tokenizer.not_to_lose, key=vocabulary.get)
        smaller = tokenizer.trimmed(kept)
        assert smaller.get_vocab() == {token: number for number, token in enumerate(kept)}
        rows = [smaller.convert_ids_to_tokens(row) for row in ids_of(smaller, sample)]
        assert rows == [tokenizer.convert_ids_to_tokens(row) for row in ids_of(tokenizer, sample)]
        checked += len(kept) < len(vocabulary)
    assert checked == 60


def test_words_and_windows_lie_where_they_are_in_the_text(tokenizer):
    text = "a  \ufb01lm , dull\xa0plot"
    ids, ((pieces, spans),) = cut_words(tokenizer.fast, [text], None)
    assert [text[start:end] for start, end in spans] == ["a", "\ufb01lm", ",", "dull", "plot"]
    tokens = tokenizer.convert_ids_to_tokens(ids.input_ids[0])
    assert all(tokens[piece].startswith(BLANK) for piece in pieces)
    windows = cut_windows(
        tokenizer.fast, [("is it bad", "a film is not good but very bad and they said it was")], 14, 4
    )
    marks = [tokenizer.convert_ids_to_tokens(row) for row in windows.ids.input_ids]
    assert len(marks) > 1
    for row in marks:
        assert row[0] == "<s>"
        assert row[-1] == "</s>"
        assert row.count("</s>") == 3  # two between the texts
    seen = set()
    for number in range(len(marks)):
        seen |= {"a film is not good but very bad and they said it was"[s:e] for s, e in windows.spans(number)[1:]}
    assert {"film", "good", "was"} <= seen


def changed(state, path, value):
    state = json.loads(json.dumps(state))
    place = state
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return state


TABLE = ["normalizer", "normalizers", 0, "precompiled_charsmap"]
HOSTILE = {
    "no list of tokens and their scores": (["model", "vocab"], {}),
    "an entry of its vocabulary is": (["model", "vocab", 7], ["x", "1"]),
    "no token and its score": (["model", "vocab", 7], ["x", float("inf")]),
    "an entry of its vocabulary is 7": (["model", "vocab", 7], 7),
    "holds a token twice": (["model", "vocab", 7], ["<s>", 0.0]),
    "its unk_id is -1": (["model", "unk_id"], -1),
    "its unk_id is None": (["model", "unk_id"], None),
    "its unk_id is 1000": (["model", "unk_id"], 1000),
    "byte_fallback": (["model", "byte_fallback"], True),
    "marks a blank as '_'": (["pre_tokenizer", "pretokenizers", 1, "replacement"], "_"),
    "no table of characters in base64": (TABLE, "\u4e00"),
    "has no table": (TABLE, 7),
    "a table that is cut off": (TABLE, base64.b64encode(b"\xff\xff\xff\x7f" + b"x" * 64).decode()),
    "'Replace' is not supported": (["normalizer", "normalizers", 2, "pattern"], {"Regex": "(a+)+$"}),
    "supported are WordPiece, BPE, Unigram": (["model", "type"], "WordLevel"),
}


@pytest.mark.parametrize("words", HOSTILE)
def test_a_hostile_tokenizer_json(words, model, tmp_path):
    directory = write_unigram(tmp_path, model)
    state = json.loads((directory / "tokenizer.json").read_text())
    (directory / "tokenizer.json").write_text(json.dumps(changed(state, *HOSTILE[words])))
    start = time.monotonic()
    for read in (lambda: read_tokenizer(directory, "roberta"), lambda: load(directory / "tokenizer.json")):
        with pytest.raises(UserError) as caught:
            read()
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500
    assert time.monotonic() - start < 5


def test_a_damaged_table_of_characters_never_hangs_or_raises_anything_else(model, tmp_path):
    state = json.loads((write_unigram(tmp_path, model) / "tokenizer.json").read_text())
    table = base64.b64decode(state["normalizer"]["normalizers"][0]["precompiled_charsmap"])
    rng = np.random.default_rng(5)
    start, messages = time.monotonic(), []
    for _ in range(30):
        copy = bytearray(table)
        for place in rng.integers(0, len(copy), 2000):
            copy[place] = rng.integers(0, 256)
        text = base64.b64encode(bytes(copy)).decode()
        (tmp_path / "tokenizer.json").write_text(json.dumps(changed(state, TABLE, text)))
        try:
            read_tokenizer(tmp_path, "roberta").encode(ODD, 16)
        except UserError as error:
            messages.append(str(error))
    assert time.monotonic() - start < 60
    assert messages
    assert not any("\n" in message for message in messages)


def test_only_roberta_is_cut_so(model, tmp_path):
    directory = write_unigram(tmp_path, model)
    with pytest.raises(UserError, match="is Unigram; a bert model is cut with WordPiece"):
        read_tokenizer(directory, "bert")


def test_a_sentencepiece_model_alone_says_what_to_do(model, tmp_path):
    (tmp_path / "sentencepiece.bpe.model").write_bytes(model)
    with pytest.raises(UserError, match="a sentencepiece model without tokenizer.json; transformers' AutoTokenizer"):
        read_tokenizer(tmp_path, "roberta")
