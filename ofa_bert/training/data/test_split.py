"""Examples that no choice of a training looks at: what was kept is scored on them once, after the last step."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from paddle import nn

from ofa_bert.data.encoding.encoded import encode, rows_of
from ofa_bert.data.readers.own_files import read_own_file
from ofa_bert.data.source import DataSource
from ofa_bert.models.directories import load_model
from ofa_bert.tasks.metrics import as_text
from ofa_bert.tasks.task import Example, Task
from ofa_bert.training.evaluation import Forward, score

logger = logging.getLogger(__name__)


class TestScores(TypedDict):
    """What results.json says of them: of every model that was kept, by its name."""

    file: str
    examples: int
    scores: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class TestSplit:
    """Read before the first step: a fault in the file is to cost nobody a training."""

    file: str
    examples: tuple[Example, ...]

    @classmethod
    def read(cls, file: str | None, data: DataSource, task: Task) -> TestSplit | None:
        """None where no file is named. UserError for a file that is not of the task."""
        if file is None:
            return None
        _, examples = read_own_file(file, task, data.text_places, data.label_places, None, None, data.label_separator)
        return cls(file, examples)

    def scores(self, directory: Path, length: int, forwards: Callable[[nn.Layer], Mapping[str, Forward]]) -> TestScores:
        """Of the model in `directory`; forwards: what is run of it, by name."""
        model, tokenizer, record = load_model(directory)
        model.eval()
        task = record.task
        assert task is not None
        encoded = {"test": encode(self.examples, tokenizer, length, False, task.doc_stride)}
        found = {}
        for name, forward in forwards(model).items():
            found[name] = score(task, forward, encoded, tokenizer.pad_token_id, label=f"test {name}")
            logger.info("%s  test %s", name, as_text(found[name]))
        return {"file": self.file, "examples": len(rows_of(self.examples)), "scores": found}
