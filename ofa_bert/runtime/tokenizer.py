"""Text to token ids as training did it, without Paddle: through the bundle's tokenizer.json."""

from __future__ import annotations

from pathlib import Path

from ofa_bert.bundle.manifest import TOKENIZER
from ofa_bert.data.tokenization.text_tokenizer import cut_texts
from ofa_bert.data.tokenization.tokenizer_json import load
from ofa_bert.data.tokenization.windows import cut_windows
from ofa_bert.data.tokenization.words import cut_words
from ofa_bert.runtime.paddlenlp_tokenizer import paddlenlp_encoder
from ofa_bert.runtime.texts import TextEncoder


def load_text_encoder(bundle: Path, longest: int) -> TextEncoder:
    """From tokenizer.json by the `tokenizers` library; by PaddleNLP where the directory has no such file.

    longest: tokens of a text, special ones included; the rest is cut off.
    """
    path = bundle / TOKENIZER
    if not path.is_file():
        return paddlenlp_encoder(bundle, longest)
    fast = load(path)
    return TextEncoder(
        lambda texts: cut_texts(fast, texts, longest),
        lambda texts: cut_words(fast, texts, longest),
        lambda pairs, stride: cut_windows(fast, pairs, longest, stride),
    )
