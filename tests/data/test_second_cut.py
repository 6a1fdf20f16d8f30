"""ERNIE-M's tokens: sentencepiece's pieces, cut again; saved, trimmed, damaged, deployed without sentencepiece."""

import json
import random
import subprocess
import sys

import numpy as np
import pytest

from helpers.paths import ROOT
from helpers.second_cut_files import cut_piece, mixed, tokens_by_sentencepiece, train_mixed, write_files
from helpers.tokenizer_files import code_point_texts
from ofa_bert.data.tokenization.second_cut import BLANK, CUT_AGAIN
from ofa_bert.data.tokenization.sentencepiece_model import NAME, model_bytes, read_model
from ofa_bert.data.tokenization.tokenizer_files import read_tokenizer
from ofa_bert.data.tokenization.tokenizer_json import load
from ofa_bert.data.tokenization.windows import cut_windows
from ofa_bert.data.tokenization.words import cut_words
from ofa_bert.errors import UserError
from ofa_bert.export.tokenizer import ODD_TEXTS
from ofa_bert.runtime.tokenizer import load_text_encoder

pytest.importorskip("tokenizers")
sentencepiece = pytest.importorskip("sentencepiece")
FAMILY = "ernie_m"
_BELOW = 2 * 0x10000 // 64  # texts of the code points below 0x10000
# Without what is found in a text before sentencepiece sees it.
ODD = [text for text in ODD_TEXTS if "[CLS]" not in text]


@pytest.fixture(scope="module", params=["nmt_nfkc", "identity"])
def model(request):
    return train_mixed(request.param)


@pytest.fixture(scope="module")
def tables(model, tmp_path_factory):
    """(tokenizer without lone blanks, the one with, the vocabulary, sentencepiece's processor)."""
    home = tmp_path_factory.mktemp("ernie_m")
    vocabulary = write_files(home / "paddle", model)
    write_files(home / "theirs", model, sp_model_kwargs={})
    found = [read_tokenizer(home / name, FAMILY) for name in ("paddle", "theirs")]
    return *found, vocabulary, sentencepiece.SentencePieceProcessor(model_proto=model)


def ids_of(tokenizer, texts):
    return [row.tolist() for row in tokenizer.encode(texts)[0]]


def wanted(vocabulary, processor, text, lone_blanks):
    tokens = tokens_by_sentencepiece(processor, text, lone_blanks)
    return [vocabulary["[CLS]"], *(vocabulary.get(token, vocabulary["[UNK]"]) for token in tokens), vocabulary["[SEP]"]]


def texts_of(seed, count):
    rng = random.Random(seed)
    letters = "".join(mixed(rng) for _ in range(200))
    made = [mixed(rng) for _ in range(count)]
    return [*made, *("".join(rng.choices(letters, k=rng.randint(1, 40))) for _ in range(count))]


@pytest.mark.parametrize("lone_blanks", [False, True])
def test_ids_are_what_is_left_of_sentencepieces_pieces(lone_blanks, tables):
    tokenizer, vocabulary, processor = tables[lone_blanks], tables[2], tables[3]
    texts = [*ODD, *texts_of(3, 400)]
    found = ids_of(tokenizer, texts)
    differing = [text for text, ids in zip(texts, found) if ids != wanted(vocabulary, processor, text, lone_blanks)]
    assert differing == []
    several = sum(len(cut_piece(piece)) > 1 for text in texts for piece in processor.encode(text, out_type=str))
    assert several > 500  # the second cut had something to do
    assert found != ids_of(tables[not lone_blanks], texts)


def test_cutting_before_would_be_another_cut(model, tables):
    """Why this is no split before Unigram: pieces that go over a boundary take part in the choice of the others."""
    processor = tables[3]
    different = []
    for text in texts_of(5, 300):
        parts = [part for piece in processor.encode(text, out_type=str) for part in cut_piece(piece)]
        again = [piece for part in parts for piece in processor.encode(part.lstrip(BLANK), out_type=str)]
        different.append([p.lstrip(BLANK) for p in parts] != [p.lstrip(BLANK) for p in again if p != BLANK])
    assert sum(different) > 10


def test_pairs_have_two_marks_between(tables):
    tokenizer, vocabulary = tables[0], tables[2]
    (row,), (types,) = tokenizer.encode([("a film", "bad")])
    (first, second) = (ids_of(tokenizer, [text])[0][1:-1] for text in ("a film", "bad"))
    end = vocabulary["[SEP]"]
    assert row.tolist() == [vocabulary["[CLS]"], *first, end, end, *second, end]
    assert types.tolist() == [0] * (1 + len(first)) + [1] * (3 + len(second))  # as PaddleNLP; no model reads them
    assert len(tokenizer.encode([("a film is good and", "bad")], 8)[0][0]) == 8
    assert tokenizer.cut(["a film is good"], 4).whole.tolist() == [len(ids_of(tokenizer, ["a film is good"])[0])]


def test_marks_in_a_text_are_marks(tables):
    tokenizer, vocabulary = tables[0], tables[2]
    row = ids_of(tokenizer, ["a[MASK]film [SEP]"])[0]
    assert row[2:4] == [vocabulary["[MASK]"], *ids_of(tokenizer, ["film"])[0][1:2]]
    assert row[-2:] == [vocabulary["[SEP]"]] * 2


def test_what_is_saved_is_read_again_by_everyone(tables, tmp_path):
    tokenizer, processor = tables[1], tables[3]
    tokenizer.save_pretrained(tmp_path / "saved")
    names = {"special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", NAME}
    assert {path.name for path in (tmp_path / "saved").iterdir()} == names
    again = read_tokenizer(tmp_path / "saved", FAMILY)
    assert (again.digest, again.kind) == (tokenizer.digest, CUT_AGAIN)
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "saved" / NAME))
    texts = [*ODD, *texts_of(7, 50)]
    assert [theirs.encode(text, out_type=str) for text in texts] == [
        processor.encode(text, out_type=str) for text in texts
    ]
    (tmp_path / "saved" / "tokenizer.json").unlink()
    assert ids_of(read_tokenizer(tmp_path / "saved", FAMILY), texts) == ids_of(tokenizer, texts)


def test_other_software_refuses_the_file(tables, tmp_path):
    """Better than other numbers."""
    from tokenizers import Tokenizer

    tables[0].save_pretrained(tmp_path)
    with pytest.raises(Exception, match="ModelUntagged|did not match"):
        Tokenizer.from_file(str(tmp_path / "tokenizer.json"))


@pytest.mark.slow
def test_every_code_point_is_cut_alike_in_training_and_in_deployment(tables, tmp_path):
    tokenizer = tables[0]
    tokenizer.save_pretrained(tmp_path)
    deployed = load_text_encoder(tmp_path, 10**6)
    every = list(code_point_texts())
    texts = [*every[:_BELOW], *every[_BELOW::50]]  # ideographs and what nobody has assigned are cut alike
    for text, one, other in zip(texts, tokenizer.encode(texts)[0], deployed(texts)[0]):
        assert np.array_equal(one, other), ascii(text)


@pytest.mark.slow
def test_every_code_point_is_cut_as_sentencepiece_cuts_it(tables):
    """Beside the letter before it too, which it may belong to."""
    tokenizer, _, vocabulary, processor = tables
    points = [*range(0x3100), *range(0x3100, 0xD800, 20), *range(0xF900, 0x10000)]  # ideographs: some
    texts = [text for point in points for text in (f"a{chr(point)}b film", f"2\u00b2{chr(point)} {chr(point)}")]
    found = zip(texts, ids_of(tokenizer, texts))
    different = [text for text, ids in found if ids != wanted(vocabulary, processor, text, False)]
    assert different == [], ascii(different[:20])


WITHOUT = """
import sys
for name in ("paddle", "paddlenlp", "sentencepiece", "google.protobuf", "torch"): sys.modules[name] = None
from pathlib import Path
from ofa_bert.runtime.tokenizer import load_text_encoder
print([row.tolist() for row in load_text_encoder(Path(sys.argv[1]), 64)(eval(sys.argv[2]))[0]])
"""


def test_a_bundle_needs_neither_sentencepiece_nor_paddle(tables, tmp_path):
    tables[0].save_pretrained(tmp_path)
    texts = texts_of(9, 10)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(tmp_path), repr(texts)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.strip() == str([row.tolist() for row in tables[0].encode(texts, 64)[0]]), done.stderr


def test_a_trimmed_vocabulary_cuts_what_it_holds_as_before(tables):
    tokenizer = tables[0]
    vocabulary = tokenizer.get_vocab()
    texts = texts_of(11, 3)
    tokens = {token for row in ids_of(tokenizer, texts) for token in tokenizer.convert_ids_to_tokens(row)}
    kept = sorted(tokens | tokenizer.not_to_lose, key=vocabulary.get)
    smaller = tokenizer.trimmed(kept)
    assert len(smaller) == len(kept) < len(vocabulary)
    assert smaller.get_vocab() == {token: number for number, token in enumerate(kept)}
    rows = [smaller.convert_ids_to_tokens(row) for row in ids_of(smaller, texts)]
    assert rows == [tokenizer.convert_ids_to_tokens(row) for row in ids_of(tokenizer, texts)]


def test_words_and_windows_lie_where_they_are_in_the_text(model, tables):
    tokenizer = tables[0]
    text = "a  film, 中文12 ok\ufb01x <user>"
    _, ((_, spans),) = cut_words(tokenizer.fast, [text], None)
    words = [text[start:end] for start, end in spans]
    assert words == ["a", "film", ",", "中", "文", "12", "ok\ufb01x", "<user>"]
    windows = cut_windows(tokenizer.fast, [("is it 12", "a film,中文 is not good but very bad and 34 said")], 14, 4)
    assert len(windows.group) > 1
    seen = {"a film,中文 is not good but very bad and 34 said"[s:e] for s, e in windows.contexts[0]}
    assert {"film", ",", "中", "文", "3", "4", "very"} <= seen


def test_added_tokens_come_behind_the_vocabulary(model, tmp_path):
    vocabulary = write_files(tmp_path / "m", model)
    (tmp_path / "m" / "added_tokens.json").write_text(json.dumps({"<user>": len(vocabulary)}))
    tokenizer = read_tokenizer(tmp_path / "m", FAMILY)
    assert len(vocabulary) in ids_of(tokenizer, ["a <user> film"])[0]
    tokenizer.save_pretrained(tmp_path / "saved")
    assert read_tokenizer(tmp_path / "saved", FAMILY).digest == tokenizer.digest


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"do_lower_case": True}, "do_lower_case is true, which is not supported with sentencepiece"),
        ({"sp_model_kwargs": {"enable_sampling": True}}, "which cuts at random"),
        ({"lone_blanks": 1}, "lone_blanks is 1, not true or false"),
        ({"unk_token": "[NONE]"}, "its unk_token '\\[NONE\\]' is not in the vocabulary"),
    ],
)
def test_settings_that_cannot_be_followed(config, words, model, tmp_path):
    write_files(tmp_path, model, **config)
    with pytest.raises(UserError, match=words) as error:
        read_tokenizer(tmp_path, FAMILY)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"model_type": "bpe"}, "its trainer has model_type 2, supported is 1"),
        ({"byte_fallback": True}, "a piece for a byte, '<0x00>'"),
        ({"user_defined_symbols": ["<x>"]}, "a piece of the user's, '<x>'"),
        ({"add_dummy_prefix": False}, "add_dummy_prefix 0"),
        ({"remove_extra_whitespaces": False}, "remove_extra_whitespaces 0"),
        ({"treat_whitespace_as_suffix": True}, "treat_whitespace_as_suffix 1"),
    ],
)
def test_models_that_cut_otherwise_are_refused(more, words, tmp_path):
    import io

    made = io.BytesIO()
    settings = {"model_type": "unigram", "vocab_size": 300, "hard_vocab_limit": False, "minloglevel": 2, **more}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a film is good"] * 9), model_writer=made, **settings
    )
    (tmp_path / NAME).write_bytes(made.getvalue())
    with pytest.raises(ValueError, match=words):
        read_model(tmp_path / NAME)


def test_a_damaged_model_is_one_line(model, tmp_path):
    rng = random.Random(5)
    (tmp_path / NAME).write_bytes(model)
    whole = read_model(tmp_path / NAME)
    assert len(whole.pieces) > 100
    (tmp_path / NAME).write_bytes(model_bytes(whole))
    assert read_model(tmp_path / NAME) == whole
    messages = []
    for size in [0, 1, 7, *rng.sample(range(len(model)), 20)]:
        (tmp_path / NAME).write_bytes(model[:size])
        try:
            read_model(tmp_path / NAME)
        except ValueError as error:
            messages.append(str(error))
    write_files(tmp_path / "m", model)
    for _ in range(40):
        copy = bytearray(model)
        for place in rng.sample(range(len(model)), 30):
            copy[place] = rng.randrange(256)
        (tmp_path / "m" / NAME).write_bytes(copy)
        try:
            read_tokenizer(tmp_path / "m", FAMILY).encode(ODD, 16)
        except UserError as error:
            messages.append(str(error))
    assert len(messages) > 20
    assert not any("\n" in message or len(message) > 600 for message in messages)


def changed(state, path, value):
    state = json.loads(json.dumps(state))
    place = state
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return state


HOSTILE = {
    "its vocabulary is no object": (["model", "vocab"], []),
    "its vocabulary is no list of tokens and their scores": (["model", "pieces"], {}),
    "an entry of its vocabulary is 7": (["model", "pieces", 7], 7),
    "none of its pieces is the mark of a blank": (["model", "pieces"], [["a", -1.0]]),
    "goes on behind a blank": (["model", "pieces", 7], [f"{BLANK}a{BLANK}b", -1.0]),
    "its digits are": (["model", "digits"], "0-9"),
    "its lone_blanks is None": (["model", "lone_blanks"], None),
    "its unk_token": (["model", "unk_token"], 7),
    "its normalizer 'Lowercase' is not supported": (["normalizer"], {"type": "Lowercase"}),
    "its pre_tokenizer": (["pre_tokenizer"], {"type": "Whitespace"}),
    "its post_processor has": (["post_processor"], {"type": "BertProcessing"}),
    "without each text once": (["post_processor", "pair"], [{"Sequence": {"id": "A", "type_id": 0}}]),
    "supported are WordPiece, BPE, Unigram, UnigramCutAgain": (["model", "type"], "WordLevel"),
}


@pytest.mark.parametrize("words", HOSTILE)
def test_a_hostile_tokenizer_json(words, tables, tmp_path):
    tables[0].save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").unlink()
    state = json.loads((tmp_path / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").write_text(json.dumps(changed(state, *HOSTILE[words])))
    for read in (lambda: read_tokenizer(tmp_path, FAMILY), lambda: load(tmp_path / "tokenizer.json")):
        with pytest.raises(UserError) as caught:
            read()
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 600


def test_only_ernie_m_is_cut_so_and_nothing_else(tables, tmp_path):
    tables[0].save_pretrained(tmp_path)
    with pytest.raises(UserError, match="is UnigramCutAgain; a bert model is cut with WordPiece"):
        read_tokenizer(tmp_path, "bert")
    for name in (NAME, "vocab.txt"):
        (tmp_path / name).unlink()
    assert read_tokenizer(tmp_path, FAMILY).digest == tables[0].digest
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="has no tokenizer; vocab.txt is missing"):
        read_tokenizer(tmp_path, FAMILY)
