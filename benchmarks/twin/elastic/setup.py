"""What a training of depths starts from: the encoder, the depths, the corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ofa_bert.data.corpus import Corpus
from ofa_bert.files.atomic import file_sha256
from ofa_bert.models.record import ModelRecord
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.layer_sets import RULES
from ofa_bert.submodels.values import SubModelConfig, uniform
from ofa_bert.training.pretraining.elastic_job import ElasticJob
from ofa_bert.training.pretraining.elastic_plan import depths_of, record_of
from twin.directory import Directory, read_encoder


@dataclass(frozen=True)
class Setup:
    """sub_models: those of the record first."""

    directory: Directory
    corpus: Corpus
    space: SearchSpace
    sub_models: Mapping[str, SubModelConfig]

    @classmethod
    def of(cls, job: ElasticJob, also: Sequence[str] = ()) -> Setup:
        """also: rules by which every depth keeps other layers as well. UserError for what cannot be read."""
        found, loops = read_encoder(job.model.model_name_or_path), job.loop
        directory = replace(found, weights={name: each for name, each in found.weights.items() if _stays(name)})
        corpus = Corpus(
            job.corpus, directory.tokenizer, loops.length, loops.batch_size, loops.seed, 0.0, job.held_out
        )  # fmt: skip
        space = depths_of(job, directory.shape)
        return cls(directory, corpus, space, with_rules(space, also))

    def record(self, job: ElasticJob) -> ModelRecord:
        before = self.directory.stated.record if self.directory.finetuned else None
        return record_of(job, before, self.space, self.corpus.texts, file_sha256(job.corpus))


def _stays(name: str) -> bool:
    """Whether a weight is one of an encoder or a classifier, not of a head of pre-training."""
    return name.startswith(("embeddings.", "encoder.", "pooler.", "classifier.")) and not name.endswith("_ids")


def with_rules(space: SearchSpace, rules: Sequence[str]) -> dict[str, SubModelConfig]:
    """The sub-models of the space and, where they keep other layers, those of each depth by these rules."""
    found = space.sub_models()
    for name, sub_model in space.sub_models().items():
        for rule in rules:
            layers = RULES[rule](space.shape.num_layers, sub_model.depth)
            other = uniform(space.shape, 1.0, layers)
            if other not in found.values():
                found[f"{name} {rule}"] = other
    return found
