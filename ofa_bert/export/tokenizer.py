"""A PaddleNLP tokenizer as a tokenizer.json, so that text can be encoded without PaddleNLP; checked at once."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ofa_bert.bundle.manifest import TOKENIZER

logger = logging.getLogger(__name__)

# Where tokenizers differ if they do: accents, ideographs, symbols, control characters, long and unknown words.
_ODD = (
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


def write_fast_tokenizer(tokenizer: Any, bundle: Path, texts: Sequence[tuple[str, str | None]] = ()) -> dict[str, Any]:
    """Write tokenizer.json and return what the manifest says about it.

    It must give the token ids and types of `tokenizer` for odd strings, single and in pairs, and for `texts`. A
    tokenizer that cannot be expressed leaves no file and a reason; the bundle then needs PaddleNLP to encode text.
    """
    try:
        fast = _wordpiece(tokenizer) or _byte_pairs(tokenizer)
    except ImportError as error:
        return _none(f"the package tokenizers does not load ({error})")
    if fast is None:
        return _none(f"{type(tokenizer).__name__} is neither a WordPiece nor a byte-level BPE tokenizer")
    checked = [(text, None) for text in _ODD] + [(first, second) for first, second in itertools.pairwise(_ODD)]
    for text, pair in [*checked, *texts]:
        wanted = tokenizer(text, text_pair=pair, return_token_type_ids=True, return_attention_mask=False)
        found = fast.encode(text, pair)
        if (found.ids, found.type_ids) != (list(wanted["input_ids"]), list(wanted["token_type_ids"])):
            return _none(f"{text!r} has other tokens in the package tokenizers")
    fast.save(str(bundle / TOKENIZER))
    return {"file": TOKENIZER, "checked_texts": len(checked) + len(texts)}


def _none(reason: str) -> dict[str, Any]:
    logger.warning("no %s: %s; to encode text for this bundle, PaddleNLP must be installed", TOKENIZER, reason)
    return {"file": None, "reason": reason}


def _wordpiece(tokenizer: Any) -> Any:
    """The tokenizer of BERT and of those that took it over; None for another kind."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    pieces, basic = getattr(tokenizer, "wordpiece_tokenizer", None), getattr(tokenizer, "basic_tokenizer", None)
    if pieces is None or basic is None or not getattr(tokenizer, "do_basic_tokenize", True) or basic.never_split:
        return None
    vocabulary = {token: int(index) for token, index in tokenizer.get_vocab().items()}
    fast = Tokenizer(
        models.WordPiece(
            vocabulary, unk_token=tokenizer.unk_token, max_input_chars_per_word=pieces.max_input_chars_per_word
        )
    )
    fast.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=basic.tokenize_chinese_chars,
        strip_accents=basic.strip_accents,  # None: as lowercase says, in both libraries
        lowercase=basic.do_lower_case,
    )
    # PaddleNLP cuts at symbols beside punctuation, and at a few more characters.
    symbols = Regex(r"[\p{S}\x{AD}\x{B2}\x{BA}\x{3007}\x{B5}\x{D8}\x{14B}\x{1B1}]")
    fast.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Split(symbols, "isolated")]
    )
    _add_special_tokens(fast, tokenizer)
    _set_template(fast, tokenizer, "[CLS]:0 $A:0 [SEP]:0", "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1")
    return fast


def _byte_pairs(tokenizer: Any) -> Any:
    """RoBERTa's tokenizer; None for another kind."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    if not hasattr(tokenizer, "bpe_ranks") or not hasattr(tokenizer, "byte_encoder"):
        return None
    merges = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.get)
    fast = Tokenizer(models.BPE(dict(tokenizer.encoder), [tuple(pair) for pair in merges if len(pair) == 2]))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=tokenizer.add_prefix_space)
    _add_special_tokens(fast, tokenizer)
    _set_template(fast, tokenizer, "[CLS]:0 $A:0 [SEP]:0", "[CLS]:0 $A:0 [SEP]:0 [SEP]:0 $B:0 [SEP]:0")
    return fast


def _add_special_tokens(fast: Any, tokenizer: Any) -> None:
    """Let special tokens be recognised in text, if PaddleNLP's tokenizer does so: BERT's does, ERNIE's does not."""
    from tokenizers import AddedToken

    if tokenizer.tokenize(tokenizer.sep_token) != [tokenizer.sep_token]:
        return
    for token in tokenizer.all_special_tokens_extended:
        extended = not isinstance(token, str)
        text = token.content if extended else token
        before = extended and token.lstrip
        fast.add_special_tokens([AddedToken(text, lstrip=before, rstrip=extended and token.rstrip, normalized=False)])


def _set_template(fast: Any, tokenizer: Any, single: str, pair: str) -> None:
    from tokenizers import processors

    marks = {"[CLS]": tokenizer.cls_token, "[SEP]": tokenizer.sep_token}
    for mark, token in marks.items():
        single, pair = single.replace(mark, token), pair.replace(mark, token)
    special = [(token, tokenizer.convert_tokens_to_ids(token)) for token in dict.fromkeys(marks.values())]
    fast.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=special)
