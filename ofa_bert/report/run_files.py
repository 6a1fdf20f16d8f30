"""What a run left in its output directory, read from its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ofa_bert.bundle.latency_table import LatencyTable
from ofa_bert.errors import UserError
from ofa_bert.files.atomic import MODEL_META
from ofa_bert.files.fields import Fields
from ofa_bert.files.reading import read_json
from ofa_bert.models.record import ModelRecord
from ofa_bert.training.logs.moment import Moment, named_scores
from ofa_bert.training.logs.run_log import read_log
from ofa_bert.training.output_directory import RESULTS, RUN

PAGE, ABOUT = "report.html", "report.json"
# What the jobs whose packages are no lower than this one call their files.
IMPORTANCE, FRONT = "importance.json", "front.json"  # supernet, prune; search
ROWS, SCORES, EXITS = "rows.json", "scores.json", "exits.json"  # recipe; evaluate; exits
FRONT_PICTURE, FAMILY_PICTURE, EXITS_PICTURE = "front.png", "family.png", "exits.png"
_ONE_OF = (RESULTS, RUN, ROWS, SCORES, EXITS)
_CURE = "take a directory that a training command, a search or an evaluation wrote"
# What a run is called, by the word in its ofa_run.json.
_TITLES = {
    "finetune": "Finetuned model",
    "supernet": "Supernet",
    "distil": "Distilled student",
    "exits": "Early exits",
    "prune": "Pruned model",
    "pretrain": "Pre-trained shape",
    "elastic pre-training": "Elastic pre-training",
}


@dataclass(frozen=True)
class RunFiles:
    """The files of one directory. results: empty before the end of a run. tables: of latency, by their paths."""

    directory: Path
    results: Fields
    told: Fields
    moments: tuple[Moment, ...] = ()
    commands: tuple[str, ...] = ()
    tables: Mapping[str, LatencyTable] = field(default_factory=dict)

    @classmethod
    def read(cls, directory: Path, tables: Mapping[str, LatencyTable] | None = None) -> RunFiles:
        """UserError for a directory that no run left, and for a file in it that none wrote so."""
        if not directory.is_dir():
            raise UserError(f"`output_dir` {directory}: no such directory; {_CURE}")
        if not is_run(directory):
            raise UserError(f"`output_dir` {directory}: holds no results; {_CURE}")
        commands = fields_of(directory / ABOUT).texts("commands", default=())
        results, told = fields_of(directory / RESULTS), fields_of(directory / RUN)
        return cls(directory, results, told, read_log(directory), commands, tables or {})

    def file(self, name: str) -> Fields | None:
        """The object in one of the files; None where there is no such file."""
        return fields_of(self.directory / name) if (self.directory / name).is_file() else None

    @cached_property
    def record(self) -> ModelRecord:
        """Of best/, else of last/; empty where there is neither."""
        for name in ("best", "last"):
            path = self.directory / name / MODEL_META
            if path.is_file():
                return ModelRecord.from_json(read_json(path), str(path))
        return ModelRecord()

    @property
    def what(self) -> str:
        """In a word or two what was made here."""
        kind = self.told.text("what", default="")
        if kind:
            return _TITLES.get(kind, kind)
        by_file = {ROWS: "Stages side by side", SCORES: "Evaluation", EXITS: "Threshold of early exits"}
        by_result = {
            "tuned_on": "Hyper-parameter search",
            "family": "Family of sub-models",
            "front": "Search of sub-models",
            "epsilon": "Search by FPTAS",
            "sub_models": "Demo",
        }
        for name, title in by_file.items():
            if (self.directory / name).is_file():
                return title
        return next((title for name, title in by_result.items() if name in self.results), "Run")

    @property
    def task(self) -> str:
        if self.record.task is not None:
            return self.record.task.name
        said = self.results.value.get("task")
        for name in (SCORES, EXITS):
            other = self.file(name)
            said = other.value.get("task") if other is not None and said is None else said
        return said if isinstance(said, str) else ""

    @property
    def config(self) -> Mapping[str, object]:
        """What the run was told, by option."""
        for fields in (self.results, *(each for name in (ROWS, SCORES, EXITS) if (each := self.file(name)))):
            if "config" in fields:
                return fields.mapping("config")
        return self.told.mapping("settings", default={})

    @property
    def versions(self) -> Mapping[str, object]:
        for fields in (self.results, *(each for name in (ROWS, SCORES, EXITS) if (each := self.file(name)))):
            if "versions" in fields:
                return fields.mapping("versions")
        return {}

    @property
    def metric(self) -> str:
        """What "score" is of."""
        if self.record.task is not None:
            return self.record.task.metrics[0]
        return "score"

    @cached_property
    def evaluations(self) -> tuple[tuple[int, Mapping[str, float]], ...]:
        """(step, scores by name) of every evaluation: by the log, else by the results, as older runs left them."""
        logged = tuple((moment.step, moment.scores) for moment in self.moments if moment.scores)
        if logged:
            return logged
        history = self.results.each("history", default=[])
        return tuple((each.whole("step", 0), named_scores(each.mapping("scores"))) for each in history)

    @property
    def best_step(self) -> int | None:
        """The step whose weights are in best/."""
        if "best_step" in self.results:
            return self.results.whole("best_step")
        if isinstance(self.results.value.get("best"), Mapping):
            return self.results.inner("best").whole("step", default=None)
        return self.record.step

    @property
    def parts(self) -> Sequence[Path]:
        """Directories of further runs in this one: a demo's, a recipe's stages, a tuning's trial."""
        found = (path for path in self.directory.iterdir() if path.is_dir() and not path.name.startswith("."))
        return sorted(path for path in found if is_run(path))


def is_run(directory: Path) -> bool:
    return any((directory / name).is_file() for name in _ONE_OF)


def fields_of(path: Path) -> Fields:
    """The object of a JSON file; of one that is not there an empty one."""
    return Fields(read_json(path) if path.is_file() else {}, str(path), _CURE)
