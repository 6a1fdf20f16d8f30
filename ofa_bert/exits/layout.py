"""Which head hangs after which layers."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ofa_bert.errors import UserError
from ofa_bert.exits.criteria import registry
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.tasks.task import Task

EXITS = "exits"  # the key in ofa_config.json, and exits.safetensors
HEADS = ("ramp", "attention")
HEAD_WIDTH, HEAD_PARTS = 128, 2  # of an attention head


@dataclass(frozen=True)
class ExitLayout:
    """Which head hangs after which layers."""

    head: str
    layers: tuple[int, ...]

    def to_json(self) -> dict[str, object]:
        return {**asdict(self), "layers": list(self.layers)}

    def points(self, sub_model: SubModelConfig) -> tuple[tuple[int, int], ...]:
        """(place among the sub-model's kept layers, layer) of every exit that it has before its last layer."""
        return tuple((i, layer) for i, layer in enumerate(sub_model.layers[:-1]) if layer in self.layers)


def check_one_answer(task: Task) -> None:
    """UserError for a task in which no single text has an answer, so that none can leave early with it."""
    if not task.kind.exits:
        raise UserError(
            f"early exits: task {task.name} has {task.kind.word}, where a text has no answer of its own; train the"
            " model without exits"
        )


def default_criterion(training: str, choices: int) -> str:
    """What a threshold is compared with unless the user says: by how the exits were trained, and for what."""
    return registry.default(training, choices == 1).name
