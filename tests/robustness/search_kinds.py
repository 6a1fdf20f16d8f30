"""What searches leave for the next one, and what says which model is meant."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from helpers import mutations
from helpers.searching import SHAPE as SEARCHED
from helpers.searching import SMALL, cost_of, nsga, score_of
from robustness.kind import SHAPE, SUB_MODEL, FileKind

SETTINGS = {"seed": 1}


def evaluations(directory: Path) -> Path:
    _walked(directory / "fptas-1.jsonl")
    return directory / "fptas-1.jsonl"


def _walked(path: Path) -> None:
    """A search that takes from its log whatever that has."""
    from ofa_bert.files.journal import Journal
    from ofa_bert.search.fptas.walk import Problem, fptas
    from ofa_bert.submodels.values import uniform

    candidates = [uniform(SEARCHED, 0.5), uniform(SEARCHED, 1.0, (0, 2))]
    problem = Problem(
        candidates=candidates, top=uniform(SEARCHED, 1.0), parameters=cost_of, time=cost_of,
        error=lambda candidate, theta, counter: 1.0 / score_of(candidate), theta=({"rate": 0.1}, {"rate": 0.2}),
    )  # fmt: skip
    found = fptas(problem, 1, Journal(path, SETTINGS))
    assert found.winner in candidates
    json.dumps(found.records)


def guesses(directory: Path) -> Path:
    from ofa_bert.files.atomic import write_json_atomic
    from ofa_bert.submodels.values import uniform

    made = [uniform(SEARCHED, 1.0), uniform(SEARCHED, 0.5, (0, 2))]
    content = {"settings": SETTINGS, "guesses": [guess.to_json() for guess in made]}
    write_json_atomic(directory / "guesses.json", content)
    return directory / "guesses.json"


def read_guesses(path: Path) -> None:
    """Each is the first thing that the search tries; where there are none, they are made anew."""
    from ofa_bert.search.guesses import known_guesses

    first = known_guesses(path, SETTINGS, SMALL)
    if first is not None:
        nsga(None, first=first).run(len(first) + 1)


def study(directory: Path) -> Path:
    with tempfile.TemporaryDirectory() as home:
        nsga(Path(home), first=[]).run(6)
        with (
            closing(sqlite3.connect(Path(home, "study.db"))) as log,
            closing(sqlite3.connect(directory / "study.db")) as base,
        ):
            log.backup(base)  # one file, without the log beside it
    return directory / "study.db"


def read_study(path: Path) -> None:
    """In a place of its own: the log beside it stays open until the process ends."""
    with tempfile.TemporaryDirectory() as home:
        shutil.copy(path, Path(home, path.name))
        nsga(Path(home), first=[]).run(8)


def shape(directory: Path) -> Path:
    (directory / "shape.json").write_text(json.dumps({"depth": 4, "heads": 4, "hidden": 64, "ffn": 128}))
    return directory / "shape.json"


def read_shape(path: Path) -> None:
    from ofa_bert.submodels.shape import Surroundings, parameters
    from ofa_bert.training.pretraining.job import shape_from

    assert parameters(shape_from(str(path)), Surroundings(100)) < 1 << 40


def sub_model(directory: Path) -> Path:
    (directory / "sub.json").write_text(json.dumps(SUB_MODEL))
    return directory / "sub.json"


def read_sub_model(path: Path) -> None:
    from ofa_bert.models.record import ModelRecord
    from ofa_bert.models.sub_model_choice import SubModelChoice
    from ofa_bert.submodels.values import ModelShape

    full = ModelShape(**SHAPE)
    SubModelChoice(sub_model=str(path)).of("model", ModelRecord(), full).check_fits(full)


def lock_record(directory: Path) -> Path:
    """Of a process that was killed."""
    from ofa_bert.files import lock
    from ofa_bert.system.owner import Owner

    (directory / "out").mkdir()
    path = directory / "out" / lock.LOCK
    path.write_text(json.dumps({**Owner.mine().to_json(), "pid": 2**22 + 5}))
    return path


def read_lock_record(path: Path) -> None:
    """The next one writes there, and what the record says can be said."""
    from ofa_bert.files import lock
    from ofa_bert.files.lock import _recorded
    from ofa_bert.system.owner import Owner

    with path.open("rb") as file:
        owner = _recorded(file.fileno())
    assert owner is None or owner.described().isprintable()
    with lock.holding(path.parent):
        assert Owner.from_json(json.loads(path.read_text())) == Owner.mine()


KINDS = (
    FileKind("evaluations", evaluations, _walked, mutations.of_json_lines, cases=80),
    FileKind("guesses", guesses, read_guesses, mutations.of_json),
    FileKind("study, its bytes", study, read_study, mutations.of_bytes, cases=20),
    FileKind("study, its values", study, read_study, mutations.of_database, cases=60),
    FileKind("shape.json", shape, read_shape, mutations.of_json),
    FileKind("sub-model", sub_model, read_sub_model, mutations.of_json),
    FileKind("lock", lock_record, read_lock_record, mutations.of_json, refuses=False),
)
