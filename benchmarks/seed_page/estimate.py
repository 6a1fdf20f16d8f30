"""How much there is to compute, before anything is: optimizer steps, operations, and hours at a given rate.

An upper bound: it counts every text as long as `max_seq_length`, and the short ones are cheaper.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ofa_bert.errors import UserError
from ofa_bert.files.fields import Fields
from ofa_bert.files.reading import read_object
from ofa_bert.submodels.counting import count_flops
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.values import ModelShape
from seed_page import figures, plan

# Rows of GLUE's official files: of train, and of dev altogether.
_ROWS = {
    "sst-2": (67349, 872),
    "qnli": (104743, 5463),
    "cola": (8551, 1043),
    "mrpc": (3668, 408),
    "sts-b": (5749, 1500),
    "qqp": (363846, 40430),
    "mnli": (392702, 19647),
    "rte": (2490, 277),
}
# Layers, hidden size, heads and FFN neurons of the models that are known by their names.
_SHAPES = {
    "bert-base-uncased": (12, 768, 12, 3072),
    "tinybert-6l-768d-v2-en": (6, 768, 12, 3072),
    "tinybert-6l-768d-en": (6, 768, 12, 3072),
    "tinybert-4l-312d-v2-en": (4, 312, 12, 1200),
    "tinybert-4l-312d-en": (4, 312, 12, 1200),
}
_SIZES = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size")
_BACKWARD = 3  # a training step costs as much as three forward passes


@dataclass(frozen=True)
class Work:
    """Optimizer steps, and floating-point operations; None for a model whose shape is not known yet."""

    steps: int
    operations: float | None

    def hours(self, teraflops: float) -> float | None:
        return None if self.operations is None else self.operations / (teraflops * 1e12) / 3600


def training(run: plan.Run, choice: plan.Choice, settings: plan.Settings) -> tuple[Work, Work]:
    """Of a run's finetuning and of its supernet, evaluations counted."""
    train, dev = rows(run.task, settings.data_dir)
    per_epoch = -(-train // settings.batch_size)
    first, second = (round(epochs * per_epoch) for epochs in (settings.finetune_epochs, settings.supernet_epochs))
    costs = _forward(choice.models[run.model], settings.max_seq_length)
    if costs is None:
        return Work(first, None), Work(second, None)
    full, each = costs[0], sum(costs)
    batch = settings.batch_size
    finetune = first * batch * _BACKWARD * full + _evaluations(first, settings.finetune_save_steps) * dev * full
    supernet = second * batch * (full + _BACKWARD * each)
    supernet += _evaluations(second, settings.supernet_save_steps) * dev * each + dev * full
    return Work(first, finetune), Work(second, supernet)


def _evaluations(steps: int, every: int) -> int:
    return -(-steps // every)


def rows(task: str, data_dir: str | None) -> tuple[int, int]:
    """(of train, of dev); lines are counted, which quoted line breaks make too many of, in the files that are given."""
    if data_dir is None:
        return _ROWS[task]
    directory = plan.data_directory(data_dir, task)
    header = 0 if task == "cola" else 1
    return _lines(directory / "train.tsv") - header, sum(_lines(path) - header for path in directory.glob("dev*.tsv"))


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


def _forward(model: str, length: int) -> list[float] | None:
    """Operations for one text at every width, the full one first."""
    shape = _shape(model)
    if shape is None:
        return None
    space = SearchSpace(shape, width_mults=tuple(map(float, figures.WIDTHS)))
    return [count_flops(shape, space.sub_model(float(width)), length) for width in figures.WIDTHS]


def _shape(model: str) -> ModelShape | None:
    config = Path(model) / "config.json"
    try:
        sizes = _SHAPES.get(model.lower()) or _stated(config)
        layers, hidden, heads, ffn = sizes
        return ModelShape(layers, hidden, heads, hidden // heads, ffn, 30522, 512, 2, 2)
    except UserError:
        return None


def _stated(config: Path) -> tuple[int, int, int, int]:
    if not config.is_file():
        raise UserError(f"{config}: is not there")
    fields = Fields(read_object(config), str(config))
    layers, hidden, heads, ffn = (fields.whole(name, least=1, most=1_000_000) for name in _SIZES)
    return layers, hidden, heads, ffn
