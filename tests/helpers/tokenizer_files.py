"""Tokenizer directories as people have them: a vocabulary, settings, and added tokens in one of three spellings."""

from __future__ import annotations

import json

from helpers.models import VOCABULARY

ADDED = {"<user>": len(VOCABULARY), "<url>": len(VOCABULARY) + 1}
SPELLINGS = ("added_tokens.json", "added_tokens_decoder", "tokenizer.json")


def write_vocabulary(directory, tokens=VOCABULARY, **config):
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    return directory


def add_tokens(directory, spelling, family="bert"):
    """Put ADDED beside the vocabulary of a directory; with "tokenizer.json" nothing else is left there."""
    from ofa_bert.data.tokenization.tokenizer_files import read_tokenizer

    config = json.loads((directory / "tokenizer_config.json").read_text())
    if spelling == "added_tokens_decoder":
        tokens = {str(number): {"content": token, "special": False} for token, number in ADDED.items()}
        (directory / "tokenizer_config.json").write_text(json.dumps({**config, "added_tokens_decoder": tokens}))
        return directory
    (directory / "added_tokens.json").write_text(json.dumps(ADDED))
    if spelling == "tokenizer.json":
        tokenizer = read_tokenizer(directory, family)
        for name in ("vocab.txt", "tokenizer_config.json", "added_tokens.json"):
            (directory / name).unlink()
        tokenizer.fast.save(str(directory / "tokenizer.json"))
    return directory


def write_byte_pairs(directory):
    """A small RoBERTa vocabulary: every byte and a few merges, as its vocab.json and merges.txt have them."""
    directory.mkdir(parents=True, exist_ok=True)
    merges = [("Ġ", "f"), ("i", "l"), ("Ġf", "il"), ("Ġfil", "m"), ("o", "o"), ("g", "oo"), ("goo", "d"), ("Ġ", "good")]
    words = ["<s>", "<pad>", "</s>", "<unk>", *byte_letters(), *(a + b for a, b in merges), "<mask>"]
    (directory / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (directory / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in merges) + "\n")
    return directory


def byte_letters():
    """The letter for each byte, as GPT-2 has it: printable ones are their own, the others begin at U+0100."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def code_point_texts(dense_from=0x20000, size=64):
    """Texts with every code point that is a character, alone and between two letters, `size` to a text.

    From `dense_from` on, where there are ideographs, private and unassigned ones, those of a text share their letters:
    it is several times as quick to cut, and each that is not as its neighbours still shows.
    """
    for start in range(0, 0x110000, size):
        letters = [chr(point) for point in range(start, start + size) if not 0xD800 <= point < 0xE000]
        yield " ".join(letters)
        if start < dense_from:
            yield " ".join(f"a{letter}b" for letter in letters)
        else:
            yield "a" + "b".join(letters) + "a"
