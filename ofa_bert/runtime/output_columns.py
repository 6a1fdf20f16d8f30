"""What `predict` writes when its columns are chosen one by one, by EasyNLP's names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ofa_bert.data.file_text import whole_characters
from ofa_bert.data.table_files import Table
from ofa_bert.data.table_writers import NewCells
from ofa_bert.errors import UserError
from ofa_bert.exits.loop import Answers
from ofa_bert.numerics import Floats
from ofa_bert.runtime.jobs import EXIT_LAYER, LOGITS, PREDICTIONS, PROBABILITIES
from ofa_bert.runtime.predictor import Prediction, Predictor

_DIGITS = 6


def check_output(names: Sequence[str], predictor: Predictor) -> None:
    """UserError where answers are no row of numbers for each text."""
    kind = predictor.task.kind
    if kind.together or kind.windowed or kind.per_token:
        raise UserError(
            f"`output_columns` {' '.join(names)}: this bundle has {kind.word}, whose answers are no row of numbers for"
            " each text; leave it out"
        )
    if PROBABILITIES in names and not predictor.labels:
        raise UserError(
            f"`output_columns` {PROBABILITIES}: this bundle predicts a number; take {PREDICTIONS} or {LOGITS}"
        )


def chosen_cells(names: Sequence[str], predictions: Sequence[Prediction], answers: Answers) -> list[NewCells]:
    """The columns of each row, in the order of `names`."""
    return [_cells(names, each, logits) for each, logits in zip(predictions, answers.logits)]


def _cells(names: Sequence[str], prediction: Prediction, logits: Floats) -> NewCells:
    every: dict[str, object] = {
        PREDICTIONS: _answer(prediction),
        PROBABILITIES: [round(value, _DIGITS) for value in prediction.probabilities],
        LOGITS: [round(float(value), _DIGITS) for value in np.atleast_1d(logits)],
        EXIT_LAYER: prediction.exit_layer,
    }
    return {name: every[name] for name in names}


def _answer(prediction: Prediction) -> object:
    if prediction.labels is not None:
        return list(map(whole_characters, prediction.labels))
    if prediction.label is not None:
        return whole_characters(prediction.label)
    return None if prediction.value is None else round(prediction.value, _DIGITS)


def with_columns(table: Table, names: Sequence[str]) -> Table:
    """The table with these of its columns alone, in this order; of JSONL a key that a row lacks stays away."""
    if not table.objects:
        places = [table.column(name) for name in names]
        rows = tuple((line, tuple(cells[place] for place in places)) for line, cells in table.rows)
        return replace(table, header=tuple(names), rows=rows)
    for name in names:
        if name not in table.keys:
            table.column(name)  # which says what there is
    kept = tuple(_kept(text, names) for text in table.objects)
    return replace(table, objects=kept, keys={name: table.keys[name] for name in names})


def _kept(text: str, names: Sequence[str]) -> str:
    record = {whole_characters(name): value for name, value in json.loads(text).items()}
    return whole_characters(json.dumps({name: record[name] for name in names if name in record}, ensure_ascii=False))
