"""The job of `python -m ofa_bert predict`: a table in, the same table with labels and probabilities out."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ofa_bert.bundle.manifest import model_files, read_manifest
from ofa_bert.data.table_files import Table, read_table
from ofa_bert.errors import RunError, UserError
from ofa_bert.files.atomic import write_text_atomic
from ofa_bert.runtime.backends.tensorrt import Profile, trtexec_command
from ofa_bert.runtime.config import PredictConfig, TrtexecConfig
from ofa_bert.runtime.predictor import Prediction, Predictor
from ofa_bert.runtime.texts import Text

LABEL, PROBABILITY, VALUE, EXIT_LAYER = "predicted_label", "probability", "predicted_value", "exit_layer"
_DIGITS = 6


def predict_file(config: PredictConfig) -> dict[str, Any]:
    """Predict every row of config.input and write config.output; returns what to tell about it."""
    manifest = read_manifest(config.bundle)
    columns = config.text_columns or _trained_columns(config, manifest)
    has_header = not (config.text_columns and all(name.isdecimal() for name in columns))
    table = read_table(config.input, has_header=has_header)
    texts = _texts(table, columns)
    _check_writable(Path(config.output))
    with Predictor(**config.predictor_arguments()) as predictor:
        _check_new_columns(table, predictor, config)
        predictions = predictor.predict(texts, progress=True)
        rows = [_described(prediction, predictor.labels, config.all_probabilities) for prediction in predictions]
    write_text_atomic(config.output, _FORMATS[table.path.suffix.lower()](table, rows, has_header))
    return {"rows": len(rows), "labels": dict(Counter(row[LABEL] for row in rows if LABEL in row).most_common())}


def _trained_columns(config: PredictConfig, manifest: dict[str, Any]) -> tuple[str, ...]:
    if not manifest.get("task"):
        raise UserError(f"{config.bundle}: does not say which columns hold the text; name them with --text_columns")
    return tuple(manifest["task"]["text_columns"])


def _texts(table: Table, columns: Sequence[str]) -> list[Text]:
    positions = [(name, table.column(name)) for name in columns]
    texts: list[Text] = []
    for line, row in table.rows:
        for name, position in positions:
            if not isinstance(row[position], str):
                shown = json.dumps(row[position])[:60]
                raise UserError(f"{table.path}:{line}: column {name!r} holds no text: {shown}")
        # Stripped, as the texts were that the model was trained on.
        parts = tuple(row[position].strip() for _, position in positions)
        texts.append(parts if len(parts) == 2 else parts[0])
    return texts


def _check_writable(path: Path) -> None:
    """Before the work, not after it."""
    if path.is_dir():
        raise UserError(f"--output {path}: is a directory; name a file")
    existing = next(folder for folder in path.absolute().parents if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise RunError(f"--output {path}: {existing} cannot be written to")


def _check_new_columns(table: Table, predictor: Predictor, config: PredictConfig) -> None:
    new = [LABEL, PROBABILITY] if predictor.labels else [VALUE]
    if config.all_probabilities:
        new += [f"{PROBABILITY}_{label}" for label in predictor.labels]
    if config.exit_threshold is not None:
        new.append(EXIT_LAYER)
    taken = sorted(set(new) & set(table.header))
    if taken:
        raise UserError(f"{table.path}: has a column {taken[0]!r} already, which would be written; rename it")
    if table.path.suffix.lower() == ".tsv" and any(len(label.split("\t")) > 1 for label in predictor.labels):
        raise UserError(f"{table.path}: a label holds a tab, which .tsv cannot; use .csv or .jsonl")


def _described(prediction: Prediction, labels: Sequence[str], every: bool) -> dict[str, Any]:
    """The new columns of one row."""
    layer = {} if prediction.exit_layer is None else {EXIT_LAYER: prediction.exit_layer}
    if prediction.label is None:
        return {VALUE: round(prediction.value, _DIGITS), **layer}
    row = {LABEL: prediction.label, PROBABILITY: round(prediction.probability, _DIGITS)}
    if every:
        pairs = zip(labels, prediction.probabilities)
        row.update({f"{PROBABILITY}_{label}": round(value, _DIGITS) for label, value in pairs})
    return {**row, **layer}


def _lines(table: Table, rows: Sequence[dict[str, Any]], has_header: bool) -> list[list[str]]:
    header = [[*table.header, *rows[0]]] if has_header else []
    return header + [[*values, *map(str, new.values())] for (_, values), new in zip(table.rows, rows)]


def _as_tsv(table: Table, rows: Sequence[dict[str, Any]], has_header: bool) -> str:
    return "".join("\t".join(line) + "\n" for line in _lines(table, rows, has_header))


def _as_csv(table: Table, rows: Sequence[dict[str, Any]], has_header: bool) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(_lines(table, rows, has_header))
    return text.getvalue()


def _as_jsonl(table: Table, rows: Sequence[dict[str, Any]], _: bool) -> str:
    # From the file's own lines: the table has only the keys that its first line has.
    lines = table.path.read_text(encoding="utf-8-sig").split("\n")
    records = ({**json.loads(lines[number - 1]), **new} for (number, _), new in zip(table.rows, rows))
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


_FORMATS = {".tsv": _as_tsv, ".csv": _as_csv, ".jsonl": _as_jsonl}


def trtexec_for(config: TrtexecConfig) -> str:
    """The trtexec command line for a bundle's ONNX model."""
    manifest = read_manifest(config.bundle)
    longest = manifest["max_seq_length"]
    profile = Profile(tuple(config.batch), tuple(config.length or Profile.up_to(longest).length))
    if profile.length[2] > longest:
        raise UserError(f"--length {profile.length[2]}: the bundle was exported for up to {longest} tokens")
    held = "int8-static" if config.precision == "int8-static" else "fp32"
    (model,) = model_files(config.bundle, "onnx", held)
    return trtexec_command(model, config.precision, profile, Path(config.engine))
