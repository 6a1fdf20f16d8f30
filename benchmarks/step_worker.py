"""One side of a training benchmark, in a process of its own. Started by turns.py, not by hand.

    python benchmarks/step_worker.py '<specification as JSON>' <port>

It builds the model, reports on the port, and runs one round of steps each time it is told to. A round is timed from
before its first step's forward to after its last step's optimizer; padding and tokenizing are done before.
"""

from __future__ import annotations

import copy
import json
import socket
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from ofa_bert.models import device  # noqa: E402
from ofa_bert.system import environment  # noqa: E402
from ofa_bert.system.machine import host_peak_mib  # noqa: E402

environment.prepare()  # before Paddle loads; OFA_BERT_ENVIRONMENT=off leaves everything as installed

STEPS = 10_000  # what the learning-rate schedule is laid out for; far more than are run
LEARNING_RATE = 2e-5


class StoppedError(Exception):
    """The other end asked for no more rounds."""


class Pace:
    """Hands a training loop its batches, one round per "go", and reports how long each round took."""

    def __init__(self, port: int, rank: int, batches: list, apply):
        self.file = socket.create_connection(("127.0.0.1", port)).makefile("rw", encoding="utf-8")
        self.rank, self.batches, self.apply = rank, batches, apply
        self.take_loss = lambda: float("nan")

    def tell(self, **message) -> None:
        self.file.write(json.dumps(message) + "\n")
        self.file.flush()

    def rounds(self):
        """Both loops ask for a batch when the step before is done, so a round ends with the request after it."""
        self.tell(rank=self.rank, tokens=sum(int(b.input_ids.size) for b in self.batches), peak_mb=host_peak_mib())
        while True:
            order = json.loads(self.file.readline() or '{"stop": true}')
            if "stop" in order:
                raise StoppedError
            self.apply(order)
            started = time.perf_counter()
            yield from self.batches[: order.get("steps")]
            seconds = time.perf_counter() - started
            self.tell(seconds=seconds, loss=self.take_loss(), peak_mb=host_peak_mib())

    # What loop.fit asks of TrainBatches: the rounds are one endless epoch.
    steps_per_epoch = STEPS

    def epoch(self, number: int, start: int = 0):
        return self.rounds()


def build(spec: dict):
    """A BERT classifier with random weights, the same in every process."""
    import paddle
    from paddlenlp.transformers import BertConfig, BertForSequenceClassification

    from ofa_bert.models.encoder import set_dropout

    shape = spec["shape"]
    paddle.seed(spec["seed"])
    config = BertConfig(
        vocab_size=shape["vocab_size"],
        hidden_size=shape["hidden_size"],
        num_hidden_layers=shape["num_layers"],
        num_attention_heads=shape["num_heads"],
        intermediate_size=shape["ffn_size"],
        max_position_embeddings=shape["max_positions"],
        num_labels=shape["num_labels"],
    )
    model = BertForSequenceClassification(config)
    if spec["dropout"] is not None:
        set_dropout(model, spec["dropout"])
    return model


def load_batches(spec: dict, bucket: bool, rank: int, world: int) -> list:
    """One round's batches of this process: arrays, padded."""
    import numpy as np

    from ofa_bert.data.encoding.batches import TrainBatches
    from ofa_bert.data.encoding.encoded import Encoded

    size = spec["batch"] // world
    rng = np.random.default_rng(spec["seed"])
    if spec["sst2"]:
        encoded = sst2(spec, rng)
    else:  # every sentence of full length, so that nothing is padding
        shape = [spec["batch"], spec["length"]]
        ids = rng.integers(1000 if spec["shape"]["vocab_size"] > 2000 else 5, spec["shape"]["vocab_size"], shape)
        encoded = Encoded(list(ids), list(np.zeros_like(ids)), rng.integers(0, 2, spec["batch"]))
    return list(TrainBatches(encoded, size, spec["seed"], 0, rank, world, bucket).epoch(0))


def sst2(spec: dict, rng):
    """`sentences` of SST-2's training sentences drawn by chance: the same ones for every side."""
    from ofa_bert.data.encoding.encoded import encode
    from ofa_bert.data.sources import load_datasets
    from ofa_bert.models.pretrained import load_tokenizer, locate

    examples = load_datasets(task_name="SST-2", data_dir=spec["sst2"]).train
    drawn = [examples[i] for i in rng.choice(len(examples), spec["sentences"], replace=False)]
    tokenizer = load_tokenizer(locate(spec["encoder"], "bert"), "bert", spec["shape"]["vocab_size"])
    return encode(drawn, tokenizer, 128, progress=False)


def run_ours(spec: dict, port: int) -> None:
    """ofa_bert.training.loop.fit with distil.supernet_step, as run_glue_ofa.py runs them."""
    from ofa_bert.submodels.values import SubModelConfig
    from ofa_bert.training import distributed, loop
    from ofa_bert.training.losses.classification import LOSSES
    from ofa_bert.training.settings import LoopSettings, OptimizerSettings
    from ofa_bert.training.supernet.step import Objective, supernet_step

    distributed.start("cpu")
    model = build(spec)
    teacher = copy.deepcopy(model)
    teacher.eval()
    model.train()
    sub_models, losses = [], []

    def apply(order: dict) -> None:
        sub_models[:] = [SubModelConfig.from_json(value) for value in order["sub_models"]]

    objective = Objective(LOSSES, lambda_logit=1.0, lambda_rep=0.1)
    plain_step = supernet_step(model, teacher, objective, lambda number: tuple(sub_models))

    def step(batch, number, backward):
        parts = plain_step(batch, number, backward)
        losses.append(parts["logit"] + 0.1 * parts["hidden"])
        return parts

    def take_loss() -> float:
        mean = sum(losses) / len(losses)
        losses.clear()
        return mean

    batches = load_batches(spec, True, distributed.rank(), distributed.world_size())
    pace = Pace(port, distributed.rank(), batches, apply)
    pace.take_loss = take_loss
    never = 10**9
    settings = LoopSettings(logging_steps=never, save_steps=never, seed=spec["seed"], device="cpu")
    plan = loop.Plan(STEPS, 0, (STEPS,))
    optimizer = loop.make_optimizer(OptimizerSettings(learning_rate=LEARNING_RATE), model, plan)
    loop.fit(settings, model, optimizer, pace, plan, step, checkpoint=lambda done: None)


def run_paddlenlp(spec: dict, port: int) -> None:
    """Trainer.compress(); see paddlenlp_flow.py. Random batches, padded to their longest, as in their scripts."""
    import paddle
    import paddlenlp_flow

    def tensors(batch, labels: bool) -> dict:
        found = {"input_ids": batch.input_ids, "token_type_ids": batch.token_type_ids}
        if labels:
            found["labels"] = batch.labels
        return {name: paddle.to_tensor(array) for name, array in found.items()}

    batches = load_batches(spec, False, 0, 1)
    losses = paddlenlp_flow.Losses()

    def apply(order: dict) -> None:
        losses.take()
        trainer.args.width_mult_list = order["widths"]

    pace = Pace(port, 0, batches, apply)
    pace.take_loss = losses.take
    loop = paddlenlp_flow.Loader(lambda: (tensors(batch, False) for batch in pace.rounds()), STEPS)
    # A single batch: importance and the teacher's evaluation are no part of what is timed.
    dev = paddlenlp_flow.Loader(lambda: iter([tensors(batches[0], True)]), 1)
    with tempfile.TemporaryDirectory() as folder:
        trainer = paddlenlp_flow.peer(build(spec), loop, dev, spec["widths"], STEPS, LEARNING_RATE, folder)
        trainer.compress()


def main() -> int:
    spec, port = json.loads(sys.argv[1]), int(sys.argv[2])
    device.select_device("cpu")
    try:
        {"ours": run_ours, "paddlenlp": run_paddlenlp}[spec["side"]](spec, port)
    except StoppedError:
        return 0
    return 1  # a loop that ends by itself was given too few steps


if __name__ == "__main__":
    sys.exit(main())
