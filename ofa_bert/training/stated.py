"""A model as its config.json and ofa_config.json describe it, before anything of it is loaded. Imports no Paddle.

What cannot be is said here in milliseconds; Paddle and the weights take many seconds. Only a local directory says
anything, and what it leaves open is left to whoever loads the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ofa_bert.data.tokenization.vocabulary_files import VOCABULARY, has_byte_pairs
from ofa_bert.errors import UserError
from ofa_bert.files.atomic import MODEL_META
from ofa_bert.files.reading import Json, read_object
from ofa_bert.models.config_checks import CONFIG_FILES, check_activation, check_model_type, no_pairs
from ofa_bert.models.families.registry import AUTO, check_per_token, family_named
from ofa_bert.models.model_type import stated_model_type
from ofa_bert.models.record import ModelRecord, best_of, check_task
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.tasks.task import Task


@dataclass(frozen=True)
class StatedModel:
    """What stands in the directory `where`. A size is None where it does not say one."""

    where: str
    model_type: str
    config: Mapping[str, Json]
    record: ModelRecord

    def size(self, name: str) -> int | None:
        value = self.config.get(name)
        return value if type(value) is int and value > 0 else None

    @property
    def widest(self) -> SubModelConfig | None:
        """All that the model has, as `models.supernet.whole` would find it."""
        if self.record.sub_model is not None:
            kept = self.record.sub_model
            return SubModelConfig(tuple(range(kept.depth)), kept.heads, kept.ffn)
        layers, heads, ffn = map(self.size, ("num_hidden_layers", "num_attention_heads", "intermediate_size"))
        if layers is None or heads is None or ffn is None or layers > 1 << 16:
            return None
        return SubModelConfig(tuple(range(layers)), (heads,) * layers, (ffn,) * layers)

    def check_length(self, length: int, who: str = "the model") -> None:
        """UserError for inputs that are longer than its positions."""
        positions, pad_id = self.size("max_position_embeddings"), self.config.get("pad_token_id")
        if positions is None:
            return
        family = family_named(self.model_type)
        positions = family.positions_for_tokens(positions, pad_id if type(pad_id) is int else 0)
        if length > positions:
            raise UserError(f"`max_seq_length` {length}: {who} has positions for {positions} tokens")

    def check_pairs(self, task: Task) -> None:
        """UserError for pairs of texts and a model that was trained without telling two texts apart."""
        directory = Path(self.where)
        marked = not has_byte_pairs(directory, self.model_type) and (directory / VOCABULARY).is_file()
        typed = family_named(self.model_type).token_types
        if typed and marked and len(task.text_columns) == 2 and self.size("type_vocab_size") == 1:
            raise UserError(no_pairs(self.where, task))

    def check_size(self, who: str, wanted: Mapping[str, tuple[int, str]]) -> None:
        """UserError when more is wanted than the model has; arguments as of `SubModelConfig.check_has`."""
        if self.widest is not None:
            self.widest.check_has(who, wanted)

    def check_task(self, task: Task) -> None:
        """UserError for a model that this project finetuned for another task."""
        check_task(self.where, self.record, task)

    def check_head(self, task: Task) -> None:
        """UserError for a family that has no model with the head that the task needs."""
        if task.kind.per_token:
            check_per_token(self.model_type)


def stated(name_or_path: str, model_type: str) -> StatedModel | None:
    """None for the name of a model that is no directory here.

    UserError for a directory that is none of a model, or damaged, or of another family, and for a path to nothing.
    """
    where = best_of(name_or_path)
    found = [Path(where, name) for name in CONFIG_FILES if Path(where, name).is_file()]
    if not found:
        _check_place(where)
        return None
    config = read_object(found[0], finite=True)
    meta = Path(where, MODEL_META)
    record = ModelRecord.from_json(read_object(meta), str(meta)) if meta.exists() else ModelRecord()
    if model_type == AUTO:
        model_type = stated_model_type(where, config, record.model_type)
    check_model_type(where, config, model_type)
    family = family_named(model_type)
    config = family.renamed(config)
    if "hidden_act" in config:
        check_activation(where, config["hidden_act"], family)
    return StatedModel(where, model_type, config, record)


def _check_place(where: str) -> None:
    """UserError for a directory without a model, and for what can only be a path and leads nowhere."""
    if Path(where).exists():
        raise UserError(f"{where}: is no model directory; it has no {CONFIG_FILES[0]}")
    beside = "/" in where and Path(where).parent.exists()  # an organisation's name is no directory here
    if beside or where.startswith((".", "/", "~")) or where.count("/") > 1:
        raise UserError(
            f"{where}: there is no such directory; name one with config.json, weights and vocabulary, or a model of"
            " PaddleNLP by its name"
        )
