"""Text to token ids as training did it, without Paddle: through the bundle's tokenizer.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ofa_bert.bundle.manifest import TOKENIZER
from ofa_bert.errors import UserError
from ofa_bert.runtime.paddlenlp_tokenizer import paddlenlp_encoder
from ofa_bert.runtime.texts import Text, TextEncoder


def load_text_encoder(bundle: str | Path, manifest: Mapping[str, Any]) -> TextEncoder:
    """From tokenizer.json by the `tokenizers` library; by PaddleNLP where the bundle has no such file."""
    path = Path(bundle) / TOKENIZER
    if not path.is_file():
        return paddlenlp_encoder(Path(bundle), manifest)
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise UserError(f'the package tokenizers does not load ({error}): pip install "ofa_bert[runtime]"') from error
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise UserError(f"{path}: not a tokenizer: {error}; copy or export the bundle again") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda texts: _encode(tokenizer, texts, manifest["max_seq_length"])


def _encode(tokenizer: Any, texts: Sequence[Text], limit: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    input_ids, token_type_ids = [], []
    for encoding, text in zip(tokenizer.encode_batch_fast(list(texts)), texts):
        if len(encoding) > limit:
            encoding = _cut(tokenizer, text, limit)
        input_ids.append(np.asarray(encoding.ids, dtype=np.int64))
        token_type_ids.append(np.asarray(encoding.type_ids, dtype=np.int64))
    return input_ids, token_type_ids


def _cut(tokenizer: Any, text: Text, limit: int) -> Any:
    """The encoding of a text that is too long."""
    pair = isinstance(text, tuple)
    parts = tokenizer.encode_batch_fast(list(text) if pair else [text], add_special_tokens=False)
    room = max(0, limit - tokenizer.num_special_tokens_to_add(pair))
    kept = longest_first(len(parts[0]), len(parts[1]), room) if pair else (room,)
    for part, length in zip(parts, kept):
        part.truncate(length)
    return tokenizer.post_process(*parts)


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """How much stays of two texts that together have more than `room` tokens, when the longer one gives first.

    As PaddleNLP does it; the library's own way leaves an odd token to the text that was longer, not to the first.
    """
    if first <= room // 2:
        return first, room - first
    if second <= room // 2:
        return room - second, second
    return room - room // 2, room // 2
