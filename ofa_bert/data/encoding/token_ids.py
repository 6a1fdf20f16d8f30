"""Token ids kept beside a run's output, so that a sentence is tokenized once for all runs that write there.

One changed byte in a file is found, and costs time only.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ofa_bert.data.encoding.encoded import Encoded, encode, groups_of
from ofa_bert.data.tagging.answer_windows import windows_of
from ofa_bert.data.tokenization.text_tokenizer import Cutter, TextTokenizer
from ofa_bert.files.kept import keep_content, kept_content
from ofa_bert.numerics import Array
from ofa_bert.tasks.task import Example

logger = logging.getLogger(__name__)

DIRECTORY = "token_cache"  # in the output directory of a run


def encode_once(
    examples: Sequence[Example], tokenizer: Cutter, max_seq_length: int, directory: Path, progress: bool = True,
    stride: int = 0,
) -> Encoded:  # fmt: skip
    """`batches.encode`, or what it gave before for the same sentences, tokenizer and length.

    A cache in `directory` that cannot be read or written costs time, never the run.
    """
    path = directory / f"{_key(examples, tokenizer, max_seq_length, stride)}.ids"
    found = _read(path, examples)
    if found is None:
        found = encode(examples, tokenizer, max_seq_length, progress, stride)
        _write(path, found)
    return found if found.windows else dataclasses.replace(found, group=groups_of(examples))  # which no file keeps


def _key(examples: Sequence[Example], tokenizer: Cutter, max_seq_length: int, stride: int) -> str:
    """SHA-256 over everything that decides the ids. Paths are left out: a moved vocabulary is the same vocabulary."""
    if isinstance(tokenizer, TextTokenizer):
        about: list[object] = [max_seq_length, tokenizer.digest]
    else:
        settings = {name: str(value) for name, value in tokenizer.init_kwargs.items() if not name.endswith("_file")}
        about = [type(tokenizer).__name__, max_seq_length, settings, sorted(tokenizer.get_vocab().items())]
    about += [stride] if stride else []
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for example in examples:
        digest.update(json.dumps([example.text, example.text_pair, example.label]).encode())
    return digest.hexdigest()[:32]


def _read(path: Path, examples: Sequence[Example]) -> Encoded | None:
    content = kept_content(path)
    if content is None:
        return None
    # It is what was written, so it needs no further look.
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        if "whole" not in arrays:  # written before lengths were counted: made anew, in its place
            return None
        ends = np.cumsum(arrays["lengths"])[:-1]
        ids, types = np.split(arrays["input_ids"], ends), np.split(arrays["token_type_ids"], ends)
        found = Encoded(ids, types, arrays["labels"], arrays["whole"], per_token="per_token" in arrays)
        if "spans" in arrays:
            group, spans = arrays["group"], np.split(arrays["spans"], arrays["ends"][:-1])
            found = dataclasses.replace(found, group=group, windows=windows_of(examples, group, spans))
    if len(found.input_ids) != len(found.labels) or found.examples != len(examples):
        logger.warning("%s: holds other sentences; tokenizing again", path)
        return None
    return found


def _write(path: Path, encoded: Encoded) -> None:
    assert encoded.whole is not None  # as `encode` makes them
    content = io.BytesIO()
    np.savez(
        content,
        input_ids=np.concatenate(encoded.input_ids),
        token_type_ids=np.concatenate(encoded.token_type_ids),
        lengths=np.asarray([len(row) for row in encoded.input_ids]),
        labels=encoded.labels,
        whole=encoded.whole,
        **({"per_token": np.ones(1)} if encoded.per_token else {}),
        **_of_windows(encoded),
    )
    keep_content(path, content.getvalue())


def _of_windows(encoded: Encoded) -> dict[str, Array]:
    if not encoded.windows or encoded.group is None:
        return {}
    spans = [window.spans for window in encoded.windows]
    return {"spans": np.concatenate(spans), "ends": np.cumsum([len(each) for each in spans]), "group": encoded.group}
