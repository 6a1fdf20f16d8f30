"""A model directory of the product, or an encoder from elsewhere, read without Paddle and without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ofa_bert.data.tokenization.text_tokenizer import TextTokenizer
from ofa_bert.data.tokenization.tokenizer_files import read_tokenizer
from ofa_bert.errors import UserError
from ofa_bert.files.atomic import MODEL_META, atomic_directory, write_json_atomic
from ofa_bert.files.fields import Fields
from ofa_bert.files.weights import find_weights, read_weights, write_weights
from ofa_bert.models.families.bert import BERT
from ofa_bert.models.parameter_names import to_paddle
from ofa_bert.models.record import ModelRecord, check_task
from ofa_bert.numerics import Floats
from ofa_bert.submodels.values import ModelShape
from ofa_bert.tasks.task import Task
from ofa_bert.training.stated import StatedModel, stated

KINDS = ("classification", "regression")
WORDS = "embeddings.word_embeddings.weight"
HEAD = ("pooler.dense", "classifier")
_PREFIX = f"{BERT.model_type}."


@dataclass(frozen=True)
class Directory:
    """A BERT. weights: float32, by the product's names without the encoder's prefix, Linear weights [in, out].

    dropout: of hidden states; attention_dropout: of attention weights.
    """

    where: str
    weights: Mapping[str, Floats]
    shape: ModelShape
    epsilon: float
    dropout: float
    attention_dropout: float
    tokenizer: TextTokenizer
    stated: StatedModel

    @property
    def finetuned(self) -> bool:
        return all(f"{module}.weight" in self.weights for module in HEAD)

    def with_head(self, labels: int, seed: int) -> Directory:
        """With a classifier, and a pooler where it lacks one, at random values."""
        rng, hidden, weights = np.random.default_rng(seed), self.shape.hidden_size, dict(self.weights)
        for module, width in zip(HEAD, (hidden, labels)):
            if f"{module}.weight" not in weights or module == "classifier":
                weights[f"{module}.weight"] = rng.normal(0, 0.02, (hidden, width)).astype(np.float32)
                weights[f"{module}.bias"] = np.zeros(width, np.float32)
        return replace(self, weights=weights, shape=replace(self.shape, num_labels=labels))

    def save(self, directory: Path, task: Task, length: int, seed: int, scores: Mapping[str, float]) -> None:
        """As a teacher that the product reads too."""
        record = ModelRecord(
            kind="teacher", task=task, model_type=BERT.model_type, max_seq_length=length, seed=seed, shape=self.shape,
            elastic=self.stated.record.passed_on(self.shape.num_layers), scores=scores, score=scores["score"],
        )  # fmt: skip
        self.write(directory, record)

    def write(self, directory: Path, record: ModelRecord) -> None:
        """As a directory that the product reads too, with this record."""
        task, config = record.task, dict(self.stated.config)
        with atomic_directory(directory) as new:
            if self.shape.num_labels:
                config["num_labels"] = self.shape.num_labels
            if task is not None and task.labels:
                config["id2label"] = dict(enumerate(task.labels))
                config["label2id"] = {label: number for number, label in enumerate(task.labels)}
            write_json_atomic(new / "config.json", config)
            write_json_atomic(new / MODEL_META, record.to_json())
            self.tokenizer.save_pretrained(new)
            write_weights(new / "model.safetensors", {product_name(name): each for name, each in self.weights.items()})


def bare_name(name: str) -> str:
    return name.removeprefix(_PREFIX)


def product_name(name: str) -> str:
    return name if name.startswith("classifier.") else _PREFIX + name


def read_directory(name_or_path: str, task: Task) -> Directory:
    """UserError for what the twin cannot compute, and for a model of another task."""
    if task.kind_name not in KINDS:
        raise UserError(f"{task.name}: is {task.kind_name}; the twin has {' and '.join(KINDS)}")
    found = read_encoder(name_or_path)
    check_task(found.where, found.stated.record, task)
    if found.finetuned and found.stated.record.task is None:
        raise UserError(f"{found.where}: was finetuned elsewhere; the twin reads models that `finetune` made")
    return found


def read_encoder(name_or_path: str) -> Directory:
    """Whatever it was trained for; UserError for what the twin cannot compute."""
    model = stated(name_or_path, "auto")
    if model is None:
        raise UserError(f"`model_name_or_path` {name_or_path}: the twin downloads nothing; name a directory")
    _check(model)
    stored = to_paddle(read_weights(find_weights(model.where)), BERT)
    arrays = {bare_name(name): np.asarray(array, np.float32) for name, array in stored.items()}
    tokenizer = read_tokenizer(Path(model.where), BERT.model_type)
    if tokenizer is None:
        raise UserError(f"{model.where}: only PaddleNLP cuts texts as its tokenizer_config.json says; the twin cannot")
    told = Fields(model.config, f"{model.where}: its config.json")
    dropout = told.number("hidden_dropout_prob", 0, 1, default=0.1)
    return Directory(
        where=model.where,
        weights=arrays,
        shape=_shape(model, arrays),
        epsilon=told.number("layer_norm_eps", 0, 1, default=1e-12),
        dropout=dropout,
        attention_dropout=told.number("attention_probs_dropout_prob", 0, 1, default=dropout),
        tokenizer=tokenizer,
        stated=model,
    )


def _check(model: StatedModel) -> None:
    if model.model_type != BERT.model_type:
        raise UserError(f"{model.where}: is {model.model_type}; the twin has bert alone")
    activation = model.config.get("hidden_act", "gelu")
    if activation != "gelu":
        raise UserError(f"{model.where}: its hidden_act is {activation}; the twin has gelu alone")
    if model.record.is_sub_model:
        raise UserError(f"{model.where}: is an exported sub-model; a supernet starts from a full model")


def _shape(model: StatedModel, arrays: Mapping[str, Floats]) -> ModelShape:
    widest = model.widest
    lacking = [name for name in (WORDS, "embeddings.position_embeddings.weight") if name not in arrays]
    if widest is None or lacking:
        raise UserError(f"{model.where}: its weights are not those of a BERT; it has no {' '.join(lacking) or 'sizes'}")
    (vocabulary, hidden), heads = arrays[WORDS].shape, widest.heads[0]
    classes = arrays.get("classifier.bias")
    return ModelShape(
        num_layers=widest.depth,
        hidden_size=hidden,
        num_heads=heads,
        head_dim=hidden // heads,
        ffn_size=widest.ffn[0],
        vocab_size=vocabulary,
        max_positions=len(arrays["embeddings.position_embeddings.weight"]),
        type_vocab_size=len(arrays["embeddings.token_type_embeddings.weight"]),
        num_labels=0 if classes is None else len(classes),
    )
