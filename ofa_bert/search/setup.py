"""What every search over a supernet starts from: the supernet, its held-out examples, costs and the space."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from paddle import nn

from ofa_bert.bundle.latency_table import LatencyTable
from ofa_bert.data.encoding.batches import eval_batches
from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.data.encoding.token_ids import encode_once
from ofa_bert.data.held_out import HeldOut, held_out_count
from ofa_bert.data.source import DataSource
from ofa_bert.data.tokenization.text_tokenizer import Cutter
from ofa_bert.errors import UserError
from ofa_bert.exits.layout import default_criterion
from ofa_bert.exits.policy import check_threshold
from ofa_bert.files.atomic import file_sha256
from ofa_bert.latency.device import Measurer
from ofa_bert.models.directories import load_model
from ofa_bert.models.exits.heads import Exits, load_exits
from ofa_bert.models.pretrained import locate
from ofa_bert.models.record import ModelRecord, best_of, check_task
from ofa_bert.search.costs.base import Given
from ofa_bert.search.costs.registry import Costs
from ofa_bert.search.deployed import Engine
from ofa_bert.search.job import RunModeChoice, SupernetSource
from ofa_bert.search.run_modes import RunModes, thresholds
from ofa_bert.search.scorer import BATCH, Scorer
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.values import ModelShape
from ofa_bert.system.machine import processor
from ofa_bert.tasks.intervals import FEW, wilson
from ofa_bert.tasks.task import Datasets, Task
from ofa_bert.training.data.glue_download import download_glue

logger = logging.getLogger(__name__)

_TYPICAL = 0.9  # accuracy
_CALIBRATION = 64  # training sentences that static INT8 is calibrated on


@dataclass(frozen=True)
class Supernet:
    """A loaded supernet with its data. `held_out` is the part of train that it was not trained on, `train` the rest."""

    where: str
    model: nn.Layer
    tokenizer: Cutter
    record: ModelRecord
    space: SearchSpace
    datasets: Datasets
    train: Encoded
    held_out: Encoded
    exits: Exits | None = None  # when they are searched

    @property
    def task(self) -> Task:
        return self.datasets.task

    @property
    def pad_id(self) -> int:
        return self.tokenizer.pad_token_id

    def scorer(self, examples: int | None = None) -> Scorer:
        """Of the first `examples` held-out examples, which stand in no order, or of all."""
        encoded = self.held_out
        if examples is not None and examples < encoded.examples:
            encoded = encoded.take(range(examples))
        return Scorer(self.model, encoded, self.task, self.pad_id, self.space.largest, self.exits)

    def dev(self, cache: Path) -> dict[str, Encoded]:
        length = self.record.max_seq_length
        stride = self.task.doc_stride
        return {
            name: encode_once(part, self.tokenizer, length, cache, stride=stride)
            for name, part in self.datasets.dev.items()
        }


def load_supernet(source: SupernetSource, cache: Path, with_exits: bool = False) -> Supernet:
    """UserError when the directory holds no supernet or the data are of another task. cache: where token ids are kept.

    with_exits: load the exits too, for a search of their thresholds.
    """
    where = best_of(source.model)
    model, tokenizer, record = load_model(where, source.model_type)
    if record.space is None or record.task is None:
        raise UserError(f"`model` {where}: is no supernet; run_glue_ofa.py makes one")
    trained = record.settings(where)
    data = source.data if source.data.given else DataSource.recorded(trained)
    datasets = data.load(known=record.task, download=download_glue)
    datasets = replace(datasets, task=check_task(where, record, datasets.task))
    encoded = encode_once(datasets.train, tokenizer, record.max_seq_length, cache, stride=record.task.doc_stride)
    count = held_out_count(encoded.examples, trained.number("held_out_share", 0, 1))
    seed = trained.whole("seed", least=0)
    # The split of the supernet's training, so that nothing is judged on what it was trained on.
    held_out = record.held_out or HeldOut(count, seed)  # records of before say the share alone
    rest, held = (encoded.take(part) for part in held_out.split(where, encoded.examples))
    held_out.check(where, held)
    logger.info("%s: %d held-out training examples", datasets.task.name, held.examples)
    _warn_of_few(held.examples)
    shuffled = held.take(_shuffled(held.examples, held_out.seed))
    exits = load_exits(where, record, model) if with_exits else None
    return Supernet(where, model, tokenizer, record, record.space, datasets, rest, shuffled, exits)


def _warn_of_few(count: int) -> None:
    if count < FEW:
        low, high = wilson(_TYPICAL, count)
        logger.warning(
            "searches on %d held-out examples: an accuracy of %.2f there stands for anything from %.2f to %.2f (95 %%)."
            " Hold out %d or more: train the supernet with a larger `held_out_share`, or on more data",
            count, _TYPICAL, low, high, FEW,
        )  # fmt: skip


def _shuffled(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, count]).permutation(count)


def ways_of(choice: RunModeChoice, supernet: Supernet) -> RunModes:
    """The latency tables by precision, and the thresholds to try. UserError when they do not belong together."""
    tables: dict[str, LatencyTable] = {}
    for path in choice.latency_table or ():
        table = LatencyTable.load(path)
        table.check_shape(supernet.space.shape, f"`latency_table` {path}")
        precision = Measurer.of(table.setting, f"`latency_table` {path}").precision
        if precision in tables:
            raise UserError(f"`latency_table` {path}: is a second one in {precision}; give one for each precision")
        tables[precision] = table
        _check_setting(path, table, next(iter(tables.values())))
        _check_exits(path, table, supernet.exits)
    if supernet.exits is None:
        return RunModes(tables)
    choices, count = supernet.task.choices, len(supernet.exits.layout.layers)
    tried = thresholds(choice.exit_criterion or _criterion(supernet), choices, count, kind=supernet.task.kind_name)
    for policy in tried:
        check_threshold(policy.criterion, policy.threshold, choices, count)
    return RunModes(tables, tuple(tried))


def _criterion(supernet: Supernet) -> str:
    exits = supernet.record.exits
    return default_criterion(exits.training if exits else "", supernet.task.choices)


def engines_of(supernet: Supernet, ways: RunModes, seed: int) -> dict[str, Engine]:
    """What answers in each precision but fp32, where the supernet's own answers are an export's.

    None on another kind of machine than the tables are of: there the supernet answers for all. seed: of the sentences
    that static INT8 is calibrated on.
    """
    engines: dict[str, Engine] = {}
    drawn = np.random.default_rng(seed).permutation(len(supernet.train))[:_CALIBRATION]
    calibration = list(eval_batches(supernet.train.select(np.sort(drawn)), BATCH, supernet.pad_id))
    for precision, table in ways.tables.items():
        if precision == "fp32":
            continue
        if table.setting["processor"] != processor():
            logger.warning("the %s table is of %s: scores are fp32's", precision, table.setting["processor"])
            continue
        device = Measurer.of(table.setting)
        engines[precision] = Engine(device, supernet.model, supernet.exits, supernet.pad_id, calibration)
    return engines


def _check_setting(path: str, table: LatencyTable, first: LatencyTable) -> None:
    for name in ("processor", "device", "backend", "threads", "batch", "length"):
        if table.setting[name] != first.setting[name]:
            raise UserError(
                f"`latency_table` {path}: is of {name} {table.setting[name]}, the first one of {first.setting[name]};"
                " their latencies cannot be compared"
            )


def _check_exits(path: str, table: LatencyTable, exits: Exits | None) -> None:
    if exits is not None and (table.exits is None or table.exits.head != exits.layout.head):
        raise UserError(
            f"`latency_table` {path}: does not say what a {exits.layout.head} exit costs; measure it again with"
            " python -m ofa_bert latency `model` and this supernet"
        )


def costs_of(ways: RunModes, shape: ModelShape, precision: str | None = None) -> Costs:
    """precision: of the exported file, where no table says one."""
    files = {name: Measurer.of(table.setting).file_precision for name, table in ways.tables.items()}
    return Costs(Given(shape, ways.tables, files, precision))


def fingerprint(
    source: SupernetSource, supernet: Supernet, tables: Sequence[str] | None, deciding: Mapping[str, object]
) -> dict[str, object]:
    """What the value of a sub-model depends on, `deciding` settings and data; a continued search must agree in it."""
    weights = locate(supernet.where, source.model_type).weights
    found: dict[str, object] = {
        "model": file_sha256(weights)[:16],
        "held_out": supernet.held_out.digest(),
        "task": supernet.task.name,
    }
    if tables:
        found["latency_table"] = [file_sha256(path)[:16] for path in tables]
    return {**found, **deciding}
