"""One tokenizer.json cuts texts in training and in deployment; whatever files a directory has, it says the same."""

import json
import os
import time

import numpy as np
import pytest

from helpers.models import VOCABULARY
from helpers.paths import SHARED
from helpers.tokenizer_files import (
    ADDED,
    SPELLINGS,
    add_tokens,
    code_point_texts,
    write_byte_pairs,
    write_vocabulary,
)
from ofa_bert.data.encoding.encoded import encode
from ofa_bert.data.tokenization.families import LETTER_CASE_ONLY, PADDLENLP
from ofa_bert.data.tokenization.tokenizer_files import read_tokenizer
from ofa_bert.data.tokenization.tokenizer_json import WORDPIECE
from ofa_bert.errors import UserError
from ofa_bert.runtime.tokenizer import load_text_encoder
from ofa_bert.tasks.task import Example

pytest.importorskip("tokenizers")
USER, URL = ADDED.values()
LONG = {"max_seq_length": 10**6}


def rows(encoded):
    return [[row.tolist() for row in part] for part in encoded]


def encoders(directory, family, home, manifest=LONG):
    """(how training cuts texts, how the bundle of that training does, by way of what the run saved)."""
    trained = read_tokenizer(directory, family)
    for name in ("best", "bundle"):
        (home / name).mkdir()
    trained.save_pretrained(home / "best")
    read_tokenizer(home / "best", family).save_pretrained(home / "bundle")

    def in_training(texts):
        examples = [Example(*((text, None) if isinstance(text, str) else text), 0) for text in texts]
        encoded = encode(examples, trained, manifest["max_seq_length"], progress=False)
        return encoded.input_ids, encoded.token_type_ids

    return in_training, load_text_encoder(home / "bundle", manifest["max_seq_length"])


def trained_and_deployed(directory, family, texts, home, manifest=LONG):
    """Ids and types by both."""
    return [rows(cut(texts)) for cut in encoders(directory, family, home, manifest)]


def check_code_points(directory, family, home, **how):
    """The numbers that were seen; every code point is cut alike."""
    texts = list(code_point_texts(**how))
    trained, deployed = (cut(texts)[0] for cut in encoders(directory, family, home))
    for text, one, other in zip(texts, trained, deployed):
        assert np.array_equal(one, other), (text, one, other)
    return set(np.concatenate(trained).tolist()), len(trained)


@pytest.mark.slow
def test_every_code_point_is_cut_alike(tmp_path):
    directory = write_vocabulary(tmp_path / "m", [*VOCABULARY, "b", "##b", "e", "##e", "中", "😀", "##a"])
    seen, count = check_code_points(directory, "bert", tmp_path)
    assert count == 2 * 0x110000 // 64
    end = len(VOCABULARY)
    assert {1, VOCABULARY.index("."), *range(end, end + 7)} <= seen  # unknown, cut apart, passed over, found


FUZZ = pytest.mark.skipif(not os.environ.get("OFA_BERT_FUZZ"), reason="minutes; OFA_BERT_FUZZ=1 runs it")
WORDS = [family for family, kind in PADDLENLP if kind == WORDPIECE]
ALL = [
    *((family, lower, accents) for family in WORDS for lower in (True, False)
      for accents in ((None,) if family in LETTER_CASE_ONLY else (None, True, False))),
    ("byte-pairs", None, None),
]  # fmt: skip


@FUZZ
@pytest.mark.parametrize("real", [None, "gte-small", "ernie-3.0-nano-zh-uie"], ids=["small", "english", "chinese"])
@pytest.mark.parametrize(("family", "lower", "accents"), ALL)
def test_every_code_point_in_every_family(family, lower, accents, real, tmp_path):
    if family == "byte-pairs":
        if real:
            pytest.skip("no real byte-pair vocabulary here")
        directory, family = write_byte_pairs(tmp_path / "m"), "roberta"
    else:
        source = SHARED / "models" / str(real) / "vocab.txt"
        if real and not source.is_file():
            pytest.skip(f"needs the vocabulary of {real} beside the checkout")
        tokens = source.read_text("utf-8").split("\n")[:-1] if real else [*VOCABULARY, "b", "##b", "é", "e"]
        config = {"do_lower_case": lower, "strip_accents": accents, "tokenize_chinese_chars": real != "gte-small"}
        directory = write_vocabulary(tmp_path / "m", tokens, **config)
    check_code_points(directory, family, tmp_path, dense_from=0x110000)


TWEETS = ["<user> they said", "<USER> a film", "bad<url>film", "<url>", "not <user > but", ("<user> a", "film <url>")]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_added_tokens_in_three_spellings(spelling, tmp_path):
    directory = add_tokens(write_vocabulary(tmp_path / "m"), spelling)
    singles = TWEETS[:-1]
    trained, deployed = trained_and_deployed(directory, "bert", singles, tmp_path)
    assert trained == deployed
    bad, film = VOCABULARY.index("bad"), VOCABULARY.index("film")
    assert trained[0][1] == [2, USER, VOCABULARY.index("a"), film, 3]  # found in the lower-case text, as words are
    assert trained[0][2] == [2, bad, URL, film, 3]
    assert USER not in trained[0][4]
    tokenizer = read_tokenizer(directory, "bert")
    assert len(tokenizer) == len(VOCABULARY) + 2
    assert ADDED.items() <= tokenizer.get_vocab().items()
    assert tokenizer.added_tokens[-2:] == list(ADDED)
    assert not {"<user>", "<url>"} & set(tokenizer.all_special_tokens)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_trimmed_vocabulary_finds_its_added_tokens(spelling, tmp_path):
    whole = read_tokenizer(add_tokens(write_vocabulary(tmp_path / "m"), spelling), "bert")
    vocabulary = whole.get_vocab()
    kept = sorted({"a", "film", "bad", *whole.added_tokens, *whole.all_special_tokens}, key=vocabulary.get)
    smaller = whole.trimmed(kept)
    assert [vocabulary[token] for token in kept] == sorted(vocabulary[token] for token in kept)
    assert smaller.get_vocab() == {token: number for number, token in enumerate(kept)}
    (tmp_path / "small").mkdir()
    smaller.save_pretrained(tmp_path / "small")
    texts = ["a bad<url>film", "<user> a"]
    wanted = [[vocabulary[kept[number]] for number in row] for row in rows(smaller.encode(texts))[0]]
    assert wanted == rows(whole.encode(texts))[0]
    for other in (
        read_tokenizer(tmp_path / "small", "bert").encode,
        load_text_encoder(tmp_path / "small", LONG["max_seq_length"]),
    ):
        assert rows(other(texts)) == rows(smaller.encode(texts))


def test_special_tokens_of_their_own_name(tmp_path):
    """As additional_special_tokens name them; one is not in the vocabulary and comes behind it."""
    directory = write_vocabulary(tmp_path / "m", [*VOCABULARY, "[Topic]"])
    (directory / "special_tokens_map.json").write_text(
        json.dumps({"additional_special_tokens": ["[Topic]", {"content": "[End]", "lstrip": False}]})
    )
    tokenizer = read_tokenizer(directory, "bert")
    topic, end = len(VOCABULARY), len(VOCABULARY) + 1
    assert rows(tokenizer.encode(["a[Topic]film [End] [topic]"]))[0][0][2:-5] == [topic, VOCABULARY.index("film")]
    assert tokenizer.all_special_ids[-2:] == [topic, end]
    trained, deployed = trained_and_deployed(directory, "bert", ["a [Topic] [End]"], tmp_path)
    assert trained == deployed
    assert trained[0] == [[2, VOCABULARY.index("a"), topic, end, 3]]


def test_byte_pairs(tmp_path):
    directory = write_byte_pairs(tmp_path / "m")
    (directory / "added_tokens.json").write_text(json.dumps({"<user>": 269}))
    texts = ["good film", "a <mask> \u00e9 😀<user> x", ""]
    trained, deployed = trained_and_deployed(directory, "roberta", texts, tmp_path)
    assert trained == deployed
    tokenizer = read_tokenizer(directory, "roberta")
    assert tokenizer.convert_ids_to_tokens(trained[0][0]) == ["<s>", "good", "Ġfilm", "</s>"]
    assert 269 in trained[0][1]
    assert tokenizer.pad_token_id == 1
    (ids,), (types,) = rows(tokenizer.encode([("good", "good")]))
    assert tokenizer.convert_ids_to_tokens(ids) == ["<s>", "good", "</s>", "</s>", "good", "</s>"]
    assert set(types) == {0}
    for name in ("vocab.json", "merges.txt"):
        (directory / name).unlink()
    (tmp_path / "best" / "tokenizer.json").rename(directory / "tokenizer.json")
    (directory / "added_tokens.json").unlink()
    assert rows(read_tokenizer(directory, "roberta").encode(texts)) == trained


def test_pairs_are_cut_alike(tmp_path):
    texts = [(" ".join("a" * first), " ".join("." * second)) for first in range(9) for second in range(9)]
    trained, deployed = trained_and_deployed(
        write_vocabulary(tmp_path / "m"), "bert", texts, tmp_path, {"max_seq_length": 9}
    )
    assert trained == deployed
    assert max(map(len, trained[0])) == 9
    assert trained[1][-1] == [0, 0, 0, 0, 0, 1, 1, 1, 1]


def test_called_as_paddlenlps_are(tmp_path):
    tokenizer = read_tokenizer(write_vocabulary(tmp_path / "m"), "bert")
    one = tokenizer("a film", max_length=3, return_token_type_ids=True)
    assert one == {"input_ids": [2, 5, 3], "token_type_ids": [0, 0, 0]}
    assert tokenizer(["a", "film"], ["a", "a"])["token_type_ids"] == [[0, 0, 0, 1, 1]] * 2
    with pytest.raises(TypeError, match="not padded"):
        tokenizer("a", padding=True)


def test_letter_case_follows_the_settings(tmp_path):
    good, unknown = VOCABULARY.index("good"), 1
    for lower, wanted in ((True, good), (False, unknown)):
        directory = write_vocabulary(tmp_path / str(lower), do_lower_case=lower)
        assert rows(read_tokenizer(directory, "bert").encode(["Good"]))[0] == [[2, wanted, 3]]
    read_tokenizer(tmp_path / "True", "bert").save_pretrained(tmp_path / "True")
    for lower, wanted in ((True, good), (False, unknown)):  # both files are there: as Transformers has it, settings win
        (tmp_path / "True" / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lower}))
        assert rows(read_tokenizer(tmp_path / "True", "bert").encode(["Good"]))[0] == [[2, wanted, 3]]


def test_two_equal_lines_and_a_hole(tmp_path):
    """Of two equal lines the later one counts; the number of the first has no token, and stays free when saved."""
    directory = write_vocabulary(tmp_path / "m", [*VOCABULARY[:5], "good", "", *VOCABULARY[5:]])
    good = VOCABULARY.index("good") + 2
    (directory / "added_tokens.json").write_text(json.dumps({"<user>": len(VOCABULARY) + 2}))
    with pytest.raises(UserError, match="only .* is free"):  # the package counts tokens, not lines
        read_tokenizer(directory, "bert")
    (directory / "added_tokens.json").unlink()
    tokenizer = read_tokenizer(directory, "bert")
    assert len(tokenizer) == len(VOCABULARY) + 2
    assert tokenizer.convert_ids_to_tokens([5, 6, good]) == ["[UNK]", "[UNK]", "good"]
    trained, deployed = trained_and_deployed(directory, "bert", ["a good film"], tmp_path)
    assert trained == deployed
    assert good in trained[0][0]
    assert read_tokenizer(tmp_path / "best", "bert").get_vocab() == tokenizer.get_vocab()


def test_half_a_surrogate_pair_is_named(tmp_path):
    tokenizer = read_tokenizer(write_vocabulary(tmp_path / "m"), "bert")
    for texts in (["a", "b\ud83d"], [("a", "b"), ("a", "\udc00")]):
        with pytest.raises(UserError, match="half of a surrogate pair"):
            tokenizer.encode(texts)


def test_settings_that_only_paddlenlp_knows(tmp_path):
    directory = write_vocabulary(tmp_path / "m", never_split=["film"])
    assert read_tokenizer(directory, "bert") is None
    assert read_tokenizer(write_vocabulary(tmp_path / "n", do_basic_tokenize=False), "bert") is None
    add_tokens(directory, "added_tokens_decoder")
    with pytest.raises(UserError, match=r"never_split \['film'\] and the added token '<user>' cannot be had together"):
        read_tokenizer(directory, "bert")


DISAGREE = {
    "has no tokenizer; vocab.txt is missing": {"vocab.txt": None},
    "vocab.txt has no line": {"vocab.txt": "a\nb\n"},
    "is empty": {"vocab.txt": "\n"},
    "vocab.txt is not UTF-8": {"vocab.txt": b"\xff\xfe"},
    "tokenizer_config.json is not a JSON file": {"tokenizer_config.json": "{"},
    "is nested too deeply": {"tokenizer_config.json": "[" * 100_000},
    "must hold a JSON object, not list": {"tokenizer_config.json": []},
    "do_lower_case is 'no', not true or false": {"tokenizer_config.json": {"do_lower_case": "no"}},
    "a special token is 7": {"special_tokens_map.json": {"pad_token": 7}},
    "additional_special_tokens is 'x', no list": {"special_tokens_map.json": {"additional_special_tokens": "x"}},
    "number 99 where only 27 is free": {"added_tokens.json": {"<user>": 99}},
    "'<user>' has the number '27'": {"added_tokens.json": {"<user>": "27"}},
    "'film' is number 27 here and 6 elsewhere": {"added_tokens.json": {"film": 27}},
    "'a' and the added token '<user>' share a number": {"added_tokens.json": {"<user>": 5}},
    "an added token is ' '": {"added_tokens.json": {" ": 27}},
    "nothing is left of the added token": {"added_tokens.json": {"\u0301": 27}},
    "added_tokens_decoder is": {"tokenizer_config.json": {"added_tokens_decoder": [1]}},
    "added_tokens_decoder: 'x'": {"tokenizer_config.json": {"added_tokens_decoder": {"x": {"content": "y"}}}},
    "has lstrip 'yes'": {
        "tokenizer_config.json": {"added_tokens_decoder": {"27": {"content": "<user>", "lstrip": "yes"}}}
    },
    "is number 28 here and 27 elsewhere": {
        "added_tokens.json": {"<user>": 28},
        "tokenizer_config.json": {"added_tokens_decoder": {"27": {"content": "<user>"}}},
    },
}


def change(directory, files):
    for name, content in files.items():
        if content is None:
            (directory / name).unlink()
        elif isinstance(content, bytes):
            (directory / name).write_bytes(content)
        else:
            (directory / name).write_text(content if isinstance(content, str) else json.dumps(content))


def refused(directory, family="bert"):
    with pytest.raises(UserError) as caught:
        read_tokenizer(directory, family)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    assert str(directory) in message
    return message


@pytest.mark.parametrize("words", DISAGREE)
def test_files_that_are_wrong_or_disagree(words, tmp_path):
    directory = write_vocabulary(tmp_path / "m")
    change(directory, DISAGREE[words])
    assert words in refused(directory)


def damaged(state, path, value):
    """A copy of the JSON with another value at the path; None at a last place removes it."""
    state = json.loads(json.dumps(state))
    place = state
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return state


EXPLODES = {"Regex": "(a+)+$"}
HOSTILE = {
    "regex in a pre-tokenizer": (
        ["pre_tokenizer"],
        {"type": "Split", "pattern": EXPLODES, "behavior": "Isolated", "invert": False},
    ),
    "regex in a normalizer": (["normalizer"], {"type": "Replace", "pattern": EXPLODES, "content": ""}),
    "regex in a sequence": (
        ["normalizer"],
        {"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"Regex": "(("}, "content": ""}]},
    ),
    "sequences in sequences": (["normalizer"], None),  # filled in below
    "no normalizer": (["normalizer"], 3),
    "normalizer of another kind": (["normalizer"], {"type": ["BertNormalizer"]}),
    "sequence without members": (["pre_tokenizer"], {"type": "Sequence"}),
    "normalizer without fields": (["normalizer"], {"type": "BertNormalizer"}),
    "script": (["normalizer"], {"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
    "no model": (["model"], []),
    "another model": (["model", "type"], "Unigram"),
    "a type that is no text": (["model", "type"], {}),
    "byte pairs for bert": (["model"], {"type": "BPE", "vocab": {"a": 0}, "merges": []}),
    "vocabulary is a list": (["model", "vocab"], ["a"]),
    "vocabulary is empty": (["model", "vocab"], {}),
    "number is true": (["model", "vocab", "a"], True),
    "number is negative": (["model", "vocab", "a"], -1),
    "number is huge": (["model", "vocab", "a"], 10**12),
    "number is a fraction": (["model", "vocab", "a"], 5.5),
    "number twice": (["model", "vocab", "a"], 6),
    "line break": (["model", "vocab", "a\nb"], 27),
    "half a pair": (["model", "vocab", "\ud800"], 27),
    "no unknown token": (["model", "unk_token"], "[NONE]"),
    "unknown token is null": (["model", "unk_token"], None),
    "another prefix": (["model", "continuing_subword_prefix"], "@@"),
    "words without end": (["model", "max_input_chars_per_word"], 10**12),
    "added tokens are an object": (["added_tokens"], {}),
    "added token is text": (["added_tokens", 0], "[PAD]"),
    "added token without text": (["added_tokens", 0, "content"], ""),
    "added token elsewhere": (["added_tokens", 0, "id"], 77),
    "flag is text": (["added_tokens", 0, "special"], "true"),
    "marks are wrong": (["post_processor"], {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 3]}),
    "marks are none": (["post_processor"], {"type": "BertProcessing", "sep": 1, "cls": 2}),
    "types are wrong": (["post_processor", "pair", 3, "Sequence", "type_id"], 0),
}


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    return read_tokenizer(write_vocabulary(tmp_path_factory.mktemp("state")), "bert").state


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_tokenizer_json(name, state, tmp_path):
    path, value = HOSTILE[name]
    if name == "sequences in sequences":
        value = {"type": "Lowercase"}
        for _ in range(50):
            value = {"type": "Sequence", "normalizers": [value]}
    change(tmp_path, {"tokenizer.json": damaged(state, path, value)})
    start = time.monotonic()
    refused(tmp_path)
    if path[0] not in ("post_processor",) and name != "byte pairs for bert":  # a runtime knows no family
        with pytest.raises(UserError, match="tokenizer.json: not a tokenizer: .*export the bundle again"):
            load_text_encoder(tmp_path, LONG["max_seq_length"])
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("content", [b"", b"{" * 10_000, b"[" * 100_000, b"\xff", b"null", b'{"model": 1e999}'])
def test_no_tokenizer_json_at_all(content, tmp_path):
    change(tmp_path, {"tokenizer.json": content})
    refused(tmp_path)
    with pytest.raises(UserError, match="not a tokenizer"):
        load_text_encoder(tmp_path, LONG["max_seq_length"])


def test_a_panic_of_the_library_is_an_error(monkeypatch, tmp_path):
    """A panic in Rust reaches Python as a BaseException that is no Exception."""
    from ofa_bert.data.tokenization import tokenizer_json

    class PanicError(BaseException):
        pass

    class Tokenizer:
        @staticmethod
        def from_str(text):
            raise PanicError("index out of bounds")

    library = type("library", (), {"Tokenizer": Tokenizer})
    monkeypatch.setattr(tokenizer_json, "library", lambda: library)
    assert "index out of bounds" in refused(write_vocabulary(tmp_path / "m"))


def test_random_damage_never_raises_anything_else(state, tmp_path):
    rng = np.random.default_rng(7)
    content, messages = json.dumps(state).encode(), []
    for _ in range(300):
        copy = bytearray(content)
        for place in rng.integers(0, len(copy), rng.integers(1, 4)):
            copy[place] = rng.integers(0, 256)
        (tmp_path / "tokenizer.json").write_bytes(copy)
        try:
            read_tokenizer(tmp_path, "bert").encode(["a film [SEP] x", "\u00e9 😀"], 8)
        except UserError as error:
            messages.append(str(error))
    assert 100 < len(messages) < 300
    assert not any("\n" in message for message in messages)


def test_a_file_of_transformers(tmp_path):
    """bert-base's tokenizer.json: BertProcessing, no cut at symbols, nothing beside it."""
    from tokenizers import BertWordPieceTokenizer

    vocabulary = {token: number for number, token in enumerate([*VOCABULARY, "5", "##€", "€"])}
    BertWordPieceTokenizer(vocabulary, lowercase=True).save(str(tmp_path / "tokenizer.json"))
    tokenizer = read_tokenizer(tmp_path, "bert")
    assert rows(tokenizer.encode(["A 5€ film"]))[0] == [[2, 5, 27, 28, 6, 3]]
    (tmp_path / "b").mkdir()
    trained, deployed = trained_and_deployed(tmp_path, "bert", ["A 5€ film", "[MASK]"], tmp_path / "b")
    assert trained == deployed
    (tmp_path / "vocab.txt").write_text("\n".join(reversed(vocabulary)))
    assert "remove the file that does not belong" in refused(tmp_path)
