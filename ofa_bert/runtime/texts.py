"""What may be asked of a model: texts, or pairs of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ofa_bert.data.file_text import whole_characters
from ofa_bert.errors import UserError
from ofa_bert.reporting import shown

Text = str | tuple[str, str]
# Texts, all of one kind, to two lists of [T_i] int64 arrays: input_ids and token_type_ids.
TextEncoder = Callable[[Sequence[Text]], "tuple[list[np.ndarray], list[np.ndarray]]"]


def check_texts(texts: Sequence[Text], manifest: Mapping[str, Any]) -> list[Text]:
    """The texts as strings, or as tuples of two; UserError for anything else and for what the model does not take.

    Half of a surrogate pair is U+FFFD here, as it was in the files that the model was trained on (`read_table`).
    """
    if isinstance(texts, str):
        raise UserError(f"texts must be a list of texts, not the single text {shown(texts)}; put it into a list")
    task = manifest.get("task")
    wanted = len(task["text_columns"]) if task else None
    checked: list[Text] = []
    for position, item in enumerate(texts):
        pair = isinstance(item, (tuple, list)) and len(item) == 2 and all(isinstance(part, str) for part in item)
        if not pair and not isinstance(item, str):
            raise UserError(f"text {position}: {shown(item)} is neither a string nor a pair of strings")
        count = 2 if pair else 1
        wanted = wanted or count
        if count != wanted:
            kind = "pairs (a, b)" if wanted == 2 else "single texts"
            source = "the model was trained on" if task else "the texts before it are"
            raise UserError(f"text {position}: {shown(item)}; {source} {kind}")
        checked.append(tuple(map(whole_characters, item)) if pair else whole_characters(item))
    return checked
