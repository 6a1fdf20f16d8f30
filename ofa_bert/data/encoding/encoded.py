"""Examples as token ids, by the tokenizer that the model has."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ofa_bert.data.tagging.answer_windows import label_rows, pairs_of, windows_of
from ofa_bert.data.tagging.labels import scored_tokens, tag_rows
from ofa_bert.data.tokenization.text_tokenizer import Cutter, CutTexts, PaddleTokenizer, Text, TextTokenizer
from ofa_bert.data.tokenization.windows import CutWindows, joined, windows_with
from ofa_bert.data.tokenization.words import CutWords, words_with
from ofa_bert.numerics import Array, Ints
from ofa_bert.progress import Progress
from ofa_bert.tasks.groups import ExampleRows, regrouped
from ofa_bert.tasks.kinds.base import Golds, Spans
from ofa_bert.tasks.passages import Window, passages_of, placed
from ofa_bert.tasks.task import Example

_CHUNK = 500  # examples per tokenizer call, between two moves of the progress bar


@dataclass(frozen=True)
class Encoded:
    """A tokenized data set: two lists of [T_i] int64 arrays; labels [N], int64 classes or float32 numbers, or [N, C]
    float32 zeros and ones; per_token: int64 [N, max T_i], of each token its class, or IGNORED where it counts for
    nothing. whole: how long each text was before it was cut, int64 [N]; None where nobody counted. group: the example
    that each row belongs to, int64 [N]; None where every row is one. windows: of rows that are parts of contexts."""

    input_ids: list[Ints]
    token_type_ids: list[Ints]
    labels: Array
    whole: Ints | None = None
    group: Ints | None = None
    per_token: bool = False
    windows: tuple[Window, ...] = ()

    @property
    def scored(self) -> Array:
        """Labels as metrics take them, one row for each of what `by_example` makes of logits."""
        if self.windows:
            _, first = np.unique(self._examples(), return_index=True)
            return passages_of(self.windows[row].passage for row in first)
        return scored_tokens(self.labels) if self.per_token else self.by_example(self.labels)

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def examples(self) -> int:
        """How many there are, of one row each or of several."""
        return len(self) if self.group is None else len(np.unique(self.group))

    def by_example(self, values: Array) -> Array:
        """What models say of the rows, [N, C], as metrics take it: of a grouped data set [E, C] as `tasks.groups` has
        it, of windows as `tasks.passages` has it; [M, C] of other tokens that count stay what they are."""
        if self.windows:
            return placed(values, [window.spans for window in self.windows], self._examples())
        return values if self.group is None or self.per_token else regrouped(values, self.group)

    def _examples(self) -> Ints:
        return np.arange(len(self)) if self.group is None else self.group

    def alone(self) -> Encoded:
        """The same rows, each an example."""
        return dataclasses.replace(self, group=None)

    def take(self, examples: Sequence[int] | Ints) -> Encoded:
        """The data set of these examples with all their rows, in this order and numbered so."""
        if self.group is None:
            return self.select(examples)
        every = ExampleRows.of(self.group).each
        taken = [every[i] for i in examples]
        which = np.repeat(np.arange(len(taken)), [len(rows) for rows in taken])
        rows = np.concatenate([np.zeros(0, np.int64), *taken])
        return dataclasses.replace(self.select(rows), group=which)

    def select(self, indices: Sequence[int] | Ints) -> Encoded:
        """The data set of these rows, in this order."""
        places = np.asarray(indices, dtype=np.int64)
        return Encoded(
            [self.input_ids[i] for i in indices],
            [self.token_type_ids[i] for i in indices],
            self.labels[places],
            None if self.whole is None else self.whole[places],
            None if self.group is None else self.group[places],
            self.per_token,
            tuple(self.windows[i] for i in places) if self.windows else (),
        )

    def digest(self) -> str:
        """Tells whether two data sets have the same ids and labels in the same order."""
        found = hashlib.sha256(np.ascontiguousarray(self.labels).tobytes())
        if self.group is not None:
            found.update(np.ascontiguousarray(self.group).tobytes())
        for ids in self.input_ids:
            found.update(len(ids).to_bytes(4, "little") + np.ascontiguousarray(ids, dtype=np.int64).tobytes())
        return found.hexdigest()


def encode(
    examples: Sequence[Example], tokenizer: Cutter, max_seq_length: int, progress: bool = True, stride: int = 0
) -> Encoded:
    """Tokenize, by PaddleNLP where it has to be its tokenizer; of a pair, the longer text is cut first.

    stride: of contexts that are read in windows, as a task's `doc_stride`.
    """
    if examples and isinstance(examples[0].label, Golds):
        return _encode_windows(examples, tokenizer, max_seq_length, progress, stride)
    if examples and isinstance(examples[0].label, Spans):
        return _encode_tokens(examples, tokenizer, max_seq_length, progress)
    input_ids: list[Ints] = []
    token_type_ids: list[Ints] = []
    whole: list[Ints] = []
    cut = tokenizer.cut if isinstance(tokenizer, TextTokenizer) else partial(_by_paddlenlp, tokenizer)
    with Progress(total=len(examples), desc="tokenize", unit="ex", disable=not progress) as bar:
        for start in range(0, len(examples), _CHUNK):
            found = cut(texts_of(examples[start : start + _CHUNK]), max_seq_length)
            input_ids += found.input_ids
            token_type_ids += found.token_type_ids
            whole.append(found.whole)
            bar.update(len(found.input_ids))
    labels = np.asarray([example.label for example in examples])
    labels = labels.astype(np.float32 if labels.dtype.kind == "f" else np.int64)
    counted = np.concatenate(whole) if whole else np.zeros(0, np.int64)
    return Encoded(input_ids, token_type_ids, labels, counted, groups_of(examples))


def groups_of(examples: Sequence[Example]) -> Ints | None:
    """[N]: the number of what each belongs to; None where they stand alone."""
    if not examples or examples[0].group is None:
        return None
    return np.asarray([example.group for example in examples], dtype=np.int64)


def rows_of(examples: Sequence[Example]) -> ExampleRows:
    """Which of these rows belong together."""
    group = groups_of(examples)
    return ExampleRows.alone(len(examples)) if group is None else ExampleRows.of(group)


def judged(examples: Sequence[Example], logits: Array) -> tuple[Array, Array]:
    """(logits, labels) as metrics take them, of what a model says of these rows [N, C]."""
    labels, group = np.asarray([example.label for example in examples]), groups_of(examples)
    return (logits, labels) if group is None else (regrouped(logits, group), regrouped(labels, group))


def _encode_tokens(examples: Sequence[Example], tokenizer: Cutter, max_seq_length: int, progress: bool) -> Encoded:
    found: list[CutWords] = []
    with Progress(total=len(examples), desc="tokenize", unit="ex", disable=not progress) as bar:
        for start in range(0, len(examples), _CHUNK):
            texts = [example.text for example in examples[start : start + _CHUNK]]
            found.append(words_with(tokenizer, texts, max_seq_length))
            bar.update(len(texts))
    rows = [row for part in found for row in part.ids.input_ids]
    types = [row for part in found for row in part.ids.token_type_ids]
    labels = tag_rows(examples, [words for part in found for words in part.words], rows)
    return Encoded(rows, types, labels, np.concatenate([part.ids.whole for part in found]), per_token=True)


def _encode_windows(
    examples: Sequence[Example], tokenizer: Cutter, max_seq_length: int, progress: bool, stride: int
) -> Encoded:
    found: list[CutWindows] = []
    with Progress(total=len(examples), desc="tokenize", unit="ex", disable=not progress) as bar:
        for start in range(0, len(examples), _CHUNK):
            pairs = pairs_of(examples[start : start + _CHUNK])
            found.append(windows_with(tokenizer, pairs, max_seq_length, stride))
            bar.update(len(pairs))
    cut = joined(found)
    labels, spans = label_rows(examples, cut), [cut.spans(row) for row in range(len(cut.group))]
    windows = windows_of(examples, cut.group, spans)
    ids, types, whole = cut.ids
    return Encoded(ids, types, labels, whole, cut.group, per_token=True, windows=windows)


def texts_of(examples: Iterable[Example]) -> list[Text]:
    """What is cut: a text, or a pair of them."""
    return [example.text if example.text_pair is None else (example.text, example.text_pair) for example in examples]


def _by_paddlenlp(tokenizer: PaddleTokenizer, texts: Sequence[Text], limit: int) -> CutTexts:
    ids, types = _run_paddlenlp(tokenizer, texts, limit)
    whole = np.asarray([len(row) for row in ids], dtype=np.int64)
    full = np.flatnonzero(whole >= limit)  # PaddleNLP does not say which of these it cut
    if len(full):
        uncut, _ = _run_paddlenlp(tokenizer, [texts[place] for place in full], None)
        whole[full] = [len(row) for row in uncut]
    return CutTexts(ids, types, whole)


def _run_paddlenlp(
    tokenizer: PaddleTokenizer, texts: Sequence[Text], limit: int | None
) -> tuple[list[Ints], list[Ints]]:
    firsts = [text if isinstance(text, str) else text[0] for text in texts]
    seconds = [text[1] for text in texts if not isinstance(text, str)]
    if seconds and len(seconds) < len(firsts):
        raise ValueError("texts and pairs of texts in one call")
    with warnings.catch_warnings():
        # PaddleNLP's warning at every pair that is cut, as was asked for.
        warnings.filterwarnings("ignore", "Be aware, overflowing tokens")
        tokens = tokenizer(
            firsts,
            text_pair=seconds or None,
            max_length=limit,
            truncation="do_not_truncate" if limit is None else "longest_first",
            return_token_type_ids=True,  # RoBERTa's tokenizer leaves them out by default
            return_attention_mask=False,
        )
    keys = ("input_ids", "token_type_ids")
    ids, types = (_rows(tokens[key]) for key in keys)
    return ids, types


def _rows(lists: Iterable[Sequence[int]]) -> list[Ints]:
    return [np.asarray(row, dtype=np.int64) for row in lists]
