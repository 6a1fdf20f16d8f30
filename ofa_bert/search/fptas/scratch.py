"""Whole shapes trained from random weights, as in Bort: every candidate on the same n batches with T's outputs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import paddle
from paddle import nn

from ofa_bert.data.encoding.batches import Batch, TrainBatches
from ofa_bert.latency.device import VOCABULARY, Measurer
from ofa_bert.models.encoder import answers_per_token, family_of
from ofa_bert.models.families.paddlenlp import PaddleConfig, changed
from ofa_bert.models.families.registry import model_class
from ofa_bert.models.operators import backward
from ofa_bert.progress import Progress
from ofa_bert.runtime.backends.registry import first_for
from ofa_bert.search.costs.flops import COST as FLOPS
from ofa_bert.search.costs.latency import COST as LATENCY
from ofa_bert.search.costs.parameters import COST as PARAMETERS
from ofa_bert.search.fptas.limits import within_limits
from ofa_bert.search.fptas.walk import Problem, StepCounter
from ofa_bert.search.job import FptasSettings, ScratchSettings
from ofa_bert.search.setup import Supernet
from ofa_bert.submodels.shape import DEPTHS, FFN, HEADS, HIDDEN, Shape, Surroundings, operations, parameters, shapes
from ofa_bert.system.accelerator import Device
from ofa_bert.training import loop
from ofa_bert.training.evaluation import predict, stock_forward, to_tensors
from ofa_bert.training.losses.task import for_batch, losses_of
from ofa_bert.training.settings import LoopSettings, OptimizerSettings
from ofa_bert.training.setup import trained_on


def scratch_problem(
    settings: FptasSettings, supernet: Supernet, drawn: Drawn, limits: Mapping[str, float], device: Device
) -> Problem[Shape]:
    full, scratch = supernet.space.shape, settings.scratch
    candidates = shapes(
        settings.depths or DEPTHS, settings.heads or HEADS, scratch.hidden or HIDDEN, settings.ffn or FFN
    )
    top = Shape(full.num_layers, full.num_heads, full.hidden_size, full.ffn_size)
    around = Surroundings(
        full.vocab_size,
        full.max_positions,
        full.type_vocab_size,
        full.num_labels,
        pooler=full.per_token != 1,
        embedding_size=full.embedding_size,
        per_token=bool(full.per_token),
    )
    times = _measured(supernet, [*candidates, top], device) if scratch.measure_time else {}
    costs: dict[str, Callable[[Shape], float]] = {
        PARAMETERS.name: lambda shape: parameters(shape, around),
        FLOPS.name: lambda shape: operations(shape, around),
        LATENCY.name: lambda shape: times[shape],
    }
    candidates = within_limits(candidates, limits, costs)
    return Problem(
        candidates,
        top,
        lambda shape: parameters(shape, around),
        (lambda shape: times[shape]) if times else (lambda shape: operations(shape, around)),
        Trainer(supernet, drawn, scratch).error,
        scratch.max_steps,
        [{"learning_rate": rate} for rate in scratch.learning_rates],
    )


def fresh(supernet: Supernet, shape: Shape, vocab_size: int | None = None) -> nn.Layer:
    """A classifier of that shape with random weights, otherwise configured as the supernet."""
    config: PaddleConfig = supernet.model.config
    return model_class(supernet.record.model_type, answers_per_token(supernet.model))(
        changed(
            config,
            num_hidden_layers=shape.depth,
            num_attention_heads=shape.heads,
            hidden_size=shape.hidden,
            **family_of(supernet.model).sizes_of(shape.hidden),
            intermediate_size=shape.ffn,
            vocab_size=config.vocab_size if vocab_size is None else vocab_size,
        )
    )


@dataclass(frozen=True)
class Drawn:
    """The n batches that every candidate trains on, with the outputs of T, which are computed once for all of them."""

    seed: int
    batches: Sequence[Batch]
    wanted: Sequence[np.ndarray]
    examples: int  # so many of the held-out ones, the first
    held_out_wanted: np.ndarray  # of those


def drawn_of(supernet: Supernet, seed: int, batch_size: int, steps: int, examples: int) -> Drawn:
    pad = supernet.pad_id
    source = TrainBatches(trained_on(supernet.task, supernet.train), batch_size, seed, pad)
    stream = itertools.chain.from_iterable(source.epoch(number) for number in itertools.count())
    batches = list(itertools.islice(stream, steps))
    run = stock_forward(supernet.model)
    supernet.model.eval()
    with paddle.no_grad():
        wanted = [run(to_tensors(batch)).numpy() for batch in Progress(batches, desc="outputs of T", unit="batch")]
    examples = min(examples, supernet.held_out.examples)
    held_out = supernet.held_out.take(range(examples))
    answers = held_out.by_example(predict(run, held_out, supernet.task.num_labels, pad))
    return Drawn(seed, batches, wanted, examples, answers)


@dataclass(frozen=True)
class Trainer:
    """Trains candidates."""

    supernet: Supernet
    drawn: Drawn
    settings: ScratchSettings

    def error(self, shape: Shape, theta: Mapping[str, float], counter: StepCounter) -> float:
        """e of a shape after training, on held-out examples."""
        losses = losses_of(self.supernet.task)
        paddle.seed(self.drawn.seed)
        model = fresh(self.supernet, shape)
        loops = LoopSettings(max_steps=self.settings.max_steps, warmup_proportion=0.0, seed=self.drawn.seed)
        adam = OptimizerSettings(learning_rate=theta["learning_rate"])
        optimizer = loop.make_optimizer(adam, model, loop.make_plan(loops, loops.max_steps))
        model.train()
        for batch, wanted in zip(map(to_tensors, self.drawn.batches), self.drawn.wanted):
            counter.step()
            backward(for_batch(losses, batch).logit(stock_forward(model)(batch), paddle.to_tensor(wanted)))
            optimizer.step()
            optimizer.clear_grad(set_to_zero=False)
            optimizer._learning_rate.step()
        model.eval()
        held_out = self.supernet.held_out.take(range(self.drawn.examples))
        rows = predict(stock_forward(model), held_out, self.supernet.task.num_labels, self.supernet.pad_id)
        logits = held_out.by_example(rows)
        return self.supernet.task.kind.cross_entropy(self.drawn.held_out_wanted, logits)


def _measured(supernet: Supernet, every: Sequence[Shape], device: Device) -> dict[Shape, float]:
    """i by measurement: milliseconds of one sentence, each different layer measured once, at two depths."""
    measurer = Measurer("cpu" if device == "cpu" else "gpu", first_for("paddle"), "fp32", None, 1, 128, 30)

    def build(shape: Shape) -> Callable[[], nn.Layer]:
        return lambda: fresh(supernet, shape, vocab_size=VOCABULARY)

    low, high = min(s.depth for s in every), max(s.depth for s in every)
    kinds = dict.fromkeys((s.heads, s.hidden, s.ffn) for s in every)
    ends = {str(s): s for kind in kinds for s in (Shape(low, *kind), Shape(high, *kind))}
    around = Surroundings(VOCABULARY)
    sizes = {name: 4 * parameters(shape, around) for name, shape in ends.items()}
    found = measurer.measure(
        {name: build(shape) for name, shape in ends.items()}, sizes, min(sizes, key=lambda name: sizes[name])
    )

    def time(shape: Shape) -> float:
        first, last = (found[str(Shape(depth, shape.heads, shape.hidden, shape.ffn))] for depth in (low, high))
        return first if low == high else first + (last - first) * (shape.depth - low) / (high - low)

    slowest = max(time(shape) for shape in every)
    # T is the slowest: where noise says otherwise, it is.
    return {shape: slowest if shape == every[-1] else time(shape) for shape in every}
