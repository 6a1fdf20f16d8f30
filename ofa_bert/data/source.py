"""Where a task's examples come from, as a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ofa_bert.data.dev_split import MOST_SHARE
from ofa_bert.data.schema import LabelledSchema, check_width, label_places, text_places
from ofa_bert.data.sources import load_datasets
from ofa_bert.errors import UserError
from ofa_bert.files.fields import Fields
from ofa_bert.options import option
from ofa_bert.tasks.kinds.registry import WORDS
from ofa_bert.tasks.task import Datasets, Task

LABEL_OPTIONS = ("label_column", "label_kind", "label_separator", "labels")  # of your own files


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """A GLUE task, the built-in one, or your own files.

    >>> from ofa_bert import DataSource
    >>> DataSource(train_file="train.tsv", dev_file="dev.tsv").load().task.labels
    ('bad', 'good')
    """

    task_name: str | None = option(
        "GLUE task (CoLA, SST-2, MRPC, STS-B, QQP, MNLI, QNLI, RTE, WNLI; any case), with `data_dir` one of SuperGLUE"
        " (BoolQ, CB, COPA, MultiRC, ReCoRD, RTE, WiC, WSC), or 'demo', 'demo-tokens' and 'demo-answers' for the"
        " built-in ones; leave it out with `train_file`",
        None,
    )
    data_dir: str | None = option(
        "directory with the task's official files (GLUE's train.tsv and dev.tsv, SuperGLUE's train.jsonl and"
        " val.jsonl); without it PaddleNLP downloads GLUE's",
        None,
    )
    train_file: str | None = option(
        "your own training data: .tsv, .csv or .jsonl; words with tags also as CoNLL (.conll, .bio, .iob, .txt); or a"
        " folder of RACE's",
        None,
    )
    dev_file: str | None = option("your own development data, same format", None)
    dev_share: float | None = option(
        "in place of `dev_file`: share of `train_file` that is development data and not trained on, of every class"
        " alike. What a text says decides, not `seed`: every command that reads the file so has the same",
        None,
        above=0,
        most=MOST_SHARE,
    )
    text_columns: tuple[str, ...] | None = option(
        "names of the one or two text columns of your own data; default: sentence1 sentence2, sentence, or text; of"
        " CoNLL files the number of the words' column, from 0; default: the first",
        None,
    )
    label_column: tuple[str, ...] | None = option(
        "name of the label column of your own data; several: a column of 0 and 1 for each label of multilabel;"
        " default: label; of CoNLL files the number of the tags' column, else the last",
        None,
    )
    label_kind: str = option(
        "whether your own labels are classes, numbers to predict, several labels at once, tags of words, the right one"
        " of some choices, how well passages answer queries, or answers to questions in contexts; auto looks at them",
        "auto",
        choices=("auto", *sorted(WORDS)),
    )
    label_separator: str | None = option(
        'what stands between the labels of a text, such as "|"; JSONL may have lists instead', None
    )
    labels: tuple[str, ...] | None = option(
        "names of the labels of your own data, in their order; default: those of the training data, sorted", None
    )

    metric: str | None = option(
        "the metric that chooses the best step, and the best sub-model: of classes accuracy, balanced_accuracy,"
        " macro_f1, weighted_f1, f1 (of the second class) or matthews; of several labels micro_f1, macro_f1 or"
        " exact_match; of numbers pearson or spearman; default: the task's own, accuracy of your own classes",
        None,
    )
    doc_stride: int | None = option(
        "where answers are looked for in contexts: tokens from the start of a window to that of the next; default: 128",
        None,
        above=0,
    )
    schema: LabelledSchema = LabelledSchema()

    @property
    def text_places(self) -> tuple[str, ...] | None:
        """The text columns by name or number; None where nothing says."""
        return text_places(self.schema) or self.text_columns

    @property
    def label_places(self) -> tuple[str, ...] | None:
        """The label columns, likewise."""
        return label_places(self.schema) or self.label_column

    @property
    def given(self) -> bool:
        return any((self.task_name, self.data_dir, self.train_file, self.dev_file))

    def problems(self) -> list[str]:
        own = self.train_file or self.dev_file
        problems = self._dev_problems()
        if self.data_dir and own:
            problems.append("`data_dir` holds a GLUE task's files: it needs `task_name` and excludes `train_file`")
        about_labels = self.label_column or self.label_kind != "auto" or self.label_separator or self.labels
        if not own and (self.text_columns or about_labels):
            names = ", ".join(f"`{name}`" for name in ("text_columns", *LABEL_OPTIONS))
            problems.append(f"{names} describe `train_file` and `dev_file`")
        if self.schema.input_schema and not own:
            problems.append("`input_schema` describes `train_file` and `dev_file`")
        problems += self.schema.clashes(self.text_columns)
        if self.schema.input_schema and self.label_column:
            problems.append("`input_schema` has the label by `label_name`: leave `label_column` out")
        if self.text_columns and len(self.text_columns) > 2:
            problems.append(f"`text_columns` {' '.join(self.text_columns)}: one or two columns")
        return problems

    def _dev_problems(self) -> list[str]:
        if self.dev_file and not self.train_file:
            return ["`dev_file` needs `train_file`"]
        if self.dev_share is not None and not self.train_file:
            return ["`dev_share` is a share of `train_file`; a GLUE task has its own development data"]
        if self.dev_file and self.dev_share is not None:
            return ["`dev_file` and `dev_share` exclude each other: the development data are in a file, or a share"]
        if self.train_file and not self.dev_file and self.dev_share is None:
            return ["`train_file` needs `dev_file`, or `dev_share` 0.1 to make a tenth of it the development data"]
        return []

    @classmethod
    def recorded(cls, settings: Fields) -> DataSource:
        """What a run recorded among its settings."""
        return cls(
            **{name: settings.text(name, default=None) for name in ("task_name", "data_dir", "train_file", "dev_file")},
            dev_share=settings.number("dev_share", 0, MOST_SHARE, default=None),
            text_columns=settings.texts("text_columns", default=None),
            label_column=_label_columns(settings),
            label_kind=settings.text("label_kind", ("auto", *WORDS), default="auto"),
            label_separator=settings.text("label_separator", default=None),
            labels=settings.texts("labels", default=None),
            metric=settings.text("metric", default=None),
            doc_stride=settings.whole("doc_stride", 1, default=None),
            schema=LabelledSchema.recorded(settings),
        )

    def load(
        self,
        known: Task | None = None,
        download: Callable[[Task], Datasets] | None = None,
        task_name: str | None = None,
    ) -> Datasets:
        """The task with its examples; arguments as of `load_datasets`. task_name: where none was given."""
        check_width(self.schema, self.train_file, self.dev_file)
        found = load_datasets(
            task_name=self.task_name or task_name,
            data_dir=self.data_dir,
            train_file=self.train_file,
            dev_file=self.dev_file,
            dev_share=self.dev_share,
            text_columns=self.text_places,
            label_columns=self.label_places,
            labels=self.labels,
            label_kind=None if self.label_kind == "auto" else self.label_kind,
            label_separator=self.label_separator,
            doc_stride=self.doc_stride,
            known=known,
            download=download,
        )
        if self.doc_stride is not None and not found.task.kind.windowed:
            raise UserError(
                f"`doc_stride` {self.doc_stride}: task {found.task.name} has {found.task.kind.word}, whose texts are"
                " not read in windows; leave it out"
            )
        return found if self.metric is None else replace(found, task=found.task.judged_by(self.metric))


def _label_columns(settings: Fields) -> tuple[str, ...] | None:
    """Older records name one column."""
    if isinstance(settings.value.get("label_column"), str):
        return (settings.text("label_column"),)
    return settings.texts("label_column", default=None)


@dataclass(frozen=True, kw_only=True)
class TrainingData(DataSource):
    """A source that must be named: nothing else says what to train on.

    >>> from ofa_bert import TrainingData
    >>> len(TrainingData(task_name="demo").load().train)
    6000
    """

    def problems(self) -> list[str]:
        if not self.task_name and not self.train_file and not self.dev_file:
            own = "`train_file` with `dev_file` or `dev_share`"
            what = f"say what to train on: `task_name` (a GLUE task or demo), or {own}"
            more = ["`data_dir` holds a GLUE task's files: it needs `task_name` and excludes `train_file`"]
            return [what, *(more if self.data_dir else []), *super().problems()]
        return super().problems()
