"""What the recipe's stages are worth: each model in the engine that it is for, all of them timed in turn in one run.

Everybody answers the same dev texts, as token ids, in batches of texts of about one length; so rows differ by their
model, engine and padding alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np
import paddle

from ofa_bert.bundle.manifest import Manifest, read_manifest
from ofa_bert.data.encoding.batches import eval_batches
from ofa_bert.data.encoding.encoded import Encoded, encode
from ofa_bert.data.tagging.answered import Answered
from ofa_bert.models.directories import WEIGHTS, load_model
from ofa_bert.models.record import ModelRecord, check_task
from ofa_bert.progress import Progress
from ofa_bert.runtime.backends.registry import format_of
from ofa_bert.runtime.opening import open_model
from ofa_bert.runtime.workers import Batch as Request
from ofa_bert.runtime.workers import WorkerPool
from ofa_bert.system.timing import SPIN_SECONDS, in_turn
from ofa_bert.tasks.intervals import Sure, mean_score
from ofa_bert.tasks.task import Datasets, Task
from ofa_bert.training.evaluation import score_splits

logger = logging.getLogger(__name__)

EAGER = "paddle_eager"
LATENCY_TEXTS = 100  # answered one by one in every round
# Inputs are all as long as each other there, so a part of the texts says as much as all of them.
PADDED_SHARE = 4
WARMUP = 1

Inputs = tuple[np.ndarray, np.ndarray]  # input_ids and token_type_ids, int64 [B, T]


@dataclass(frozen=True)
class Contender:
    """One row of the table. `path` is a model directory for EAGER, a bundle for the others."""

    name: str
    path: str
    engine: str
    precision: str
    threads: int
    workers: int = 0  # processes; 0: this one computes
    padded: bool = False  # to max_seq_length


class Opened(NamedTuple):
    """answer: batches -> their logits [B, C], in order."""

    answer: Callable[[Sequence[Inputs]], list[np.ndarray]]
    parameters: int | None  # None: a bundle of before, which does not say it
    mebibytes: float
    task: Task | None  # as it decides it


class Texts(NamedTuple):
    """The dev texts as ids: every split for scores, and the drawn ones that are timed."""

    dev: dict[str, Encoded]
    timed: Encoded
    pad_id: int


@dataclass(frozen=True, kw_only=True)
class TimingPlan:
    """On which texts the rows are timed, in which batches, how often. samples: texts drawn with `seed` from dev."""

    model_type: str
    max_seq_length: int
    batch_size: int
    samples: int
    repeats: int
    seed: int
    device: str


class Row(TypedDict, total=False):
    """What was measured of a contender. A ratio is None where there is nothing before; the last two: of a report."""

    stage: str
    engine: str
    precision: str
    threads: int
    instances: int
    padded: bool
    scores: Mapping[str, float]
    score: float
    score_low: float  # between these it may really lie (95 %)
    score_high: float
    parameters: int | None  # None: a bundle of before, which does not say it
    file_mib: float
    latency_p50_ms: float
    latency_p95_ms: float
    texts_per_second: float
    texts_timed: int
    batch_size: int
    rounds: int
    speedup_to_previous: float | None
    speedup_to_padded: float
    speedup_to_dynamic: float
    latency_speedup_to_previous: float | None
    latency_speedup_to_padded: float
    latency_speedup_to_dynamic: float
    hours_per_100m_texts: float
    usd_per_100m_texts: float


def measure(plan: TimingPlan, datasets: Datasets, contenders: Sequence[Contender]) -> list[Row]:
    """One row per contender, the baselines first."""
    texts = _texts(plan, datasets, contenders[0].path)
    size = plan.batch_size
    with ExitStack() as stack:
        found = {c: stack.enter_context(opened(c, plan)) for c in Progress(contenders, desc="open", leave=False)}
        scores: dict[Contender, dict[str, float]] = {}
        sure: dict[Contender, Sure] = {}
        for contender, model in found.items():
            scores[contender], sure[contender] = _score(plan, datasets, texts, contender, model, size)
            logger.info("%s: dev %s", contender.name, scores[contender])
        rates, counts = _throughput(plan, texts, found, size)
        latencies = _latencies(plan, texts, found)
    rows: list[Row] = []
    for contender, model in found.items():
        milliseconds = latencies[contender]
        rows.append(
            {
                "stage": contender.name,
                "engine": contender.engine,
                "precision": contender.precision,
                "threads": contender.threads,
                "instances": max(1, contender.workers),
                "padded": contender.padded,
                "scores": scores[contender],
                "score": scores[contender]["score"],
                "score_low": sure[contender].low,
                "score_high": sure[contender].high,
                "parameters": model.parameters,
                "file_mib": model.mebibytes,
                "latency_p50_ms": float(np.percentile(milliseconds, 50)),
                "latency_p95_ms": float(np.percentile(milliseconds, 95)),
                "texts_per_second": rates[contender],
                "texts_timed": counts[contender],
                "batch_size": size,
                "rounds": plan.repeats,
            }
        )
    _add_speedups(rows)
    return rows


def _texts(plan: TimingPlan, datasets: Datasets, teacher: str) -> Texts:
    _, tokenizer, _ = load_model(teacher, plan.model_type)
    dev = {
        name: encode(rows, tokenizer, plan.max_seq_length, stride=datasets.task.doc_stride)
        for name, rows in datasets.dev.items()
    }
    every = Encoded(
        [ids for split in dev.values() for ids in split.input_ids],
        [types for split in dev.values() for types in split.token_type_ids],
        np.concatenate([split.labels for split in dev.values()]),
    )
    drawn = np.random.default_rng(plan.seed).permutation(len(every))[: plan.samples]
    return Texts(dev, every.select(drawn), tokenizer.pad_token_id)


def batches_of(encoded: Encoded, size: int, pad_id: int, padded_to: int = 0) -> tuple[list[Inputs], list[np.ndarray]]:
    """(inputs, which texts they hold), texts of about one length together, each batch as long as its longest text."""
    inputs, places = [], []
    for batch in eval_batches(encoded, size, pad_id):
        more = ((0, 0), (0, max(0, padded_to - batch.input_ids.shape[1])))
        ids = np.pad(batch.input_ids, more, constant_values=pad_id)
        inputs.append((ids, np.pad(batch.token_type_ids, more)))
        places.append(batch.index)
    return inputs, places


def _length(plan: TimingPlan, contender: Contender) -> int:
    return plan.max_seq_length if contender.padded else 0


def _score(
    plan: TimingPlan, datasets: Datasets, texts: Texts, contender: Contender, model: Opened, size: int
) -> tuple[dict[str, float], Sure]:
    """Every metric of every split; and the main score with its interval."""
    logits = {}
    for name, encoded in texts.dev.items():
        inputs, places = batches_of(encoded, size, texts.pad_id, _length(plan, contender))
        answered = Answered(encoded, datasets.task.num_labels)
        for place, found in zip(places, model.answer(inputs)):
            answered.put(place, found)
        logits[name] = answered.logits
    task = check_task(contender.path, ModelRecord(task=model.task), datasets.task)
    splits = [(texts.dev[name].by_example(found), texts.dev[name].scored) for name, found in logits.items()]
    return score_splits(task, logits, texts.dev), mean_score(task, splits)


def _throughput(
    plan: TimingPlan, texts: Texts, models: dict[Contender, Opened], size: int
) -> tuple[dict[Contender, float], dict[Contender, int]]:
    """(texts per second, texts in a round) of each contender."""
    runs, counts = {}, {}
    for contender, model in models.items():
        inputs, _ = batches_of(texts.timed, size, texts.pad_id, _length(plan, contender))
        if contender.padded:
            inputs = inputs[: max(1, len(inputs) // PADDED_SHARE)]
        counts[contender] = sum(len(ids) for ids, _ in inputs)
        runs[contender] = partial(model.answer, inputs)
    times = in_turn(runs, plan.repeats, WARMUP, settle=_settle, label="throughput")
    return {key: counts[key] * 1e3 / float(np.median(values)) for key, values in times.items()}, counts


def _latencies(plan: TimingPlan, texts: Texts, models: dict[Contender, Opened]) -> dict[Contender, np.ndarray]:
    """Milliseconds of every text in every timed round, one text at a time."""
    few = texts.timed.select(range(min(LATENCY_TEXTS, len(texts.timed))))
    runs: dict[Contender, Callable[[], object]] = {}
    found: dict[Contender, list[np.ndarray]] = {contender: [] for contender in models}

    def timed(contender: Contender, model: Opened, singles: Sequence[Inputs]) -> None:
        found[contender].append(_one_by_one(model, singles))

    for contender, model in models.items():
        singles, _ = batches_of(few, 1, texts.pad_id, _length(plan, contender))
        if contender.padded:
            singles = singles[: max(1, len(singles) // PADDED_SHARE)]
        runs[contender] = partial(timed, contender, model, singles)
    in_turn(runs, plan.repeats, WARMUP, settle=_settle, label="latency")
    return {contender: np.concatenate(rounds[WARMUP:]) for contender, rounds in found.items()}


def _one_by_one(model: Opened, singles: Iterable[Inputs]) -> np.ndarray:
    times = []
    for inputs in singles:
        started = time.perf_counter()
        model.answer([inputs])
        times.append((time.perf_counter() - started) * 1e3)
    return np.asarray(times)


def _settle(previous: Contender, following: Contender) -> None:
    time.sleep(SPIN_SECONDS)


@contextmanager
def opened(contender: Contender, plan: TimingPlan) -> Iterator[Opened]:
    """The contender's model, loaded; its processes end on leaving."""
    if contender.engine == EAGER:
        yield _open_eager(contender, plan.model_type)
        return
    manifest = read_manifest(contender.path)
    parameters, mebibytes = manifest.parameters, _file_bytes(manifest, contender) / 2**20
    if not contender.workers:
        run = open_model(
            contender.path, contender.engine, contender.precision, plan.device, threads=contender.threads
        ).run
        yield Opened(lambda inputs: [run(*item) for item in inputs], parameters, mebibytes, manifest.task)
        return
    arguments = {
        "bundle": contender.path, "backend": contender.engine, "precision": contender.precision,
        "device": plan.device,
    }  # fmt: skip
    pool = WorkerPool(contender.workers, arguments, contender.threads)
    try:
        yield Opened(_pool_answers(pool), parameters, mebibytes, manifest.task)
    finally:
        pool.close()


def _pool_answers(pool: WorkerPool) -> Callable[[Sequence[Inputs]], list[np.ndarray]]:
    def answer(inputs: Sequence[Inputs]) -> list[np.ndarray]:
        found = dict(pool.run(Request(number, *item) for number, item in enumerate(inputs)))
        return [np.asarray(found[number]) for number in range(len(inputs))]

    return answer


def _open_eager(contender: Contender, model_type: str) -> Opened:
    """PaddleNLP's own model and forward, as it was before any of this."""
    model, _, record = load_model(contender.path, model_type)
    model.eval()

    def answer(inputs: Sequence[Inputs]) -> list[np.ndarray]:
        if paddle.get_device() == "cpu":
            paddle.base.core.set_num_threads(contender.threads)  # other models in this process may have set it
        with paddle.no_grad():
            return [model(*map(paddle.to_tensor, item)).numpy() for item in inputs]

    parameters = sum(parameter.size for parameter in model.parameters())
    return Opened(answer, int(parameters), Path(contender.path, WEIGHTS).stat().st_size / 2**20, record.task)


def _file_bytes(manifest: Manifest, contender: Contender) -> int:
    """Of the model that is opened; bf16 is computed from the fp32 files, int8 by some from the static form."""
    held = {m.precision: manifest.bytes_of(m) for m in manifest.models if m.format == format_of(contender.engine)}
    instead = "int8-static" if contender.precision == "int8" else "fp32"
    return held.get(contender.precision) or held[instead]


def _add_speedups(rows: list[Row]) -> None:
    """By throughput, and by median latency: over the stage before, and over both baselines."""
    padded, dynamic = rows[0], rows[1]
    for previous, row in zip([None, *rows], rows):
        row["speedup_to_previous"] = None if previous is None else _faster(row, previous)
        row["speedup_to_padded"], row["speedup_to_dynamic"] = _faster(row, padded), _faster(row, dynamic)
        row["latency_speedup_to_previous"] = None if previous is None else _sooner(row, previous)
        row["latency_speedup_to_padded"] = _sooner(row, padded)
        row["latency_speedup_to_dynamic"] = _sooner(row, dynamic)


def _faster(row: Row, base: Row) -> float:
    return row["texts_per_second"] / base["texts_per_second"]


def _sooner(row: Row, base: Row) -> float:
    return base["latency_p50_ms"] / row["latency_p50_ms"]
