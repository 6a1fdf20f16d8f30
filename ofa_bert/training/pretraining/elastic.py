"""Depth before any task: the shallow sub-models of an encoder learn from the encoder itself, on plain text.

    L = mean over depths of  state_weight * hidden states against those of the layers they stand for
                           + relation_weight * relations of queries, keys and values of the last layer (MiniLMv2)

No labels, no masked-LM head. What comes out is finetuned as the encoder is, and a supernet of it keeps the same layers.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import paddle

from ofa_bert.data.corpus import Corpus, count_texts
from ofa_bert.errors import UserError
from ofa_bert.files.atomic import file_sha256
from ofa_bert.models.directories import LoadedEncoder, load_encoder
from ofa_bert.models.encoder import longest_input, set_dropout, shape_of
from ofa_bert.models.model_type import with_model_type
from ofa_bert.models.record import best_of
from ofa_bert.options import to_json
from ofa_bert.submodels.layer_sets import Layers
from ofa_bert.training import distributed
from ofa_bert.training.pretraining.elastic_job import ElasticJob
from ofa_bert.training.pretraining.elastic_plan import depths_of, line_of, record_of, relation_heads
from ofa_bert.training.pretraining.elastic_step import ElasticObjective, distances, elastic_step
from ofa_bert.training.run import Training, train
from ofa_bert.training.run_directory import Best, Entry, Evaluation, RunResults, check_output_dir
from ofa_bert.training.students.cut import fingerprint

logger = logging.getLogger(__name__)


class ElasticResults(RunResults):
    kept_layers: Mapping[str, Layers]  # name of a depth -> its layers
    start: Mapping[str, Mapping[str, float]]  # name of a depth -> how far it is from the encoder
    best: Best
    last: Entry


def pretrain_elastic(job: ElasticJob) -> ElasticResults:
    """Train the depths; best/ is the nearest to the encoder on held-out texts. Returns what results.json says."""
    if not job.elastic:
        raise UserError("`elastic` false: there is nothing else that this job does; leave it out")
    job = dataclasses.replace(job, model=with_model_type(job.model, job.model.model_name_or_path))
    output, loops, digest = Path(job.output_dir), job.loop, corpus_digest(job)
    check_output_dir(output, settings(job, digest), loops.resume, "elastic pre-training")
    paddle.seed(loops.seed)
    source = job.model
    found = load_encoder(best_of(source.model_name_or_path), source.model_type, source.tokenizer_name_or_path)
    model, space = found.model, depths_of(job, shape_of(found.model))
    objective = ElasticObjective(
        job.state_weight, job.relation_weight, relation_heads(job, space.shape), job.full_depth_weight
    )
    corpus = _corpus(job, found)
    held_out, sub_models = corpus.held_out(), space.sub_models()
    distributed.same_start(model.parameters())
    teacher = copy.deepcopy(model)
    teacher.eval()
    set_dropout(model, job.supernet_dropout)

    def evaluate() -> Evaluation:
        each = distances(model, teacher, objective, sub_models, held_out, "held out")
        score = -float(np.mean([values["loss"] for values in each.values()]))
        return Evaluation(score=score, scores=each, lines=[line_of(name, values) for name, values in each.items()])

    start = distances(model, teacher, objective, sub_models, held_out, "held out, as it came")
    for name, values in start.items():
        logger.info("as it came  %s", line_of(name, values))
    training = Training(
        name="pretrain",
        model=model,
        tokenizer=found.tokenizer,
        record=record_of(job, found.record if found.has_classifier else None, space, corpus.texts, digest),
        batches=corpus,
        make_step=lambda plan: elastic_step(model, teacher, objective, tuple(sub_models.values())),
        evaluate=evaluate,
        data=corpus.facts,
    )
    kept = train(training, output, loops, job.optimizer)
    own: ElasticResults = {
        "kept_layers": {name: sub_model.layers for name, sub_model in sub_models.items()},
        "start": start,
        "best": kept.best["best"],
        "last": kept.history[-1],
    }
    return kept.write_results(to_json(job), own)


def corpus_digest(job: ElasticJob) -> str:
    """SHA-256 of the texts' file. UserError where there is none."""
    count_texts(job.corpus, job.held_out)
    return file_sha256(job.corpus)


def settings(job: ElasticJob, digest: str) -> dict[str, object]:
    """What a run in the same directory must share: its settings, the encoder's weights, the texts."""
    weights = fingerprint(job.model.model_name_or_path, job.model.model_type)
    return {**to_json(job), "encoder_weights": weights, "corpus_sha256": digest[:16]}


def _corpus(job: ElasticJob, found: LoadedEncoder) -> Corpus:
    """Of this process, without masks."""
    loops, longest = job.loop, longest_input(found.model)
    if loops.length > longest:
        raise UserError(f"`max_seq_length` {loops.length}: the encoder has positions for {longest} tokens")
    corpus = Corpus(
        job.corpus, found.tokenizer, loops.length, loops.batch_size, loops.seed, 0.0, job.held_out,
        distributed.rank(), distributed.world_size(),
    )  # fmt: skip
    logger.info("corpus: %d texts to train on, %d held out", corpus.size, corpus.texts - corpus.size)
    return corpus
