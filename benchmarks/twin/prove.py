"""Both sides of a comparison run one after the other, and compared."""

from __future__ import annotations

import json
import logging
import math
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ofa_bert.cli.process import show
from ofa_bert.errors import RunError, UserError
from ofa_bert.files.atomic import write_json_atomic
from ofa_bert.files.reading import read_object
from ofa_bert.files.weights import read_weights
from ofa_bert.numerics import Floats
from ofa_bert.system import child_process
from twin.command_line import Told
from twin.directory import bare_name
from twin.elastic.command_line import ElasticTold
from twin.record import (
    ELASTIC,
    IMPORTANCE,
    PRODUCT,
    REQUEST,
    START,
    TWIN,
    TWIN_END,
    TWIN_START,
    WEIGHTS,
    Step,
    read_steps,
    results_of,
)
from twin.tables import Check, Row, loss_rows, shown_checks, shown_rows, verdict

logger = logging.getLogger("ofa_bert.torch_twin")

Compare = Callable[[Path], tuple[list[Row], list[Check]]]
NEEDS = {"product": ("paddle", "paddlenlp"), "follow": ("torch", "numpy", "tokenizers", "scipy", "sklearn", "tqdm")}
# How far the two may be apart where no step's loss is compared.
MOST_IMPORTANCE = 1e-4  # of the largest of its layer
MOST_WEIGHTS = 0.01  # of what training moved them by
MOST_SCORE = 0.005  # two answers of MRPC's 408
MOST_TRIAL = 0.01
_ROUNDING = (
    "At a high --learning_rate rounding alone can do that, as AdamW makes whole steps of gradients that are all but 0;"
    " a larger --adam_epsilon, 1e-6 to 1e-3, tells it from a mistake"
)


def prove(told: Told | ElasticTold, compare: Compare) -> None:
    """RunError where the two differ."""
    pythons = {"product": sys.executable, "follow": told.own.torch_python or sys.executable}
    for side, python in pythons.items():
        check_python(python, NEEDS[side])
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(told.own.output_dir or scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UserError(f"--output_dir {folder}: is not empty; name a new directory")
        write_request(folder, told)
        for side, python in pythons.items():
            logger.info("%s: %s", side, "the product trains" if side == "product" else "the twin follows")
            _run(side, python, folder)
        rows, checks = compare(folder)
    show(f"{shown_rows(rows)}\n\n{shown_checks(checks)}")
    wrong = verdict(rows, checks)
    if wrong:
        raise RunError(f"{wrong}. {_ROUNDING}")
    largest = max(row.difference for row in rows)
    show(f"\n{len(rows)} losses of {rows[-1].step} steps agree; the largest difference is {largest:.1e}")


def check_python(python: str, packages: Sequence[str]) -> None:
    """UserError in one line for an interpreter that is none or lacks a package."""
    look = "import importlib.util as u; print('lacks', *[n for n in %r if u.find_spec(n) is None])"
    try:
        found = child_process.finish([python, "-c", look % (tuple(packages),)])
    except OSError as error:
        raise UserError(f"--torch_python {python}: cannot be run ({error.strerror}); name a Python") from error
    lines = [line for line in found.out.splitlines() if line.startswith("lacks")]
    if found.code or not lines:
        raise UserError(f"{python}: is no Python that works ({child_process.why(found.code, found.complaint)})")
    lacking = lines[0].split()[1:]
    if lacking:
        cure = "name one that has it with --torch_python" if "torch" in packages else "start this program with one"
        raise UserError(f"{python}: has no {', '.join(lacking)}; install it, or {cure}")


def write_request(folder: Path, told: Told | ElasticTold) -> None:
    own = {"plant": told.own.plant, **({"examples": told.own.examples} if isinstance(told, Told) else {ELASTIC: True})}
    write_json_atomic(folder / REQUEST, {"argv": list(told.argv), "own": own})


def _run(side: str, python: str, folder: Path) -> None:
    program = Path(__file__).resolve().parents[1] / "torch_twin.py"
    ended = child_process.finish([python, str(program), side, str(folder)])
    if ended.code:
        kind = UserError if ended.code == UserError.exit_code else RunError
        raise kind(f"{side}: {child_process.why(ended.code, ended.complaint).removeprefix('error: ')}")


def compared(folder: Path) -> tuple[list[Row], list[Check]]:
    """(a row for every loss, the other checks) of what both sides wrote."""
    steps, twin = read_steps(folder), json.loads((folder / TWIN).read_text())
    return rows_of(steps, twin), [*_prepared(folder, twin), *checks_of_drawn(twin), *_ended(folder, twin)]


def rows_of(steps: Sequence[Step], twin: Mapping[str, Any]) -> list[Row]:
    """The losses of both."""
    names = {(step, place): name for step, each in enumerate(twin["names"]) for place, name in enumerate(each)}
    return loss_rows(names, [step.losses for step in steps], twin["losses"])


def _prepared(folder: Path, twin: Mapping[str, Any]) -> Iterator[Check]:
    product = results_of(folder)
    ours, theirs = product["layer_choice"]["depths"], twin["layer_choice"]["depths"]
    other = sum(own["layers"] != twins["layers"] for own, twins in zip(ours, theirs, strict=True))
    yield Check("depths with other layers", other, 0)
    trials = [
        abs(own[name] - twins[name])
        for each, their in zip(ours, theirs)
        for own, twins in zip(each.get("trials", ()), their.get("trials", ()), strict=True)
        for name in ("score", "distance")
    ]
    if trials:
        yield Check("score and distance of a trial of layers", worst(trials), MOST_TRIAL)
    told = read_object(folder / PRODUCT / IMPORTANCE)
    for name in ("heads", "neurons"):
        own, twins = np.asarray(told[name]), np.asarray(twin["importance"][name])
        apart = np.abs(own - twins) / own.max(axis=1, keepdims=True)
        yield Check(f"importance of {name}, of the largest", worst(apart.ravel()), MOST_IMPORTANCE)
    yield check_of_begin(folder)


def check_of_begin(folder: Path) -> Check:
    begun, copied = _weights(folder / START), _weights(folder / TWIN_START)
    return Check("weights before the first step", worst(np.abs(begun[n] - copied[n]).max() for n in begun), 0)


def checks_of_drawn(twin: Mapping[str, Any]) -> Iterator[Check]:
    yield Check("batches that the twin draws otherwise", twin["other_batches"], 0)
    yield Check("steps with other sub-models", twin["other_sub_models"], 0)


def _ended(folder: Path, twin: Mapping[str, Any]) -> Iterator[Check]:
    yield check_of_end(folder)
    product = results_of(folder)
    yield Check("teacher's score on dev", abs(product["teacher"]["score"] - twin["teacher"]["score"]), MOST_SCORE)
    last = {row["name"]: row["scores"]["score"] for row in product["last"]}
    scores = [abs(score - twin["scores"].get(name, {}).get("score", math.nan)) for name, score in last.items()]
    yield Check("sub-models' scores on dev", worst(scores), MOST_SCORE)


def check_of_end(folder: Path) -> Check:
    begun, ours, theirs = (_weights(folder / name) for name in (START, Path(PRODUCT, WEIGHTS), TWIN_END))
    apart, moved = _length(ours, theirs), _length(ours, begun)
    return Check(
        "weights after the last step, of what they moved by", apart / moved if moved else math.nan, MOST_WEIGHTS
    )


def _weights(path: Path) -> dict[str, Floats]:
    return {bare_name(name): array for name, array in read_weights(path).items()}


def _length(one: Mapping[str, Floats], other: Mapping[str, Floats]) -> float:
    """Of the difference, over all weights."""
    return math.sqrt(sum(float(np.square(one[name].astype(np.float64) - other[name]).sum()) for name in one))


def worst(values: Iterable[float]) -> float:
    """The largest; NaN where there is one."""
    found = [float(value) for value in values]
    return math.nan if any(map(math.isnan, found)) else max(found, default=0.0)
