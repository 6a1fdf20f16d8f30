"""The job of `python -m ofa_bert predict`: a table in, the same table with labels and probabilities out."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np

from ofa_bert.bundle.manifest import Bundle, open_bundle
from ofa_bert.data.description import TokenLengths
from ofa_bert.data.file_text import whole_characters
from ofa_bert.data.readers.asked import asked_of
from ofa_bert.data.schema import check_width, place_of, text_places
from ofa_bert.data.table_files import Table, read_table
from ofa_bert.data.table_writers import BREAKS_TSV, LIST_SEPARATOR, NewCells, table_text
from ofa_bert.errors import RunError, UserError
from ofa_bert.files.atomic import write_text_atomic
from ofa_bert.reporting import shown
from ofa_bert.runtime.backends.tensorrt import Profile, source_of, trtexec_command
from ofa_bert.runtime.jobs import EXIT_LAYER, PREDICTIONS, PROBABILITIES, PredictJob, TrtexecJob
from ofa_bert.runtime.output_columns import check_output, chosen_cells, with_columns
from ofa_bert.runtime.predictor import Prediction, Predictor
from ofa_bert.runtime.texts import Text
from ofa_bert.tasks.questions import Question

LABEL, PROBABILITY, VALUE, SET = "predicted_label", "probability", "predicted_value", "predicted_labels"
CHOICE, ENTITIES = "predicted_choice", "entities"
_DIGITS = 6
_LONGEST_NAME = 200  # of 255 bytes: the file has a longer name until it is complete


class Summary(TypedDict):
    """What to tell of a table that was predicted."""

    rows: int
    labels: dict[str, int]  # how often each was predicted, the most frequent first; empty for numbers
    lengths: TokenLengths


def predict_file(job: PredictJob) -> Summary:
    """Predict every row of job.input and write job.output; returns what to tell about it."""
    bundle = open_bundle(job.bundle)
    given = text_places(job.schema) or job.text_columns
    columns = given or _trained_columns(bundle)
    has_header = not (given and all(name.isdecimal() for name in columns))
    table = read_table(job.input, has_header=has_header)
    check_width(job.schema, job.input)
    kept = _kept_columns(job, table)
    per_token = bundle.manifest.per_token
    if per_token and job.all_probabilities:
        raise UserError(
            "`all_probabilities`: this bundle finds parts of texts, which have one score each; leave it out"
        )
    asked = asked_of(bundle.manifest.task, table)
    if asked is not None and given:
        raise UserError(f"`text_columns` {' '.join(given)}: {table.path} has columns of its own; leave it out")
    texts: Sequence[Text | Question] = _texts(table, columns, as_is=per_token) if asked is None else asked.items
    _check_writable(Path(job.output))
    with _predictor(job, bundle) as predictor:
        new = asked.columns if asked else predictor.task.kind.columns
        lengths = np.zeros(len(texts), dtype=np.int64)
        rows: Sequence[NewCells]
        if job.output_columns is not None:
            check_output(job.output_columns, predictor)
            _check_new_columns(kept, predictor, job, job.output_columns)
            answers = predictor.answers(texts, progress=True, lengths=lengths)  # type: ignore[arg-type]  # no questions
            predictions = predictor.told(answers)
            rows = chosen_cells(job.output_columns, predictions, answers)
        else:
            _check_new_columns(kept, predictor, job, new)
            predictions = predictor.predict(texts, progress=True, lengths=lengths)
            rows = [
                _described(prediction, predictor.labels, job.all_probabilities, bool(table.objects))
                for prediction in predictions
            ]
            rows = asked.cells(rows) if asked else rows
    write_text_atomic(job.output, table_text(kept, rows))
    said = [label for answer in predictions for label in _said(answer)]
    counts = dict(Counter(map(whole_characters, said)).most_common())
    return {"rows": len(rows), "labels": counts, "lengths": TokenLengths.of(lengths, bundle.manifest.max_seq_length)}


def _kept_columns(job: PredictJob, table: Table) -> Table:
    """What is written of the input."""
    if job.append_columns is None:
        return table if job.output_columns is None else with_columns(table, ())
    names = job.append_columns
    if job.schema.input_schema is not None:
        names = tuple(place_of(job.schema, name) for name in names)
    return with_columns(table, names)


def _said(answer: Prediction) -> list[str]:
    if answer.entities is not None:
        return [entity.label for entity in answer.entities]
    return [label for label in answer.labels or [answer.label] if label is not None]


def _predictor(job: PredictJob, bundle: Bundle) -> Predictor:
    return Predictor(
        bundle,
        backend=job.backend,
        precision=job.precision,
        threads=job.threads,
        workers=job.workers,
        device=job.device,
        provider=job.provider,
        batch_size=job.batch_size,
        max_tokens_per_batch=job.max_tokens_per_batch,
        exit_threshold=job.threshold,
        exit_mode=job.exit_mode,
        exit_criterion=job.criterion,
        exit_drop=job.exit_drop,
    )


def _trained_columns(bundle: Bundle) -> tuple[str, ...]:
    task = bundle.manifest.task
    if task is None:
        raise UserError(f"{bundle.path}: does not say which columns hold the text; name them with `text_columns`")
    return task.text_columns


def _texts(table: Table, columns: Sequence[str], as_is: bool) -> list[Text]:
    """as_is: with the blanks around them, as places in the text count them."""
    positions = [(name, table.column(name)) for name in columns]
    texts: list[Text] = []
    for line, row in table.rows:
        parts = []
        for name, position in positions:
            text = row[position]
            if not isinstance(text, str):
                raise UserError(f"{table.path}:{line}: column {name!r} holds no text: {shown(text)}")
            parts.append(text if as_is else text.strip())  # as the texts were that the model was trained on
        texts.append((parts[0], parts[1]) if len(parts) == 2 else parts[0])
    return texts


def _check_writable(path: Path) -> None:
    """Before the work, not after it."""
    if len(os.fsencode(path.name)) > _LONGEST_NAME:
        raise UserError(f"`output` {shown(path.name)}: the name is too long; at most {_LONGEST_NAME} bytes")
    try:
        if path.is_dir():
            raise UserError(f"`output` {path}: is a directory; name a file")
        if path.exists() and not path.is_file():
            raise UserError(f"`output` {path}: is no ordinary file; name another one")
        existing = next(folder for folder in path.absolute().parents if folder.exists())
        writable = existing.is_dir() and os.access(existing, os.W_OK)
    except OSError as error:
        raise UserError(f"`output` {shown(str(path))}: {error.strerror}; name another file") from error
    if not writable:
        raise RunError(f"`output` {path}: {existing} cannot be written to")


def _check_new_columns(table: Table, predictor: Predictor, job: PredictJob, columns: Sequence[str]) -> None:
    labels = [whole_characters(label) for label in predictor.labels]
    new = list(columns)
    if job.all_probabilities:
        new += [f"{PROBABILITY}_{label}" for label in labels]
        new += [PROBABILITIES] if predictor.task.kind.together else []
    if job.early and job.output_columns is None:
        new.append(EXIT_LAYER)
    taken = sorted(set(new) & {*table.header, *table.keys})
    if taken:
        line = f":{table.keys[taken[0]]}" if taken[0] in table.keys else ""
        raise UserError(f"{table.path}{line}: has a column {taken[0]!r} already, which would be written; rename it")
    if len(set(new)) < len(new):
        raise UserError(f"{job.bundle}: two of its labels are alike, {', '.join(map(repr, labels))}")
    suffix = table.path.suffix.lower()
    broken = [label for label in labels if BREAKS_TSV.search(label)]
    if suffix == ".tsv" and broken:
        raise UserError(
            f"{table.path}: label {shown(broken[0])} holds a tab or a line break, which .tsv cannot hold; "
            "use .csv or .jsonl"
        )
    joined = [label for label in labels if LIST_SEPARATOR in label]
    if SET in predictor.task.kind.columns and {SET, PREDICTIONS} & set(new) and not table.objects and joined:
        raise UserError(
            f"{table.path}: label {shown(joined[0])} holds {LIST_SEPARATOR!r}, which stands between labels in {suffix};"
            " use .jsonl"
        )


def _described(prediction: Prediction, labels: Sequence[str], every: bool, lists: bool) -> NewCells:
    """The new columns of one row; lists: a cell can hold one, else it holds the JSON text of parts of a text."""
    row: dict[str, object] = {}
    if prediction.label is not None and prediction.probability is not None:
        row = {LABEL: whole_characters(prediction.label), PROBABILITY: round(prediction.probability, _DIGITS)}
    if prediction.value is not None:
        row[VALUE] = round(prediction.value, _DIGITS)
    if prediction.choice is not None and prediction.probability is not None:
        row = {CHOICE: prediction.choice, PROBABILITY: round(prediction.probability, _DIGITS)}
    if prediction.labels is not None:
        row[SET] = list(map(whole_characters, prediction.labels))
    if prediction.entities is not None:
        parts = [{**entity.to_json(), "score": round(entity.score, _DIGITS)} for entity in prediction.entities]
        row[ENTITIES] = parts if lists else json.dumps(parts, ensure_ascii=False)
    if prediction.extract is not None:
        row.update({**prediction.extract.to_json(), "score": round(prediction.extract.score, _DIGITS)})
    if every and prediction.choice is not None:
        row[PROBABILITIES] = [round(value, _DIGITS) for value in prediction.probabilities]
    elif every:
        pairs = zip(labels, prediction.probabilities)
        row.update({f"{PROBABILITY}_{whole_characters(label)}": round(value, _DIGITS) for label, value in pairs})
    return row if prediction.exit_layer is None else {**row, EXIT_LAYER: prediction.exit_layer}


def trtexec_for(job: TrtexecJob) -> str:
    """The trtexec command line for a bundle's ONNX model."""
    bundle = open_bundle(job.bundle)
    profile = Profile.within(bundle.manifest.max_seq_length, job.batch, job.length)
    model, _ = source_of(bundle, job.precision)
    return trtexec_command(model, job.precision, profile, Path(job.engine), job.tensorrt)
