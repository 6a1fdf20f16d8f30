"""Text in, labels and probabilities out: a bundle as a Python object, without Paddle or any training code.

from ofa_bert.runtime import Predictor

with Predictor("SST-2-small-static", precision="int8", workers=4) as predictor:
    for prediction in predictor.predict(["a fine film", "a dull one"]):
        ...  # prediction.label, prediction.probability
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa_bert.bundle.exits import FROM_POLICY, plan_of
from ofa_bert.bundle.manifest import Bundle, open_bundle
from ofa_bert.data.encoding.batches import plan_batches
from ofa_bert.errors import RunError, UserError
from ofa_bert.exits.criteria.registry import CRITERIA
from ofa_bert.exits.loop import POOL_BATCHES, Answers
from ofa_bert.exits.policy import MODES
from ofa_bert.numerics import Ints
from ofa_bert.progress import Progress
from ofa_bert.runtime.answering.collecting import Collector, Rows, WindowRows, WordAnswers, WordRows
from ofa_bert.runtime.answering.grouped import Ranked, check_questions, check_ranks, ranked, rows_of
from ofa_bert.runtime.arguments import path, seconds, shown, whole_number, word
from ofa_bert.runtime.backends.base import CPU, Logits
from ofa_bert.runtime.backends.tensorrt import Profile
from ofa_bert.runtime.exits import ExitModel, open_exits
from ofa_bert.runtime.opening import MOST_THREADS, Backend, open_model, resolve
from ofa_bert.runtime.processes import check_process
from ofa_bert.runtime.texts import Text, check_texts
from ofa_bert.runtime.tokenizer import load_text_encoder
from ofa_bert.runtime.workers import TIMEOUT, Answered, Batch, WorkerPool
from ofa_bert.system import environment
from ofa_bert.tasks.groups import regrouped
from ofa_bert.tasks.kinds.base import Entity, Extract
from ofa_bert.tasks.questions import Question

CHUNK = 4096  # texts that are tokenized and sorted by length together
# Tokens of a batch. On one core, 12 layers x 384 at width 2/3, batches of 8 x 50 tokens were the fastest: larger ones
# leave the caches, smaller ones read the weights too often.
CPU_TOKENS = 512  # per thread
GPU_TOKENS = 16384
Choices = tuple[str, Sequence[str]]  # a text and what may follow it


@dataclass(frozen=True)
class Prediction:
    """What the model says about one text: a class with its probability, a number, a set of labels, or entities.

    >>> from ofa_bert import Predictor
    >>> with Predictor("bundle") as predictor:
    ...     (prediction,) = predictor.predict(["the film was good"])
    >>> prediction.label, round(sum(prediction.probabilities), 6), prediction.value
    ('good', 1.0, None)
    """

    label: str | None  # a class
    probability: float | None  # of that class
    value: float | None  # a number
    probabilities: tuple[float, ...]  # of all labels, in the order of Predictor.labels; empty for a number
    exit_layer: int | None = None  # layers that ran for it, when the Predictor has an exit_threshold
    labels: tuple[str, ...] | None = None  # a set; empty where no label is likely enough
    choice: int | None = None  # of those that a question gives, from 0; probabilities are then of these
    entities: tuple[Entity, ...] | None = None  # parts of the text, in its order
    extract: Extract | None = None  # the answer to a question, where it stands in its context


class Predictor:
    """A bundle, ready to answer. Close it, or use it in a `with`, when it has workers.

    Needs no Paddle, but for bundles that are nothing else. Raises UserError for a bundle, a back end or a device that
    cannot work.

    >>> from ofa_bert import Predictor
    >>> with Predictor("bundle", threads=1) as predictor:
    ...     predictor.labels, predictor.logits(["the film was good", "a dull plot"]).shape  # float32 [N, C]
    (('bad', 'good'), (2, 2))
    """

    def __init__(
        self,
        bundle: str | Path | Bundle,
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
        timeout: float = TIMEOUT,
        exit_drop: float | None = None,
    ):
        """bundle: its directory, which is read and checked; or one that was opened, which is not read again.
        backend: onnx_runtime, openvino, paddle_inference or tensorrt_engine; auto: the first that is installed and has
        a file here that fits.
        precision: what to compute in: fp32, or another that the bundle was exported with.
        device: cpu or gpu.
        provider: how a GPU is used; unless given, cuda.
        profile: the shapes that TensorRT compiles for; unless given, all up to the bundle's longest input.
        workers: processes that compute side by side, each on its own cores; 0 computes in this one.
        threads: per process; unless given, all usable cores, divided among the workers.
        batch_size, max_tokens_per_batch: a batch has at most so many texts, and so many tokens with its padding;
        unless given, as many tokens as compute fastest: few on a CPU, many on a GPU.
        exit_threshold: of early exits: a number, or "policy" for what was chosen before the export; without one the
        whole model runs for every text.
        exit_mode: threshold, or predicted; unless given, the policy's, and threshold for a number.
        exit_criterion: what a number is compared with; unless given, the policy's, or what the exits were trained for.
        exit_drop: instead of exit_threshold: the fastest threshold of the bundle's policy that promises to lose at most
        so much of the score (0.01: one point), with the confidence and on the texts that it was chosen with.
        timeout: seconds that a worker may take for a batch; then another one does it.
        """
        bundle = bundle if isinstance(bundle, Bundle) else path("bundle", bundle)
        workers = whole_number("workers", workers, 0, MOST_THREADS)
        self._parts = workers or 1
        if threads is not None:
            threads = whole_number("threads", threads, 1, MOST_THREADS // self._parts)
        batch_size = whole_number("batch_size", batch_size, 1)
        if max_tokens_per_batch is not None:
            max_tokens_per_batch = whole_number("max_tokens_per_batch", max_tokens_per_batch, 1)
        timeout = seconds("timeout", timeout)
        if profile is not None and not isinstance(profile, Profile):
            raise UserError(f"profile {shown(profile)}: must be a Profile of ofa_bert.runtime.backends.tensorrt")
        provider = resolve(backend, precision, device, provider)
        _check_exits(exit_threshold, exit_mode, exit_criterion, exit_drop)
        bundle = open_bundle(bundle)  # read and checked here alone: what is opened below is given it
        self.manifest = bundle.manifest
        self.task = self.manifest.decided_task
        self.labels = self.task.labels
        self._encode = load_text_encoder(bundle.path, self.manifest.max_seq_length)
        self._precision = precision
        self._owner = os.getpid()
        self._lock = threading.Lock()  # a Paddle predictor and the workers answer one caller at a time
        used = threads or max(1, environment.cores() // self._parts)
        tokens = max_tokens_per_batch or (CPU_TOKENS * used if provider == CPU else GPU_TOKENS)
        how: dict[str, object] = {"bundle": bundle, "backend": backend, "precision": precision, "device": device}
        how["provider"] = provider
        self._exits = exit_threshold is not None or exit_drop is not None
        opener: Callable[..., Backend | ExitModel] = open_model
        if self._exits:
            opener = open_exits
            asked = {"threshold": exit_threshold, "mode": exit_mode, "criterion": exit_criterion, "drop": exit_drop}
            plan = plan_of(bundle, exit_threshold, exit_mode, exit_criterion, exit_drop)
            how.update(asked, limits=(batch_size, tokens))
            # What runs is given many batches at once and makes full ones of the samples that stay.
            together = CHUNK if plan.table is not None else batch_size * POOL_BATCHES
            self._limits = together, tokens * (CHUNK if plan.table is not None else POOL_BATCHES)
        else:
            how["profile"] = profile
            self._limits = batch_size, tokens
        self._model: Backend | ExitModel | None = None
        self._pool: WorkerPool | None = None
        if workers:
            where = f"{opener.__module__}:{opener.__name__}"
            self._pool = WorkerPool(workers, how, threads, where, timeout)
        else:
            self._model = opener(threads=threads, **how)

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers and let go of the model."""
        if self._pool is not None:
            self._pool.close()
        if isinstance(self._model, Backend) and self._model.close is not None:
            self._model.close()
        self._model = self._pool = None

    def predict(
        self, texts: Sequence[Text | Question | Choices], progress: bool = False, lengths: Ints | None = None
    ) -> list[Prediction]:
        """One prediction per text, or per pair of texts (a tuple of two), in their order; lengths as of `answers`.

        A model of choices is asked questions instead, each a tuple of a text and its choices, or a Question.
        """
        if self.task.kind.together:
            return self._choose(check_questions(texts), progress, lengths)
        if self.task.kind.windowed:
            return self._extract(texts, progress, lengths)  # type: ignore[arg-type]  # which looks at each
        if self.task.kind.per_token:
            return self._of_words(texts, progress, lengths)  # type: ignore[arg-type]  # which looks at each
        return self.told(self.answers(texts, progress, lengths))  # type: ignore[arg-type]  # which looks at each

    def told(self, answers: Answers) -> list[Prediction]:
        """What `answers` means, a prediction for each text; of bundles that answer texts as a whole."""
        logits = answers.logits.astype(np.float64)  # [N, C]
        layers: list[int | None] = answers.layers.tolist() if self._exits else [None] * len(logits)
        found = self.task.kind.answers(logits, self.labels, self.task.thresholds)
        return [Prediction(**vars(answer), exit_layer=layer) for answer, layer in zip(found, layers)]

    def _choose(self, questions: Sequence[Question], progress: bool, lengths: Ints | None) -> list[Prediction]:
        rows, group = rows_of(questions)
        whole = np.zeros(len(rows), np.int64)
        logits = regrouped(self.answers(rows, progress, whole).logits, group)  # [E, C]
        if lengths is not None:
            np.maximum.at(lengths, group, whole)
        found = self.task.kind.answers(logits, self.labels, self.task.thresholds)
        return [Prediction(**vars(answer)) for answer in found]

    def _extract(self, texts: Sequence[Text], progress: bool, lengths: Ints | None) -> list[Prediction]:
        contexts = [text if isinstance(text, str) else text[1] for text in check_texts(texts, self.manifest.task)]
        logits = self.passage_logits(texts, progress, lengths)
        found = [Prediction(**vars(answer)) for answer in self.task.kind.answers(logits, (), self.task.thresholds)]
        return [
            replace(each, extract=replace(each.extract, text=context[each.extract.start : each.extract.end]))
            for each, context in zip(found, contexts)
            if each.extract is not None  # as this kind's all are
        ]

    def passage_logits(self, pairs: Sequence[Text], progress: bool = False, lengths: Ints | None = None) -> Logits:
        """[E, W, 5] as of `tasks.passages`, of questions with their contexts; lengths: of the longest window."""
        if not self.task.kind.windowed:
            raise UserError("this bundle finds no answers in contexts: ask for logits or predict")
        if self._encode.cut_windows is None:
            raise UserError("this bundle has no tokenizer.json, which says where words stand; export it again with one")
        checked = [(text, "") if isinstance(text, str) else text for text in check_texts(pairs, self.manifest.task)]
        cut = self._encode.cut_windows(checked, self.task.doc_stride)
        if lengths is not None:
            np.maximum.at(lengths, cut.group, cut.ids.whole)
        rows = WindowRows(cut, self.manifest.num_labels)
        self._collect(rows, [checked[question] for question in cut.group], progress, None)
        return rows.answers()

    def rank(self, query: str, passages: Sequence[str], progress: bool = False) -> list[Ranked]:
        """The passages with their scores, the best first; of a model with label_kind ranking."""
        check_ranks(self.task.kind)
        if isinstance(passages, str):
            raise UserError(f"passages must be a list of texts, not the single text {shown(passages)}")
        return ranked(passages, self.logits([(query, passage) for passage in passages], progress)[:, 0])

    def _of_words(self, texts: Sequence[Text], progress: bool, lengths: Ints | None) -> list[Prediction]:
        checked = check_texts(texts, self.manifest.task)
        single = [text if isinstance(text, str) else text[0] for text in checked]
        answer, each = self.task.kind.of_words, self.word_answers(checked, progress, lengths).each()
        return [
            Prediction(**vars(answer(logits, words, text, self.labels))) for text, (words, logits) in zip(single, each)
        ]

    def logits(self, texts: Sequence[Text], progress: bool = False) -> Logits:
        """[N, C] float32 in the order of the texts; of words, text by text, where each of them has an answer."""
        if self.task.kind.windowed:
            return self.passage_logits(texts, progress)
        logits: Logits = (self.word_answers if self.task.kind.per_token else self.answers)(texts, progress).logits
        return logits

    def answers(self, texts: Sequence[Text], progress: bool = False, lengths: Ints | None = None) -> Answers:
        """Logits [N, C] float32 and the layers [N] that ran, in the order of the texts; layers 0: all, no exits.

        lengths: int64 [N], which are set to the tokens of each text before it was cut.
        """
        if self.task.kind.per_token:
            raise UserError("this bundle answers word by word: ask for word_answers, logits or predict")
        rows = Rows(len(texts), self.manifest.num_labels)
        self._collect(rows, texts, progress, lengths)
        return rows.answers

    def word_answers(self, texts: Sequence[Text], progress: bool = False, lengths: Ints | None = None) -> WordAnswers:
        """The words of each text and what is said of each, where a model answers for every token; as `answers`."""
        if not self.task.kind.per_token or self.task.kind.windowed:
            raise UserError("this bundle answers texts as a whole: ask for answers, logits or predict")
        rows = WordRows(self.manifest.num_labels)
        self._collect(rows, texts, progress, lengths)
        return rows.answers()

    def _collect(self, into: Collector, texts: Sequence[Text], progress: bool, lengths: Ints | None) -> None:
        check_process(self._owner)  # before the lock, which a fork may have copied while a thread held it
        if self._model is None and self._pool is None:
            raise UserError("this Predictor is closed; make another one")
        texts = check_texts(texts, self.manifest.task)
        with self._lock, Progress(total=len(texts), desc="predict", unit="text", disable=not progress) as bar:
            members: dict[int, NDArray[np.int64]] = {}
            for key, found in self._run(self._batches(into, texts, members, lengths)):
                rows = members.pop(key)
                if not into.put(rows, found):
                    raise RunError(f"the model answers with numbers that are not finite in {self._precision}; try fp32")
                bar.update(len(rows))

    def _run(self, batches: Iterable[Batch]) -> Iterator[Answered]:
        if self._pool is not None:
            return self._pool.run(batches)
        assert self._model is not None  # as `answers` has seen
        run = self._model.run
        return ((batch.key, run(batch.input_ids, batch.token_type_ids)) for batch in batches)

    def _batches(
        self, into: Collector, texts: Sequence[Text], members: dict[int, NDArray[np.int64]], whole: Ints | None
    ) -> Iterator[Batch]:
        """Padded batches of texts of about one length; `members` remembers which texts are in the batch of a key."""
        rows, tokens = self._limits
        for start in range(0, len(texts), CHUNK):
            input_ids, token_type_ids, before = into.cut(self._encode, texts[start : start + CHUNK])
            if whole is not None:
                whole[start : start + CHUNK] = before
            lengths = np.asarray([len(ids) for ids in input_ids])
            # A short list still gives every worker something to do.
            for group in plan_batches(lengths, min(rows, -(-len(lengths) // self._parts)), tokens):
                key = start + int(group[0])
                members[key] = start + group
                shape = len(group), lengths[group[0]]
                batch = Batch(key, np.full(shape, self.manifest.pad_token_id), np.zeros(shape, np.int64))
                for row, text in enumerate(group):
                    batch.input_ids[row, : lengths[text]] = input_ids[text]
                    batch.token_type_ids[row, : lengths[text]] = token_type_ids[text]
                yield batch


def _check_exits(threshold: object, mode: object, criterion: object, drop: object) -> None:
    """UserError for words and types that mean nothing; what they mean to a bundle is exits.plan_of's."""
    if mode is not None:
        word("exit_mode", mode, MODES)
    if criterion is not None:
        word("exit_criterion", criterion, CRITERIA)
    if drop is not None:
        if isinstance(drop, bool) or not isinstance(drop, Real) or not 0 < float(drop) < 1:
            raise UserError(f"exit_drop {shown(drop)}: must be a number above 0 and below 1, such as 0.01")
        if threshold is not None or mode or criterion:
            raise UserError("exit_drop says which threshold is taken; leave exit_threshold, _mode and _criterion out")
        return
    if threshold is None and (mode or criterion):
        raise UserError("exit_mode and exit_criterion are for early exits; give an exit_threshold with them")
    if threshold is not None and (isinstance(threshold, bool) or not isinstance(threshold, (str, Real))):
        raise UserError(f"exit_threshold {shown(threshold)}: must be a number or {FROM_POLICY}")
