"""Where sentences come from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from ofa_bert.options import option


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
    label_column: str | None = option(
        "name of the label column of your own data, classes or numbers; default: label", None
    )

    label_kind: str = option(
        "whether your own labels are classes or numbers to predict; auto looks at them",
        "auto",
        choices=("auto", "classes", "numbers"),
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
        if not own and (self.text_columns or self.label_column or self.label_kind != "auto"):
            problems.append("--text_columns, --label_column and --label_kind describe --train_file and --dev_file")
        if self.text_columns and len(self.text_columns) > 2:
            problems.append(f"--text_columns {' '.join(self.text_columns)}: one or two columns")
        return problems

    def data_arguments(self) -> dict[str, Any]:
        """The fields that say where sentences come from, as `sources.load_datasets` takes them."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(DataConfig)}
        regression = {"auto": None, "classes": False, "numbers": True}[values.pop("label_kind")]
        return {**values, "regression": regression}
