"""What the training of an encoder's depths follows, and what its record says. Imports no Paddle."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from ofa_bert.errors import UserError
from ofa_bert.models.record import ModelRecord
from ofa_bert.options import to_json
from ofa_bert.submodels.elastic_record import ElasticRecord
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.layer_sets import RULES
from ofa_bert.submodels.values import ModelShape, SubModelConfig, scaled
from ofa_bert.training.pretraining.elastic_job import ElasticJob, uneven_relations

logger = logging.getLogger(__name__)


def depths_of(job: ElasticJob, shape: ModelShape) -> SearchSpace:
    """Every depth at full width."""
    depths = tuple(sorted(set(job.depth_mult_list), reverse=True))
    kept = tuple(RULES[job.layer_choice](shape.num_layers, scaled(shape.num_layers, depth)) for depth in depths)
    for depth, layers in zip(depths, kept):
        if len(layers) < shape.num_layers:
            logger.info("depth %.4g keeps layers %s", depth, " ".join(map(str, layers)))
    return SearchSpace(shape, (1.0,), depths, kept)


def shares(sub_models: Sequence[SubModelConfig], full_depth_weight: float) -> list[float]:
    """What the loss of each counts in a mean over them all: the deepest ones so much more than the others."""
    deepest = max(each.depth for each in sub_models)
    weights = [full_depth_weight if each.depth == deepest else 1.0 for each in sub_models]
    return [weight * len(weights) / sum(weights) for weight in weights]


def relation_heads(job: ElasticJob, shape: ModelShape) -> int:
    """UserError for a number that does not divide what queries and keys have."""
    heads, width = job.relation_heads or shape.num_heads, shape.num_heads * shape.head_dim
    if width % heads:
        raise UserError(uneven_relations(heads, width))
    return heads


def record_of(job: ElasticJob, before: ModelRecord | None, space: SearchSpace, texts: int, digest: str) -> ModelRecord:
    """A classifier stays what it is, of its task; an encoder is a pretrained one.

    before: the classifier's record, None of an encoder. texts, digest: of the corpus, the latter its SHA-256.
    """
    elastic = ElasticRecord(
        by=job.layer_choice,
        num_layers=space.shape.num_layers,
        depths=dict(zip(space.depth_mults, space.kept_layers)),
        sha256=digest,
        texts=texts,
    )
    known = before or ModelRecord()
    return ModelRecord(
        kind=known.kind or "pretrained", task=known.task, model_type=job.model.model_type, shape=known.shape,
        max_seq_length=known.max_seq_length, held_out=known.held_out, seed=job.loop.seed, elastic=elastic,
        config=to_json(job),
    )  # fmt: skip


def line_of(name: str, values: Mapping[str, float]) -> str:
    return f"{name:<10} held out " + "  ".join(f"{part} {value:.4f}" for part, value in values.items())
