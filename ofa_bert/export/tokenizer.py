"""The tokenizer of a bundle: the one that the model was trained with, and what the manifest says about it."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from pathlib import Path

from ofa_bert.bundle.manifest import TOKENIZER
from ofa_bert.data.tokenization.text_tokenizer import Cutter, Text, TextTokenizer
from ofa_bert.errors import UserError
from ofa_bert.models.paddlenlp_tokenizer import (
    as_text_tokenizer,
    by_unicode_alone,
    compare_with_paddlenlp,
    differing,
)
from ofa_bert.reporting import shown

logger = logging.getLogger(__name__)

# Where tokenizers differ if they do: accents, ideographs, symbols, control characters, long and unknown words.
ODD_TEXTS = (
    "",
    " ",
    "Café naïve ÅNGSTRÖM İstanbul ß Ÿ",
    "中文字符 and 漢字, 1° 2² £3 ©4 5€ ½ → ☃ 😀 a+b=c ~ ^ ` $x",
    "tabs\tand\nbreaks \u00a0 \u200b\u200d zero \ufeffwidth \u0000 nul \u00ad soft",
    "it's don't I'll we've they'd 'quoted' 3.14 1,000 e-mail @user #tag http://a.b/c?d=e",
    "[CLS] in [MASK] text [SEP] <s> </s> <mask> [UNK]",
    "x" * 101 + " " + "y" * 100 + " trailing   spaces   ",
    "ﬁ ligature, e\u0301 combined, \uac00\ud55c\uad6d 한국어 ひらがな カタカナ Ελληνικά кириллица עברית",
)


def write_tokenizer(tokenizer: Cutter, bundle: Path, texts: Sequence[tuple[str, str | None]] = ()) -> dict[str, object]:
    """Write the tokenizer's files and return what the manifest says about them.

    What the model was trained with is what is written; PaddleNLP's tokenizer only checks it, on odd strings and on
    `texts`. A PaddleNLP tokenizer itself gets a tokenizer.json that gives its ids, new characters apart; where there is
    none, the bundle has no such file and needs PaddleNLP to encode text.
    """
    tokenizer.save_pretrained(str(bundle))
    checked: list[Text] = [*ODD_TEXTS, *itertools.pairwise(ODD_TEXTS)]
    checked += [first if second is None else (first, second) for first, second in texts]
    if isinstance(tokenizer, TextTokenizer):
        different = compare_with_paddlenlp(tokenizer, checked)
        return {"file": TOKENIZER, "checked_texts": len(checked), "other_in_paddlenlp": different}
    try:
        fast = as_text_tokenizer(tokenizer, bundle)
    except UserError as error:
        return _none(str(error))
    others = differing(fast, tokenizer, checked)
    if others and not by_unicode_alone(fast, tokenizer, [text for text, *_ in others]):
        return _none(f"{shown(others[0][0])} has other tokens in the package tokenizers")
    fast.save_pretrained(bundle)
    return {"file": TOKENIZER, "checked_texts": len(checked), "other_in_paddlenlp": len(others)}


def _none(reason: str) -> dict[str, object]:
    logger.warning("no %s: %s; to encode text for this bundle, PaddleNLP must be installed", TOKENIZER, reason)
    return {"file": None, "reason": reason}
