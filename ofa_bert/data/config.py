"""Where sentences come from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from ofa_bert.options import option
from ofa_bert.tasks.kinds.registry import WORDS

LABEL_FLAGS = ("label_column", "label_kind", "label_separator", "labels")  # of your own files


@dataclass(frozen=True)
class DataConfig:
    """Where sentences come from."""

    task_name: str | None = option(
        "GLUE task (CoLA, SST-2, MRPC, STS-B, QQP, MNLI, QNLI, RTE, WNLI; any case), or 'demo' for the built-in one;"
        " leave it out with --train_file",
        None,
    )
    data_dir: str | None = option(
        "directory with the task's official GLUE files (train.tsv, dev.tsv); without it PaddleNLP downloads them", None
    )
    train_file: str | None = option("your own training data: .tsv, .csv or .jsonl", None)
    dev_file: str | None = option("your own development data, same format", None)
    text_columns: tuple | None = option(
        "names of the one or two text columns of your own data; default: sentence1 sentence2, sentence, or text",
        None,
        many=True,
    )
    label_column: tuple | None = option(
        "name of the label column of your own data; several: a column of 0 and 1 for each label of multilabel;"
        " default: label",
        None,
        many=True,
    )

    label_kind: str = option(
        "whether your own labels are classes, numbers to predict, or several labels at once; auto looks at them",
        "auto",
        choices=("auto", *sorted(WORDS)),
    )
    label_separator: str | None = option(
        'what stands between the labels of a text, such as "|"; JSONL may have lists instead', None
    )
    labels: tuple | None = option(
        "names of the labels of your own data, in their order; default: those of the training data, sorted",
        None,
        many=True,
    )

    def problems(self) -> list[str]:
        problems = []
        own = self.train_file or self.dev_file
        if not self.task_name and not own:
            problems.append("say what to train on: --task_name (a GLUE task or demo), or --train_file with --dev_file")
        if own and not (self.train_file and self.dev_file):
            problems.append("--train_file and --dev_file go together")
        if self.data_dir and (own or not self.task_name):
            problems.append("--data_dir holds a GLUE task's files: it needs --task_name and excludes --train_file")
        about_labels = self.label_column or self.label_kind != "auto" or self.label_separator or self.labels
        if not own and (self.text_columns or about_labels):
            problems.append(
                "--text_columns, --label_column, --label_kind, --label_separator and --labels describe --train_file and"
                " --dev_file"
            )
        if self.text_columns and len(self.text_columns) > 2:
            problems.append(f"--text_columns {' '.join(self.text_columns)}: one or two columns")
        return problems

    def data_arguments(self) -> dict[str, Any]:
        """The fields that say where sentences come from, as `sources.load_datasets` takes them."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(DataConfig)}
        kind, columns = values.pop("label_kind"), values.pop("label_column")
        values["label_columns"] = (columns,) if isinstance(columns, str) else columns  # older records name one
        return {**values, "label_kind": None if kind == "auto" else kind}
