"""A smaller vocabulary: the embedding rows, and the tokens, that a list of tokens needs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Protocol, TypeGuard

import numpy as np
import paddle
from paddle import nn

from ofa_bert.data.tokenization.text_tokenizer import Cutter, PaddleTokenizer, TextTokenizer
from ofa_bert.errors import UserError
from ofa_bert.files.atomic import write_json_atomic
from ofa_bert.files.reading import read_utf8
from ofa_bert.models.encoder import backbone, family_of

logger = logging.getLogger(__name__)


class _WordPiece(PaddleTokenizer, Protocol):
    """PaddleNLP's with a vocab.txt."""

    @property
    def all_special_tokens(self) -> list[str]: ...
    def get_added_vocab(self) -> dict[str, int]: ...
    @classmethod
    def from_pretrained(cls, name: str, /) -> PaddleTokenizer: ...


def _is_wordpiece(tokenizer: PaddleTokenizer) -> TypeGuard[_WordPiece]:
    return bool(getattr(tokenizer, "wordpiece_tokenizer", None))


def trim_vocabulary(
    model: nn.Layer, tokenizer: Cutter, path: str | Path, home: str | Path
) -> tuple[Cutter, np.ndarray]:
    """Keep the embedding rows of the tokens in the file `path`, one a line, and of special and added tokens.

    Changes `model`; returns (the tokenizer over what was kept, the ids that its tokens had). The kept tokens stay in
    their order. PaddleNLP's own tokenizer copies vocab.txt from where it read it when it is saved, so the smaller one
    lies in the directory `home` for as long as it is used. UserError for a file that cannot be read or knows none of
    the model's tokens, and for a tokenizer of byte pairs.
    """
    wanted = _read(path)
    vocabulary = tokenizer.get_vocab()
    if isinstance(tokenizer, TextTokenizer) and tokenizer.can_trim:
        found_whole = tokenizer.not_to_lose
    elif not isinstance(tokenizer, TextTokenizer) and _is_wordpiece(tokenizer):
        found_whole = {*tokenizer.get_added_vocab(), *tokenizer.all_special_tokens}
    else:
        kind = "byte-pair tokenizer" if isinstance(tokenizer, TextTokenizer) else type(tokenizer).__name__
        raise UserError(f"`trim_vocab` {path}: {kind} is neither a WordPiece nor a Unigram tokenizer; leave it out")
    known = wanted & set(vocabulary)
    if not known:
        raise UserError(f"`trim_vocab` {path}: holds none of the model's tokens; one token a line, as in vocab.txt")
    if len(known) < len(wanted):
        logger.warning(
            "`trim_vocab` %s: %d of %d tokens are unknown to the model", path, len(wanted) - len(known), len(wanted)
        )
    kept = sorted(known | found_whole, key=lambda token: vocabulary[token])
    rows = np.asarray([vocabulary[token] for token in kept])
    if rows.max() >= model.config.vocab_size:
        raise UserError(f"`trim_vocab` {path}: {kept[-1]!r} has no row in the model's embeddings")
    smaller: Cutter
    if isinstance(tokenizer, TextTokenizer):
        smaller = tokenizer.trimmed(kept)
    else:
        smaller = _smaller_tokenizer(tokenizer, kept, Path(home))
    _keep_rows(model, rows, smaller.pad_token_id)
    logger.info("vocabulary trimmed from %d to %d tokens", len(vocabulary), len(kept))
    return smaller, rows


def _read(path: str | Path) -> set[str]:
    try:
        return {line for line in read_utf8(path).splitlines() if line}
    except OSError as error:
        raise UserError(f"`trim_vocab` {path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"`trim_vocab` {path}: not UTF-8 text ({error})") from error


def _smaller_tokenizer(tokenizer: _WordPiece, kept: list[str], home: Path) -> PaddleTokenizer:
    """A PaddleNLP tokenizer of the same kind and settings over these tokens."""
    tokenizer.save_pretrained(str(home))
    added = tokenizer.get_added_vocab()  # they have the largest numbers
    (home / "vocab.txt").write_text("".join(f"{token}\n" for token in kept if token not in added), encoding="utf-8")
    if added:
        write_json_atomic(home / "added_tokens.json", {token: kept.index(token) for token in kept if token in added})
    return type(tokenizer).from_pretrained(str(home))


def _keep_rows(model: nn.Layer, rows: np.ndarray, pad_token_id: int) -> None:
    body = backbone(model)
    old = body.embeddings.word_embeddings
    padding = pad_token_id if old._padding_idx not in (None, -1) else None
    table = nn.Embedding(len(rows), old.weight.shape[1], padding_idx=padding)
    table.weight.set_value(paddle.to_tensor(old.weight.numpy()[rows]))
    body.embeddings.word_embeddings = table
    if family_of(model).positions_after_padding:
        _move_positions(body.embeddings, pad_token_id)
    body.pad_token_id = pad_token_id
    model.config.vocab_size, model.config.pad_token_id = len(rows), pad_token_id


def _move_positions(embeddings: nn.Layer, pad_token_id: int) -> None:
    """The position of the first token is pad_token_id + 1: keep its row there."""
    shift = embeddings.padding_idx - pad_token_id
    if shift:
        table = embeddings.position_embeddings
        table.weight.set_value(paddle.to_tensor(np.roll(table.weight.numpy(), -shift, axis=0)))
    embeddings.padding_idx = pad_token_id
