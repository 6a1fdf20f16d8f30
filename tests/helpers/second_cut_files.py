"""ERNIE-M's two files, trained on the spot: pieces that mix letters, numbers, marks and ideographs, so that the second
cut has something to do; and that cut as its words say, letter by letter."""

from __future__ import annotations

import io
import json
import random

from helpers.models import WORDS
from ofa_bert.data.tokenization.second_cut import BLANK, MARKS
from ofa_bert.data.tokenization.sentencepiece_model import NAME

SPECIAL = ("[CLS]", "[PAD]", "[SEP]", "[UNK]")
OTHERS = (
    "Spaß Ömer été naïve добрый день 中文字符 漢字かな カタカナ 한국어 ½ 3.14 10% ２０２４年 ①② x² ٣٤ हिन्दी १२ ไทย "
    "ok,12 ab12cd 12ab 中文12，ok a.b c:d e;f g!h i?j k~l 《书》 【注】 。。 ，， 第3章 v2.0 2nd"
).split()


def mixed(rng, count=8):
    """A text, some of whose words stand together."""
    words = rng.choices([*WORDS, *OTHERS, *OTHERS], k=count)
    return "".join(word + rng.choice([" ", " ", "", "  "]) for word in words)


def train_mixed(rule="nmt_nfkc", size=260, **more):
    """The bytes of a sentencepiece model whose pieces are of any kind of letters."""
    import sentencepiece

    rng, made = random.Random(1), io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([mixed(rng) for _ in range(600)]), model_writer=made, vocab_size=size,
        model_type="unigram", normalization_rule_name=rule, character_coverage=1.0, hard_vocab_limit=False,
        split_by_unicode_script=False, split_by_number=False, minloglevel=2, num_threads=1, **more,
    )  # fmt: skip
    return made.getvalue()


def cut_piece(piece):
    """The second cut of a piece, letter by letter."""

    def alone(letter):
        return "\u4e00" <= letter <= "\u9fff" or letter in MARKS

    parts = []
    for place, letter in enumerate(piece):
        before = piece[place - 1] if place else None
        cut = before is None or alone(letter) or alone(before)
        if cut or (letter != BLANK and letter.isdigit() != before.isdigit()):
            parts.append(letter)
        else:
            parts[-1] += letter
    return [part for part in parts if part != BLANK]


def tokens_by_sentencepiece(found, text, lone_blanks):
    """What is left of sentencepiece's own pieces."""
    pieces, made = found.encode(text, out_type=str), []
    for place, piece in enumerate(pieces):
        if piece != BLANK:
            made += cut_piece(piece)
        elif lone_blanks and 0 < place < len(pieces) - 1 and not pieces[place + 1].startswith(BLANK):
            made.append(BLANK)
    return made


def write_files(directory, model, **config):
    """vocab.txt, which lacks some of what the second cut gives, and the model; the vocabulary."""
    import sentencepiece

    found = sentencepiece.SentencePieceProcessor(model_proto=model)
    pieces = [found.id_to_piece(number) for number in range(len(found)) if not found.is_control(number)]
    parts = dict.fromkeys(part for piece in pieces for part in ([piece] if piece == BLANK else cut_piece(piece)))
    kept = [part for place, part in enumerate(parts) if place % 9 != 4 and part != "<unk>"]
    tokens = [*SPECIAL, *kept, "\u6f22", "[MASK]"]
    tokens = list(dict.fromkeys(tokens))
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    (directory / NAME).write_bytes(model)
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    return {token: number for number, token in enumerate(tokens)}
