"""Where a task's examples come from, as a value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ofa_bert.data.sources import load_datasets
from ofa_bert.files.fields import Fields
from ofa_bert.options import option
from ofa_bert.tasks.task import Datasets, Task


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """A GLUE task, the built-in one, or your own files."""

    task_name: str | None = option(
        "GLUE task (CoLA, SST-2, MRPC, STS-B, QQP, MNLI, QNLI, RTE, WNLI; any case), or 'demo' for the built-in one;"
        " leave it out with `train_file`",
        None,
    )
    data_dir: str | None = option(
        "directory with the task's official GLUE files (train.tsv, dev.tsv); without it PaddleNLP downloads them", None
    )
    train_file: str | None = option("your own training data: .tsv, .csv or .jsonl", None)
    dev_file: str | None = option("your own development data, same format", None)
    text_columns: tuple[str, ...] | None = option(
        "names of the one or two text columns of your own data; default: sentence1 sentence2, sentence, or text", None
    )
    label_column: str | None = option(
        "name of the label column of your own data, classes or numbers; default: label", None
    )
    label_kind: Literal["auto", "classes", "numbers"] = option(
        "whether your own labels are classes or numbers to predict; auto looks at them", "auto"
    )

    @property
    def given(self) -> bool:
        return any((self.task_name, self.data_dir, self.train_file, self.dev_file))

    def problems(self) -> list[str]:
        own = self.train_file or self.dev_file
        problems = []
        if own and not (self.train_file and self.dev_file):
            problems.append("`train_file` and `dev_file` go together")
        if self.data_dir and own:
            problems.append("`data_dir` holds a GLUE task's files: it needs `task_name` and excludes `train_file`")
        if not own and (self.text_columns or self.label_column or self.label_kind != "auto"):
            problems.append("`text_columns`, `label_column` and `label_kind` describe `train_file` and `dev_file`")
        if self.text_columns and len(self.text_columns) > 2:
            problems.append(f"`text_columns` {' '.join(self.text_columns)}: one or two columns")
        return problems

    @classmethod
    def recorded(cls, settings: Fields) -> DataSource:
        """What a run recorded among its settings."""
        return cls(
            **{name: settings.text(name, default=None) for name in ("task_name", "data_dir", "train_file", "dev_file")},
            text_columns=settings.texts("text_columns", default=None),
            label_column=settings.text("label_column", default=None),
            label_kind=settings.text("label_kind", ("auto", "classes", "numbers"), default="auto"),
        )

    def load(
        self,
        labels: Sequence[str] | None = None,
        download: Callable[[Task], Datasets] | None = None,
        task_name: str | None = None,
    ) -> Datasets:
        """The task with its examples; arguments as of `load_datasets`. task_name: where none was given."""
        regression = {"auto": None, "classes": False, "numbers": True}[self.label_kind]
        return load_datasets(
            self.task_name or task_name, self.data_dir, self.train_file, self.dev_file, self.text_columns,
            self.label_column, labels, regression, download,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainingData(DataSource):
    """A source that must be named: nothing else says what to train on."""

    def problems(self) -> list[str]:
        if not self.task_name and not self.train_file and not self.dev_file:
            what = "say what to train on: `task_name` (a GLUE task or demo), or `train_file` with `dev_file`"
            more = ["`data_dir` holds a GLUE task's files: it needs `task_name` and excludes `train_file`"]
            return [what, *(more if self.data_dir else []), *super().problems()]
        return super().problems()
