"""One labelled file on which a model is scored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ofa_bert.data.dev_split import MOST_SHARE, split_dev
from ofa_bert.data.readers.own_files import own_table, read_own_file
from ofa_bert.data.schema import LabelledSchema, check_width, label_places, text_places
from ofa_bert.data.source import LABEL_OPTIONS
from ofa_bert.data.sources import load_datasets
from ofa_bert.data.table_files import Table
from ofa_bert.errors import UserError
from ofa_bert.options import option, unused
from ofa_bert.tasks.kinds.registry import WORDS
from ofa_bert.tasks.task import Example, Task

OWN = ("dev_share", "text_columns", *LABEL_OPTIONS)


@dataclass(frozen=True, kw_only=True)
class LabelledData:
    """Examples with labels: a file of one's own, or the dev split of a GLUE task."""

    file: str | None = option(
        "labelled file: .tsv, .csv or .jsonl, or CoNLL; leave it out with `data_dir` or `task_name`", None
    )
    dev_share: float | None = option(
        "score the development data alone that a training with this `dev_share` made of the file: what the model was"
        " not trained on",
        None,
        above=0,
        most=MOST_SHARE,
    )
    task_name: str | None = option(
        "GLUE task, or 'demo', 'demo-tokens' or 'demo-answers'; default: the model's own", None
    )
    data_dir: str | None = option("directory with the task's official GLUE files: dev is scored", None)
    text_columns: tuple[str, ...] | None = option(
        "names of the one or two text columns of the file; default: those that the model was trained on", None
    )
    label_column: tuple[str, ...] | None = option(
        "name of its label column; several: a column of 0 and 1 for each label; default: label", None
    )
    label_kind: str = option(
        "what its labels are, where the model does not say; auto looks at them", "auto", choices=("auto", *WORDS)
    )
    label_separator: str | None = option('what stands between the labels of a text, such as "|"', None)
    labels: tuple[str, ...] | None = option(
        "names of the labels, in their order, where the model does not say; default: those of the file, sorted", None
    )
    schema: LabelledSchema = LabelledSchema()

    def problems(self) -> list[str]:
        if self.file and (self.data_dir or self.task_name):
            return ["`file` is a file of your own: leave out `data_dir` and `task_name`"]
        if not self.file:
            found = unused(self, OWN, "describes `file`; give that too")
            return found + unused(self.schema, ("input_schema",), "describes `file`; give that too")
        if self.schema.input_schema and self.label_column:
            return ["`input_schema` has the label by `label_name`: leave `label_column` out"]
        return self.schema.clashes(self.text_columns)

    @property
    def _texts(self) -> tuple[str, ...] | None:
        return text_places(self.schema) or self.text_columns

    @property
    def _label(self) -> tuple[str, ...] | None:
        return label_places(self.schema) or self.label_column

    def load(self, known: Task | None) -> tuple[Task, dict[str, tuple[Example, ...]]]:
        """(task, split -> examples). known: the model's task, whose labels and order the data must have."""
        if self.file:
            check_width(self.schema, self.file)
            task, examples = read_own_file(
                self.file, known, self._texts, self._label, self.labels, self._kind(), self.label_separator
            )
            if self.dev_share is None:
                return task, {"file": examples}
            _, held = split_dev(examples, self.dev_share, task, Path(self.file))
            return task, {"dev": held}
        name = self.task_name or (known.name if known else None)
        if name is None:
            raise UserError("say what to score on: `file`, or `task_name` of a GLUE task")
        datasets = load_datasets(task_name=name, data_dir=self.data_dir, known=known)
        return datasets.task, datasets.dev

    def table(self, task: Task) -> Table | None:
        """The file with all its columns, a row an example of `load`; None where examples are no rows of it."""
        if not self.file or self.dev_share is not None or not task.kind.exits:
            return None
        return own_table(self.file, self._texts, self._label)

    def _kind(self) -> str | None:
        return None if self.label_kind == "auto" else self.label_kind
