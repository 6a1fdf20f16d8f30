"""A process of its own: steps of finetuning and of a supernet on a tiny model, whose weights are left in a file.

python -m ofa_bert.doctor.probes.train                                    one process, asked on standard input
python -m paddle.distributed.launch ... ofa_bert/doctor/probes/train.py '<request as JSON>'     several
"""

from __future__ import annotations

import copy
import json
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

if not __package__:  # started by its path: see ofa_bert/__main__.py
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from ofa_bert.errors import RunError
from ofa_bert.options import build
from ofa_bert.system import child_process, environment

if TYPE_CHECKING:
    from paddle import nn

    from ofa_bert.training.loop import Step

STEPS, ROWS, VOCABULARY = 4, 32, 64
_PARITY = 1e-4  # of the supernet's logits of the whole model and PaddleNLP's own; they are about 1
_WIDTHS = (1.0, 0.5)


def train(request: Mapping[str, object]) -> dict[str, object]:
    """First and last loss of both trainings. request: device, amp, and `target`, the file of weights to write."""
    from ofa_bert.models import device
    from ofa_bert.training import distributed

    where, amp = str(request["device"]), str(request["amp"])
    device.select_device(where)
    distributed.start(where)
    import numpy as np

    from ofa_bert.doctor.probes.models import bert

    start = bert(4, 32, 4, VOCABULARY)
    found: dict[str, object] = {"parity": _parity(start)}
    weights = {f"start/{name}": tensor.numpy() for name, tensor in start.state_dict().items()}
    for name, make in (("finetuning", _finetuning), ("supernet", _supernet)):
        model = copy.deepcopy(start)
        found[name] = _fit(name, model, make(model), where, amp)
        weights |= {f"{name}/{key}": tensor.numpy() for key, tensor in model.state_dict().items()}
    if distributed.is_main():
        np.savez(str(request["target"]), **weights)
    distributed.barrier()
    return found


def _parity(model: nn.Layer) -> float:
    """The largest difference of logits between the supernet's forward of the whole model and PaddleNLP's own."""
    import paddle

    from ofa_bert.data.encoding.batches import eval_batches
    from ofa_bert.doctor.probes.models import sentences
    from ofa_bert.models.supernet import forward, whole
    from ofa_bert.training.evaluation import stock_forward, to_tensors

    batch = to_tensors(next(iter(eval_batches(sentences(8, 4, 16, VOCABULARY), 8, 0))))
    with paddle.no_grad():
        ours = forward(model, batch.input_ids, batch.token_type_ids, whole(model)).logits
        apart = float((ours - stock_forward(model)(batch)).abs().max())
    if not apart <= _PARITY:
        raise RunError(f"the supernet's logits of the whole model are {apart:.1e} away from PaddleNLP's")
    return apart


def _finetuning(model: nn.Layer) -> Step:
    from ofa_bert.data.demo_task import TASK
    from ofa_bert.training.finetune import finetune_step
    from ofa_bert.training.losses.task import losses_of

    return finetune_step(model, losses_of(TASK))


def _supernet(model: nn.Layer) -> Step:
    from ofa_bert.data.demo_task import TASK
    from ofa_bert.models.encoder import shape_of
    from ofa_bert.submodels.values import uniform
    from ofa_bert.training.losses.task import losses_of
    from ofa_bert.training.supernet.step import Objective, supernet_step

    teacher = copy.deepcopy(model)
    teacher.eval()
    sub_models = tuple(uniform(shape_of(model), width) for width in _WIDTHS)
    return supernet_step(model, teacher, Objective(losses_of(TASK), 1.0, 0.1), lambda number: sub_models)


def _fit(name: str, model: nn.Layer, step: Step, where: str, amp: str) -> list[float]:
    """(first, last) loss of a few steps of the project's own loop on one batch; RunError when it does not fall."""
    from ofa_bert.data.encoding.batches import TrainBatches
    from ofa_bert.doctor.probes.models import sentences
    from ofa_bert.training import distributed, loop
    from ofa_bert.training.settings import LoopSettings, OptimizerSettings

    losses: list[float] = []

    def kept(batch, number, backward):
        parts = step(batch, number, backward)
        losses.append(distributed.share([sum(parts.values())])[0])
        return parts

    model.train()
    world = distributed.world_size()
    batches = TrainBatches(sentences(ROWS, 4, 16, VOCABULARY), ROWS // world, 0, 0, distributed.rank(), world)
    told = {"device": where, "amp": amp, "logging_steps": STEPS, "save_steps": STEPS}
    settings = build(LoopSettings, told)
    plan = loop.Plan(STEPS, 0, (STEPS,))
    # A large epsilon: AdamW's first steps are signs of gradients otherwise, and those of zero differ between devices.
    optimizer = loop.make_optimizer(OptimizerSettings(learning_rate=1e-3, adam_epsilon=1e-3), model, plan)
    loop.fit(settings, model, optimizer, batches, plan, kept, checkpoint=lambda done: None)
    if not losses[-1] < losses[0]:
        raise RunError(f"{name}: the loss went from {losses[0]:.4f} to {losses[-1]:.4f} in {STEPS} steps on one batch")
    return [losses[0], losses[-1]]


def launched() -> int:
    """One of several processes, which the launcher started."""
    environment.prepare()
    train(json.loads(sys.argv[1]))
    sys.stdout.flush()
    # Paddle's threads for gloo now and then abort the process while it is taken down.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(launched() if len(sys.argv) > 1 else child_process.answer(train))
