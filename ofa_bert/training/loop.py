"""The one training loop. Finetuning and supernet training differ in their step, not in their loop."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import paddle
from paddle import nn

from ofa_bert.data.encoding.batches import Batch
from ofa_bert.errors import RunError
from ofa_bert.models import operators
from ofa_bert.progress import Progress
from ofa_bert.system import interrupts
from ofa_bert.training import distributed
from ofa_bert.training.evaluation import to_tensors
from ofa_bert.training.settings import LoopSettings, OptimizerSettings

logger = logging.getLogger(__name__)

# (batch, optimizer step, backward) -> the step's losses by name. It calls `backward(loss)` for each of its losses.
Step = Callable[[Batch, int, Callable[[paddle.Tensor], None]], "dict[str, float]"]
# (steps done, mean losses by name, learning rate, steps per second), every logging_steps.
Tell = Callable[[int, Mapping[str, float], float, float], None]


class Batches(Protocol):
    """What a loop goes through: `data.encoding.batches.TrainBatches`, `data.corpus.Corpus`."""

    @property
    def steps_per_epoch(self) -> int: ...

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]: ...


@dataclass(frozen=True)
class Plan:
    """How many optimizer steps there are, and where each training stage ends."""

    total_steps: int
    warmup_steps: int
    stage_ends: tuple[int, ...]  # ascending; the last one is total_steps
    epoch_steps: int = 1  # optimizer steps in one pass over the data, rounded up

    def learning_rate_factor(self, step: int) -> float:
        """Linear warm-up, then linear decay to 0, anew in every stage."""
        begin = 0
        for end in self.stage_ends:
            if step < end:
                break
            begin = end
        else:
            return 0.0
        length, done = end - begin, step - begin
        warmup = min(self.warmup_steps, max(0, length - 1))
        if done < warmup:
            return (done + 1) / (warmup + 1)
        return (length - done) / (length - warmup)


def make_plan(settings: LoopSettings, batches_per_epoch: int, stage_shares: Sequence[float] = ()) -> Plan:
    """`stage_shares`: the share of all steps that each stage but the last gets."""
    per_epoch = batches_per_epoch / settings.gradient_accumulation_steps
    total = settings.max_steps if settings.max_steps > 0 else max(1, math.ceil(settings.num_train_epochs * per_epoch))
    ends = [max(1, round(total * sum(stage_shares[: i + 1]))) for i in range(len(stage_shares))]
    shortest = min(b - a for a, b in zip([0, *ends], [*ends, total]))
    warmup = settings.warmup_steps or int(settings.warmup_proportion * shortest)
    return Plan(total, warmup, (*ends, total), math.ceil(per_epoch))


class JointLayers(nn.Layer):
    """Several layers as one set of parameters, for an optimizer and a checkpoint of all of them; None is left out."""

    def __init__(self, **parts: nn.Layer | None) -> None:
        super().__init__()
        for name, part in parts.items():
            if part is not None:
                setattr(self, name, part)


def make_optimizer(settings: OptimizerSettings, model: nn.Layer, plan: Plan) -> paddle.optimizer.AdamW:
    """AdamW without decay on biases and LayerNorms, with global-norm clipping, on the plan's schedule."""
    schedule = paddle.optimizer.lr.LambdaDecay(settings.learning_rate, plan.learning_rate_factor)
    decayed = {
        parameter.name
        for name, parameter in model.named_parameters()
        if not name.endswith("bias") and "norm" not in name
    }
    clip = nn.ClipGradByGlobalNorm(settings.max_grad_norm) if settings.max_grad_norm > 0 else None
    return paddle.optimizer.AdamW(
        learning_rate=schedule,
        epsilon=settings.adam_epsilon,
        parameters=model.parameters(),
        weight_decay=settings.weight_decay,
        apply_decay_param_fun=lambda name: name in decayed,
        grad_clip=clip,
    )


def fit(
    settings: LoopSettings,
    model: nn.Layer,
    optimizer: paddle.optimizer.AdamW,
    batches: Batches,
    plan: Plan,
    step: Step,
    checkpoint: Callable[[int], object],
    first_step: int = 0,
    label: str = "train",
    every: int | None = None,
    tell: Tell | None = None,
) -> None:
    """Run the steps from `first_step` on; call `checkpoint(steps done)` every save_steps and at the end.

    every: steps between two checkpoints, in place of save_steps. A checkpoint that returns True ends the training.
    tell: hears what the log says.

    Everything random in a step follows from (seed, step, process), so a resumed run repeats an uninterrupted one.
    """
    parameters = list(model.parameters())
    scaler = paddle.amp.GradScaler(enable=settings.amp == "fp16")
    stream = _stream(batches, first_step * settings.gradient_accumulation_steps)
    window: list[dict[str, float]] = []
    started = time.monotonic()
    bar = Progress(
        total=plan.total_steps, initial=first_step, desc=label, unit="step", disable=not distributed.is_main()
    )

    def backward(loss: paddle.Tensor) -> None:
        operators.backward(scaler.scale(loss / settings.gradient_accumulation_steps))

    with bar:
        for number in range(first_step, plan.total_steps):
            paddle.seed(step_seed(settings.seed, number, distributed.rank()))
            for _ in range(settings.gradient_accumulation_steps):
                with paddle.amp.auto_cast(enable=settings.amp != "off", dtype=_AMP_DTYPE.get(settings.amp, "float16")):
                    window.append(step(to_tensors(next(stream)), number, backward))
            distributed.average_gradients(parameters)
            scaler.step(optimizer)
            scaler.update()
            optimizer.clear_grad(set_to_zero=False)
            optimizer._learning_rate.step()
            bar.update()
            done = number + 1
            if done % settings.logging_steps == 0 or done == plan.total_steps:
                losses, speed = _means(window, done), (done - first_step) / (time.monotonic() - started)
                _log(done, plan, losses, optimizer.get_lr(), speed, bar)
                if tell is not None:
                    tell(done, losses, optimizer.get_lr(), speed)
                window.clear()
            ended = False
            if done % (every or settings.save_steps) == 0 or done == plan.total_steps:
                ended = checkpoint(done) is True
            interrupts.check()
            if ended:
                break


_AMP_DTYPE = {"bf16": "bfloat16", "fp16": "float16"}


def step_seed(seed: int, step: int, rank: int) -> int:
    """A 31-bit seed for one step of one process: neighbours must not be correlated, so the numbers are mixed."""
    mixed = (seed * 0x9E3779B1 + step * 0x85EBCA77 + rank * 0xC2B2AE3D) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    return ((mixed ^ (mixed >> 15)) * 0x846CA68B & 0xFFFFFFFF) >> 1


def _stream(batches: Batches, first: int) -> Iterator[Batch]:
    """Batches without end, from the `first` one of the whole run on."""
    epoch, start = divmod(first, batches.steps_per_epoch)
    while True:
        yield from batches.epoch(epoch, start)
        epoch, start = epoch + 1, 0


def _means(window: Sequence[Mapping[str, float]], done: int) -> dict[str, float]:
    """Of each loss over the steps of all processes; RunError when one is no number any more."""
    names = sorted({name for losses in window for name in losses})
    means = [_mean(losses[name] for losses in window if name in losses) for name in names]
    means = distributed.share(means)
    if not all(math.isfinite(value) for value in means):
        raise RunError(
            f"the loss became NaN or infinite by step {done}: training diverged; try a lower `learning_rate`"
        )
    return dict(zip(names, means))


def _log(done: int, plan: Plan, losses: Mapping[str, float], rate: float, speed: float, bar: Progress) -> None:
    text = "  ".join(f"{name} {value:.4f}" for name, value in losses.items())
    bar.set_postfix_str(text[:60])
    logger.info("step %d/%d  %s  lr %.2e  %.2f steps/s", done, plan.total_steps, text, rate, speed)


def _mean(values: Iterator[float]) -> float:
    items = list(values)
    return sum(items) / len(items)
