"""Text to token ids as training did it, without Paddle: through the bundle's tokenizer.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ofa_bert.bundle.manifest import TOKENIZER
from ofa_bert.data.tokenization.text_tokenizer import encode_texts
from ofa_bert.data.tokenization.tokenizer_json import load
from ofa_bert.runtime.paddlenlp_tokenizer import paddlenlp_encoder
from ofa_bert.runtime.texts import TextEncoder


def load_text_encoder(bundle: str | Path, manifest: Mapping[str, Any]) -> TextEncoder:
    """From tokenizer.json by the `tokenizers` library; by PaddleNLP where the bundle has no such file."""
    path = Path(bundle) / TOKENIZER
    if not path.is_file():
        return paddlenlp_encoder(Path(bundle), manifest)
    fast = load(path)
    return lambda texts: encode_texts(fast, texts, manifest["max_seq_length"])
