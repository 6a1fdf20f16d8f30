"""What may be asked of a model: texts, or pairs of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ofa_bert.data.file_text import whole_characters
from ofa_bert.data.tokenization.text_tokenizer import CutTexts
from ofa_bert.data.tokenization.windows import CutWindows
from ofa_bert.data.tokenization.words import CutWords
from ofa_bert.errors import UserError
from ofa_bert.reporting import shown
from ofa_bert.tasks.task import Task

Text = str | tuple[str, str]
TokenIds = NDArray[np.int64]  # [T_i]


@dataclass(frozen=True)
class TextEncoder:
    """Texts, all of one kind, to two lists of [T_i] int64 arrays: input_ids and token_type_ids.

    cut: does so, and says how long the texts were. cut_words: and where the words of single texts stand; None where
    the tokenizer does not know. cut_windows: questions with the parts of their contexts, so far from each other.
    """

    cut: Callable[[Sequence[Text]], CutTexts]
    cut_words: Callable[[Sequence[str]], CutWords] | None = None
    cut_windows: Callable[[Sequence[tuple[str, str]], int], CutWindows] | None = None

    def __call__(self, texts: Sequence[Text]) -> tuple[list[TokenIds], list[TokenIds]]:
        found = self.cut(texts)
        return found.input_ids, found.token_type_ids


def check_texts(texts: Sequence[Text], task: Task | None) -> list[Text]:
    """The texts as strings, or as tuples of two; UserError for anything else and for what the model does not take.

    Half of a surrogate pair is U+FFFD here, as it was in the files that the model was trained on (`read_table`).
    """
    if isinstance(texts, str):
        raise UserError(f"texts must be a list of texts, not the single text {shown(texts)}; put it into a list")
    wanted = len(task.text_columns) if task else None
    checked: list[Text] = []
    for position, item in enumerate(texts):
        text = _as_text(item)
        if text is None:
            raise UserError(f"text {position}: {shown(item)} is neither a string nor a pair of strings")
        count = 1 if isinstance(text, str) else 2
        wanted = wanted or count
        if count != wanted:
            kind = "pairs (a, b)" if wanted == 2 else "single texts"
            source = "the model was trained on" if task else "the texts before it are"
            raise UserError(f"text {position}: {shown(item)}; {source} {kind}")
        checked.append(text)
    return checked


def _as_text(item: object) -> Text | None:
    """None for what is no text; a list of two is taken for a pair."""
    if isinstance(item, str):
        return whole_characters(item)
    if isinstance(item, (tuple, list)) and len(item) == 2 and all(isinstance(part, str) for part in item):
        return whole_characters(item[0]), whole_characters(item[1])
    return None
