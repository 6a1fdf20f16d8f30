"""Text to token ids as training did it, without Paddle: through the bundle's tokenizer.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Mapping, Sequence, Union

import numpy as np

from ofa_bert.bundle.manifest import TOKENIZER
from ofa_bert.errors import UserError

Text = Union[str, tuple[str, str]]
# Texts, all of one kind, to two lists of [T_i] int64 arrays: input_ids and token_type_ids.
TextEncoder = Callable[[Sequence[Text]], "tuple[list[np.ndarray], list[np.ndarray]]"]


def check_texts(texts: Sequence[Text], manifest: Mapping[str, Any]) -> list[Text]:
    """The texts as strings, or as tuples of two; UserError for anything else and for what the model does not take."""
    if isinstance(texts, str):
        raise UserError(f"texts must be a list of texts, not the single text {_short(texts)}; put it into a list")
    task = manifest.get("task")
    wanted = len(task["text_columns"]) if task else None
    checked: list[Text] = []
    for position, item in enumerate(texts):
        pair = isinstance(item, (tuple, list)) and len(item) == 2 and all(isinstance(part, str) for part in item)
        if not pair and not isinstance(item, str):
            raise UserError(f"text {position}: {_short(item)} is neither a string nor a pair of strings")
        count = 2 if pair else 1
        wanted = wanted or count
        if count != wanted:
            kind = "pairs (a, b)" if wanted == 2 else "single texts"
            source = "the model was trained on" if task else "the texts before it are"
            raise UserError(f"text {position}: {_short(item)}; {source} {kind}")
        try:
            "".join(item).encode()
        except UnicodeEncodeError as error:
            raise UserError(f"text {position}: {_short(item)} holds half of a surrogate pair, no character") from error
        checked.append(tuple(item) if pair else item)
    return checked


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def load_text_encoder(bundle: str | Path, manifest: Mapping[str, Any]) -> TextEncoder:
    """From tokenizer.json by the `tokenizers` library; by PaddleNLP where the bundle has no such file."""
    path = Path(bundle) / TOKENIZER
    if not path.is_file():
        return _paddlenlp_encoder(Path(bundle), manifest)
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


def _paddlenlp_encoder(bundle: Path, manifest: Mapping[str, Any]) -> TextEncoder:
    try:
        # Costs seconds and the training stack: only for the families that have no tokenizer.json.
        from ofa_bert.system import environment

        environment.require_paddle()
        from paddlenlp.transformers import AutoTokenizer
    except (ImportError, UserError) as error:
        raise UserError(
            f"{bundle}: has no {TOKENIZER}, its tokenizer needs PaddleNLP, which does not load ({error}):"
            ' pip install "ofa_bert[cpu]"'
        ) from error
    from ofa_bert.data.batches import encode
    from ofa_bert.tasks.task import Example

    tokenizer = AutoTokenizer.from_pretrained(str(bundle))

    def encoder(texts: Sequence[Text]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        pairs = [text if isinstance(text, tuple) else (text, None) for text in texts]
        examples = [Example(first, second, 0) for first, second in pairs]
        encoded = encode(examples, tokenizer, manifest["max_seq_length"], progress=False)
        return encoded.input_ids, encoded.token_type_ids

    return encoder
