"""What every search over a supernet starts from: the supernet, its held-out examples, costs and the space."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from paddle import nn

from ofa_bert.bundle.latency_table import LatencyTable
from ofa_bert.data.batches import Encoded, eval_batches, held_out_count, split_holdout
from ofa_bert.data.sources import load_datasets
from ofa_bert.data.token_ids import DIRECTORY, encode_once
from ofa_bert.errors import UserError
from ofa_bert.exits.layout import EXITS, default_criterion
from ofa_bert.exits.policy import check_threshold
from ofa_bert.files.atomic import file_sha256
from ofa_bert.latency.device import Measurer
from ofa_bert.models.directories import best_of, load_model
from ofa_bert.models.exit_heads import Exits, load_exits
from ofa_bert.models.pretrained import locate
from ofa_bert.models.record import check_task
from ofa_bert.search.config import SearchConfig
from ofa_bert.search.costs.base import Given
from ofa_bert.search.costs.registry import Costs
from ofa_bert.search.deployed import Engine
from ofa_bert.search.front import Budget
from ofa_bert.search.run_modes import RunModes, thresholds
from ofa_bert.search.scorer import BATCH, Scorer
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.uneven import UnevenSpace, uneven_space
from ofa_bert.submodels.values import ModelShape
from ofa_bert.system.machine import processor
from ofa_bert.tasks.task import Datasets, Task
from ofa_bert.training.glue_download import download_glue

logger = logging.getLogger(__name__)

_CALIBRATION = 64  # training sentences that static INT8 is calibrated on


@dataclass(frozen=True)
class Supernet:
    """A loaded supernet with its data. `held_out` is the part of train that it was not trained on, `train` the rest."""

    where: str
    model: nn.Layer
    tokenizer: Any
    meta: Mapping[str, Any]
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
        if examples is not None and examples < len(encoded):
            encoded = encoded.select(range(examples))
        return Scorer(self.model, encoded, self.task, self.pad_id, self.space.largest, self.exits)

    def dev(self, cache: Path) -> dict[str, Encoded]:
        length = self.meta["max_seq_length"]
        return {name: encode_once(part, self.tokenizer, length, cache) for name, part in self.datasets.dev.items()}


def load_supernet(config: SearchConfig) -> Supernet:
    """UserError when the directory holds no supernet or the data are of another task."""
    where = best_of(config.model)
    model, tokenizer, meta = load_model(where, config.model_type)
    if not meta.get("space"):
        raise UserError(f"--model {where}: is no supernet; run_glue_ofa.py makes one")
    if config.finetune_steps and meta.get(EXITS):
        raise UserError(
            f"--finetune_steps {config.finetune_steps}: would leave the exits of {where} behind; leave it out, or"
            " search the supernet that they were trained on"
        )
    trained = meta["config"]
    data = config.recorded_data(trained)
    datasets = load_datasets(**data.data_arguments(), known=Task.from_json(meta["task"]), download=download_glue)
    datasets = replace(datasets, task=check_task(where, meta, datasets.task))
    encoded = encode_once(datasets.train, tokenizer, meta["max_seq_length"], Path(config.output_dir, DIRECTORY))
    count = held_out_count(len(encoded), trained["held_out_share"])
    # The split of the supernet's training, so that nothing is judged on what it was trained on.
    rest, held = split_holdout(len(encoded), count, trained["seed"])
    logger.info("%s: %d held-out training examples", datasets.task.name, len(held))
    shuffled = encoded.select(held).select(_shuffled(len(held), trained["seed"]))
    space = SearchSpace.from_json(meta["space"])
    exits = load_exits(where, meta, model) if config.exits else None
    return Supernet(where, model, tokenizer, meta, space, datasets, encoded.select(rest), shuffled, exits)


def _shuffled(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, count]).permutation(count)


def ways_of(config: SearchConfig, supernet: Supernet) -> RunModes:
    """The latency tables by precision, and the thresholds to try. UserError when they do not belong together."""
    tables: dict[str, LatencyTable] = {}
    for path in config.latency_table or ():
        table = LatencyTable.load(path)
        table.check_shape(supernet.space.shape, f"--latency_table {path}")
        precision = table.setting["precision"]
        if precision in tables:
            raise UserError(f"--latency_table {path}: is a second one in {precision}; give one for each precision")
        tables[precision] = table
        _check_setting(path, table, next(iter(tables.values())))
        _check_exits(path, table, supernet.exits)
    if supernet.exits is None:
        return RunModes(tables)
    choices, count = supernet.task.choices, len(supernet.exits.layout.layers)
    tried = thresholds(
        config.exit_criterion or default_criterion(supernet.meta, supernet.task.num_labels),
        choices,
        count,
        kind=supernet.task.kind_name,
    )
    for policy in tried:
        check_threshold(policy.criterion, policy.threshold, choices, count)
    return RunModes(tables, tuple(tried))


def engines_of(config: SearchConfig, supernet: Supernet, ways: RunModes) -> dict[str, Engine]:
    """What answers in each precision but fp32, where the supernet's own answers are an export's.

    None on another kind of machine than the tables are of: there the supernet answers for all.
    """
    engines: dict[str, Engine] = {}
    drawn = np.random.default_rng(config.seed).permutation(len(supernet.train))[:_CALIBRATION]
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
                f"--latency_table {path}: is of {name} {table.setting[name]}, the first one of {first.setting[name]};"
                " their latencies cannot be compared"
            )


def _check_exits(path: str, table: LatencyTable, exits: Exits | None) -> None:
    if exits is not None and (table.exits is None or table.exits.head != exits.layout.head):
        raise UserError(
            f"--latency_table {path}: does not say what a {exits.layout.head} exit costs; measure it again with"
            " python -m ofa_bert latency --model and this supernet"
        )


def costs_of(ways: RunModes, shape: ModelShape, precision: str | None = None) -> Costs:
    """precision: of the exported file, where no table says one."""
    files = {name: Measurer.of(table.setting).file_precision for name, table in ways.tables.items()}
    return Costs(Given(shape, ways.tables, files, precision))


def budget_of(config: SearchConfig) -> Budget:
    return Budget(config.limits(), config.min_score)


def space_of(config: SearchConfig, space: SearchSpace) -> UnevenSpace:
    width = config.min_width or min(space.width_mults)
    depth = config.min_depth or min(space.depth_mults)
    return uneven_space(space.shape, width, depth)


def fingerprint(config: SearchConfig, supernet: Supernet) -> dict[str, Any]:
    """What the value of a sub-model depends on; a search that is continued must agree in it."""
    weights = locate(supernet.where, config.model_type).weights
    found = {"model": file_sha256(weights)[:16], "held_out": len(supernet.held_out), "task": supernet.task.name}
    if config.latency_table:
        found["latency_table"] = [file_sha256(path)[:16] for path in config.latency_table]
        found["exits"] = config.exits
    chosen = {name: getattr(config, name) for name in ("exit_criterion", "file_precision")}
    found.update({name: value for name, value in chosen.items() if value is not None})
    names = ("examples", "loss_weight", "min_width", "min_depth", "seed", "population", "min_score")
    return {
        **found,
        "cost": config.searched_cost(),
        **config.limits(),
        **{name: getattr(config, name) for name in names},
    }
