"""GLUE's official layout with texts of our own: a directory a task, each with its own columns."""

from __future__ import annotations

import random
from pathlib import Path

from helpers.models import WORDS

_MNLI = "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse"
_STS = "index genre filename year old_index source1 source2"
# Directory -> header, the two texts among its columns, the label; CoLA's files have no header.
_COLUMNS = {
    "SST-2": (("sentence", "label"), ("sentence",), "label"),
    "CoLA": (("source", "label", "mark", "sentence"), ("sentence",), "label"),
    "MRPC": (("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"), ("#1 String", "#2 String"), "Quality"),
    "STS-B": ((*_STS.split(), "sentence1", "sentence2", "score"), ("sentence1", "sentence2"), "score"),
    "QQP": (
        ("id", "qid1", "qid2", "question1", "question2", "is_duplicate"), ("question1", "question2"), "is_duplicate",
    ),
    "MNLI": ((*_MNLI.split(), "sentence1", "sentence2", "gold_label"), ("sentence1", "sentence2"), "gold_label"),
    "QNLI": (("index", "question", "sentence", "label"), ("question", "sentence"), "label"),
    "RTE": (("index", "sentence1", "sentence2", "label"), ("sentence1", "sentence2"), "label"),
}  # fmt: skip
_LABELS = {
    "STS-B": ("0.500", "4.250", "2.000"),
    "MNLI": ("contradiction", "entailment", "neutral"),
    "QNLI": ("entailment", "not_entailment"),
    "RTE": ("entailment", "not_entailment"),
}


def write_glue(root: Path, train: int, dev: int) -> Path:
    """All eight tasks below `root`, with so many rows; of MNLI both dev files."""
    for name in _COLUMNS:
        (root / name).mkdir(parents=True)
        _write(root / name / "train.tsv", name, train, seed=1)
        for number, file in enumerate(("dev_matched", "dev_mismatched") if name == "MNLI" else ("dev",)):
            _write(root / name / f"{file}.tsv", name, dev, seed=2 + number)
    return root


def _write(path: Path, name: str, rows: int, seed: int) -> None:
    rng = random.Random(seed)
    header, texts, label = _COLUMNS[name]
    labels = _LABELS.get(name, ("0", "1"))
    lines = [] if name == "CoLA" else ["\t".join(header)]
    for number in range(rows):
        row = dict.fromkeys(header, str(number))
        row.update({text: " ".join(rng.choices(WORDS, k=rng.randrange(3, 9))) for text in texts})
        row[label] = labels[number % len(labels)]
        lines.append("\t".join(row[column] for column in header))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
