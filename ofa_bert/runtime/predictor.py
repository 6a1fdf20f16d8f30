"""Text in, labels and probabilities out: a bundle as a Python object, without Paddle or any training code.

from ofa_bert.runtime import Predictor

with Predictor("SST-2-small-static", precision="int8", workers=4) as predictor:
    for prediction in predictor.predict(["a fine film", "a dull one"]):
        ...  # prediction.label, prediction.probability
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ofa_bert.bundle.exits import plan_of
from ofa_bert.bundle.manifest import read_manifest
from ofa_bert.data.batches import plan_batches
from ofa_bert.errors import RunError, UserError
from ofa_bert.exits.loop import POOL_BATCHES, Answers
from ofa_bert.runtime.backends.tensorrt import Profile
from ofa_bert.runtime.exits import open_exits
from ofa_bert.runtime.opening import open_model
from ofa_bert.runtime.texts import Text, check_texts
from ofa_bert.runtime.tokenizer import load_text_encoder
from ofa_bert.runtime.workers import Batch, WorkerPool
from ofa_bert.system import environment

CHUNK = 4096  # texts that are tokenized and sorted by length together
# Tokens of a batch. On one core, 12 layers x 384 at width 2/3, batches of 8 x 50 tokens were the fastest: larger ones
# leave the caches, smaller ones read the weights too often.
CPU_TOKENS = 512  # per thread
GPU_TOKENS = 16384


@dataclass(frozen=True)
class Prediction:
    """What the model says about one text. A class with its probability, or the value of a regression."""

    label: str | None  # None for a regression
    probability: float | None  # of that label
    value: float | None  # None for classes
    probabilities: tuple[float, ...]  # of all labels, in the order of Predictor.labels; empty for a regression
    exit_layer: int | None = None  # layers that ran for it, when the Predictor has an exit_threshold


class Predictor:
    """A bundle, ready to answer. Close it, or use it in a `with`, when it has workers."""

    def __init__(
        self,
        bundle: str | Path,
        backend: str = "auto",
        precision: str = "fp32",
        threads: int | None = None,
        workers: int = 0,
        device: str = "cpu",
        provider: str | None = None,
        batch_size: int = 64,
        max_tokens_per_batch: int | None = None,
        profile: Profile | None = None,
        exit_threshold: float | str | None = None,
        exit_mode: str | None = None,
        exit_criterion: str | None = None,
    ):
        """backend, precision, device, provider, profile: see opening.open_model.

        workers: processes that compute side by side, each on its own cores; 0 computes in this one.
        threads: per process; unless given, all usable cores, divided among the workers.
        batch_size, max_tokens_per_batch: a batch has at most so many texts, and so many tokens with its padding;
        unless given, as many tokens as compute fastest: few on a CPU, many on a GPU.
        exit_threshold, exit_mode, exit_criterion: early exits, see exits.plan_of; without a threshold the whole
        model runs for every text.
        """
        numbers = {"threads": threads, "batch_size": batch_size, "max_tokens_per_batch": max_tokens_per_batch}
        for name, value in numbers.items():
            if value is not None and value < 1:
                raise UserError(f"{name} {value}: must be above 0")
        if workers < 0:
            raise UserError(f"workers {workers}: must not be negative; 0 computes in this process")
        self.manifest = read_manifest(bundle)
        count = self.manifest["num_labels"]
        regression = count == 1 and not self.manifest["labels"]
        self.labels = () if regression else tuple(self.manifest["labels"] or map(str, range(count)))
        self._encode = load_text_encoder(bundle, self.manifest)
        self._precision = precision
        self._lock = threading.Lock()  # a Paddle predictor and the workers answer one caller at a time
        self._parts = workers or 1
        on_cpu = device == "cpu" and provider in (None, "cpu")
        used = threads or max(1, environment.cores() // self._parts)
        self._limits = batch_size, max_tokens_per_batch or (CPU_TOKENS * used if on_cpu else GPU_TOKENS)
        how = {"bundle": str(bundle), "backend": backend, "precision": precision, "device": device}
        how["provider"] = provider
        self._exits = exit_threshold is not None
        opener = open_model
        if self._exits:
            plan = plan_of(bundle, self.manifest, exit_threshold, exit_mode, exit_criterion)
            how.update(threshold=exit_threshold, mode=exit_mode, criterion=exit_criterion, limits=self._limits)
            opener = open_exits
            # What runs is given many batches at once and makes full ones of the samples that stay.
            rows, tokens = self._limits
            together = (
                (CHUNK, CHUNK * tokens) if plan.table is not None else (rows * POOL_BATCHES, tokens * POOL_BATCHES)
            )
            self._limits = together
        elif exit_mode or exit_criterion:
            raise UserError("exit_mode and exit_criterion are for early exits; give an exit_threshold with them")
        else:
            how["profile"] = profile
        self._model = self._pool = None
        if workers:
            self._pool = WorkerPool(workers, how, threads, f"{opener.__module__}:{opener.__name__}")
        else:
            self._model = opener(threads=threads, **how)

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """End the workers and let go of the model."""
        if self._pool is not None:
            self._pool.close()
        self._model = self._pool = None

    def predict(self, texts: Sequence[Text], progress: bool = False) -> list[Prediction]:
        """One prediction per text, or per pair of texts (a tuple of two), in their order."""
        answers = self.answers(texts, progress)
        logits = answers.logits.astype(np.float64)  # [N, C]
        layers = answers.layers.tolist() if self._exits else [None] * len(logits)
        if not self.labels:
            return [Prediction(None, None, float(value), (), layer) for (value,), layer in zip(logits, layers)]
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True, initial=-np.inf))
        probabilities = powers / powers.sum(axis=-1, keepdims=True)  # [N, C]
        return [
            Prediction(self.labels[best], float(row[best]), None, tuple(map(float, row)), layer)
            for row, best, layer in zip(probabilities, probabilities.argmax(axis=-1), layers)
        ]

    def logits(self, texts: Sequence[Text], progress: bool = False) -> np.ndarray:
        """[N, C] float32 in the order of the texts."""
        return self.answers(texts, progress).logits

    def answers(self, texts: Sequence[Text], progress: bool = False) -> Answers:
        """Logits [N, C] float32 and the layers [N] that ran, in the order of the texts; layers 0: all, no exits."""
        if self._model is None and self._pool is None:
            raise UserError("this Predictor is closed; make another one")
        texts = check_texts(texts, self.manifest)
        answers = Answers.empty(len(texts), self.manifest["num_labels"])
        with self._lock, tqdm(total=len(texts), desc="predict", unit="text", disable=not progress) as bar:
            members: dict[int, np.ndarray] = {}
            for key, found in self._run(self._batches(texts, members)):
                if not np.isfinite(found).all():
                    raise RunError(f"the model answers with numbers that are not finite in {self._precision}; try fp32")
                rows = members.pop(key)
                answers.logits[rows] = found[:, : answers.logits.shape[1]]
                if self._exits:
                    answers.layers[rows] = found[:, -1]
                bar.update(len(rows))
        return answers

    def _run(self, batches: Iterable[Batch]) -> Iterator[tuple[int, np.ndarray]]:
        if self._pool is not None:
            return self._pool.run(batches)
        model = self._model
        return ((batch.key, model.run(batch.input_ids, batch.token_type_ids)) for batch in batches)

    def _batches(self, texts: Sequence[Text], members: dict[int, np.ndarray]) -> Iterator[Batch]:
        """Padded batches of texts of about one length; `members` remembers which texts are in the batch of a key."""
        rows, tokens = self._limits
        for start in range(0, len(texts), CHUNK):
            input_ids, token_type_ids = self._encode(texts[start : start + CHUNK])
            lengths = np.asarray([len(ids) for ids in input_ids])
            # A short list still gives every worker something to do.
            for group in plan_batches(lengths, min(rows, -(-len(lengths) // self._parts)), tokens):
                key = start + int(group[0])
                members[key] = start + group
                shape = len(group), lengths[group[0]]
                batch = Batch(key, np.full(shape, self.manifest["pad_token_id"]), np.zeros(shape, np.int64))
                for row, text in enumerate(group):
                    batch.input_ids[row, : lengths[text]] = input_ids[text]
                    batch.token_type_ids[row, : lengths[text]] = token_type_ids[text]
                yield batch
