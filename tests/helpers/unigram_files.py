"""A sentencepiece model that is trained on the spot, and its tokenizer.json as transformers writes one for XLM-R."""

from __future__ import annotations

import base64
import io
import json
import random

from helpers.models import WORDS

BLANK = "\N{LOWER ONE EIGHTH BLOCK}"
BEFORE = ("<s>", "<pad>", "</s>", "<unk>")  # fairseq's marks, which are sentencepiece's in another order
SENTENCES = 400


def sentences():
    """The tests' words in random order, and some letters of other scripts."""
    rng = random.Random(0)
    others = "Ein Spaß für Ömer , été naïve ; добрый день 中文 字符 한국어 ½ 3.14 10 % # @user"
    others += " e-mail film's"
    return [" ".join(rng.choices([*WORDS, *WORDS, *others.split()], k=8)) for _ in range(SENTENCES)]


# A table of a few characters, as hexadecimal numbers.
RULES = "FB01\t66 69\nA0\t20\nFF21\t41\n65 301\tE9\n2460\t31\n"


def train(rule="nmt_nfkc", size=150, **more):
    """The bytes of a Unigram model."""
    import sentencepiece

    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences()), model_writer=made, vocab_size=size, model_type="unigram",
        normalization_rule_name=rule, character_coverage=1.0, hard_vocab_limit=False, minloglevel=2, num_threads=1,
        **more,
    )  # fmt: skip
    return made.getvalue()


def processor(model):
    import sentencepiece

    return sentencepiece.SentencePieceProcessor(model_proto=model)


def ids_by_sentencepiece(found, texts):
    """As XLM-R numbers sentencepiece's pieces, with its marks around."""
    return [[0, *(number + 1 if number else 3 for number in row), 2] for row in found.encode(texts)]


def field(message, wanted):
    """The texts and messages that stand in that field of a protocol buffer, without the package protobuf."""
    found, place = [], 0

    def varint():
        nonlocal place
        value = shift = 0
        while True:
            byte = message[place]
            place, value, shift = place + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    while place < len(message):
        number, kind = divmod(varint(), 8)
        size = {0: 0, 1: 8, 2: None, 5: 4}[kind]
        if kind == 0:
            varint()
        size = varint() if size is None else size
        if kind == 2 and number == wanted:
            found.append(message[place : place + size])
        place += size
    return found


def write_unigram(directory, model):
    """tokenizer.json and nothing else."""
    found = processor(model)
    pieces = [[found.id_to_piece(n), found.get_score(n)] for n in range(3, len(found))]  # behind its own marks
    vocabulary = [*([mark, 0.0] for mark in BEFORE), *pieces, ["<mask>", 0.0]]
    table = base64.b64encode(b"".join(field(each, 2)[0] for each in field(model, 3))).decode()  # of its normalizer
    blanks = [
        {"type": "Strip", "strip_left": False, "strip_right": True},
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": BLANK},
    ]
    spaces = {"type": "Metaspace", "replacement": BLANK, "prepend_scheme": "always", "split": True}
    marks = [*enumerate(BEFORE), (len(vocabulary) - 1, "<mask>")]
    flags = {"single_word": False, "rstrip": False, "normalized": False, "special": True}
    state = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": n, "content": mark, "lstrip": mark == "<mask>", **flags} for n, mark in marks],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [*([{"type": "Precompiled", "precompiled_charsmap": table}] if table else []), *blanks],
        },
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, spaces]},
        "post_processor": None, "decoder": spaces,
        "model": {"type": "Unigram", "unk_id": 3, "vocab": vocabulary, "byte_fallback": False},
    }  # fmt: skip
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "tokenizer.json").write_text(json.dumps(state), encoding="utf-8")
    return directory
