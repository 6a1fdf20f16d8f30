"""PaddleNLP's tokenizers beside the one that models are trained with: as a check, and where only they can cut."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ofa_bert.data.encoding.encoded import encode
from ofa_bert.data.tokenization.families import PADDLENLP
from ofa_bert.data.tokenization.text_tokenizer import Cutter, PaddleTokenizer, Text, TextTokenizer
from ofa_bert.data.tokenization.tokenizer_files import read_tokenizer
from ofa_bert.errors import UserError, first_line
from ofa_bert.models.families.registry import tokenizer_class
from ofa_bert.numerics import Ints
from ofa_bert.reporting import shown
from ofa_bert.tasks.task import Example

logger = logging.getLogger(__name__)

_MOST_CHECKED = 256  # texts: PaddleNLP takes about a second for them
_LIMIT = 10**6  # tokens: nothing is cut off


def from_name(name: str, model_type: str) -> Cutter:
    """The tokenizer of a model that PaddleNLP knows and downloads."""
    theirs = tokenizer_class(model_type).from_pretrained(name)
    with tempfile.TemporaryDirectory(prefix="ofa-tokenizer-") as home:
        theirs.save_pretrained(home)
        return read_tokenizer(Path(home), model_type) or theirs


def from_directory(directory: Path, model_type: str) -> PaddleTokenizer:
    """PaddleNLP's own tokenizer, for settings that the package tokenizers does not know."""
    cls = tokenizer_class(model_type, directory)
    # Named explicitly: a path stored in tokenizer_config.json by whoever saved it would win otherwise.
    files = {key: str(directory / name) for key, name in cls.resource_files_names.items()}
    return cls.from_pretrained(str(directory), **files)


def as_text_tokenizer(tokenizer: PaddleTokenizer, directory: Path) -> TextTokenizer:
    """PaddleNLP's `tokenizer`, which saved itself into `directory`, as a tokenizer.json. UserError with the reason."""
    families = {name: family for (family, _), name in PADDLENLP.items() if name is not None}
    name, basic = type(tokenizer).__name__, getattr(tokenizer, "basic_tokenizer", None)
    if name not in families:
        raise UserError(f"{name} is neither a WordPiece nor a byte-level BPE tokenizer")
    if getattr(basic, "never_split", None):
        raise UserError("never_split is not known to the package tokenizers")
    found = read_tokenizer(directory, families[name])
    if found is None:
        raise UserError("its settings are not known to the package tokenizers")
    return found


def compare_with_paddlenlp(tokenizer: Cutter, texts: Sequence[Text]) -> int:
    """How many of the texts (of at most some, spread over all) PaddleNLP's tokenizer cuts otherwise; one is logged.

    Never an error: whatever PaddleNLP does, the model is trained and deployed with the same tokenizer.json.
    """
    if not isinstance(tokenizer, TextTokenizer) or not texts or PADDLENLP[tokenizer.family, tokenizer.kind] is None:
        return 0
    some = texts[:: -(-len(texts) // _MOST_CHECKED)]
    with tempfile.TemporaryDirectory(prefix="ofa-tokenizer-") as home:
        tokenizer.save_pretrained(home)
        try:
            theirs = from_directory(Path(home), tokenizer.family)
        except Exception as error:  # whatever PaddleNLP raises at added tokens that it cannot number
            logger.warning("PaddleNLP cannot load this tokenizer (%s); nothing to compare it with", first_line(error))
            return 0
        different = [text for text, found, wanted in differing(tokenizer, theirs, some)]
    if different:
        about = "Unicode of another version" if by_unicode_alone(tokenizer, theirs, different) else "another way to cut"
        logger.warning(
            "PaddleNLP's %s cuts %d of %d texts otherwise (%s), for example %s; the model is trained and deployed with"
            " the same tokenizer.json",
            type(theirs).__name__, len(different), len(some), about, shown(different[0]),
        )  # fmt: skip
    return len(different)


def differing(
    ours: TextTokenizer, theirs: PaddleTokenizer, texts: Sequence[Text]
) -> list[tuple[Text, list[int], list[int]]]:
    """(text, ids of ours, ids of theirs) where the two differ in ids or types."""
    if not texts:
        return []
    found = ours.encode(texts)
    pairs = [(text, None) if isinstance(text, str) else (text[0], text[1]) for text in texts]
    # Singles and pairs apart: PaddleNLP takes one kind in a call.
    wanted: list[tuple[Ints, Ints]] = list(zip(*found))  # each is replaced below
    for kind in (True, False):
        places = [place for place, (_, second) in enumerate(pairs) if (second is None) is kind]
        encoded = encode(
            [Example(pairs[place][0], pairs[place][1], 0) for place in places], theirs, _LIMIT, progress=False
        )
        for place, row in zip(places, zip(encoded.input_ids, encoded.token_type_ids)):
            wanted[place] = row
    different = []
    for text, ids, types, (right, right_types) in zip(texts, *found, wanted):
        if ids.tolist() != right.tolist() or types.tolist() != right_types.tolist():
            different.append((text, ids.tolist(), right.tolist()))
    return different


def by_unicode_alone(ours: TextTokenizer, theirs: PaddleTokenizer, texts: Sequence[Text]) -> bool:
    """Whether the texts are cut alike without the characters that by themselves are cut otherwise.

    Python's Unicode tables and the library's are of different years: new emoji, marks and letters differ.
    """
    letters = sorted(
        {letter for text in texts for part in ([text] if isinstance(text, str) else text) for letter in part}
    )
    odd = {text[1] for text, *_ in differing(ours, theirs, [f"a{letter}b" for letter in letters])}
    table = dict.fromkeys(map(ord, odd), "")
    without = [
        text.translate(table) if isinstance(text, str) else (text[0].translate(table), text[1].translate(table))
        for text in texts
    ]
    return not differing(ours, theirs, without)
