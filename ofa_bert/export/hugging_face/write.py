"""A sub-model as a directory that Hugging Face's transformers loads, without a line of this package."""

from __future__ import annotations

from pathlib import Path

from paddle import nn

from ofa_bert.data.tokenization.second_cut import CUT_AGAIN
from ofa_bert.data.tokenization.text_tokenizer import Cutter, TextTokenizer
from ofa_bert.data.tokenization.vocabulary_files import LONE_BLANKS, OF_TRANSFORMERS
from ofa_bert.errors import UserError
from ofa_bert.export.hugging_face.card import Timed, card
from ofa_bert.export.hugging_face.layout import Layout, config_of
from ofa_bert.export.hugging_face.weights import sizes_of, weights_of
from ofa_bert.export.tokenizer import write_tokenizer
from ofa_bert.files.atomic import HUGGING_FACE_META, atomic_directory, write_json_atomic
from ofa_bert.files.reading import read_object
from ofa_bert.files.weights import write_weights
from ofa_bert.models.encoder import family_of
from ofa_bert.models.record import ModelRecord
from ofa_bert.submodels.values import ModelShape, SubModelConfig

WEIGHTS, CARD, TOKENIZER_CONFIG = "model.safetensors", "README.md", "tokenizer_config.json"
# Reads tokenizer.json as it is; the classes of the families build another one from the vocabulary.
_TOKENIZER = "PreTrainedTokenizerFast"


def write_hugging_face(
    directory: str | Path,
    model: nn.Layer,
    tokenizer: Cutter,
    record: ModelRecord,
    shape: ModelShape,
    sub_model: SubModelConfig,
    length: int,
    layout: Layout,
    speed: Timed | None,
) -> None:
    """config.json, model.safetensors, the tokenizer, README.md and what they were made from, all at once.

    record, shape: as the sub-model's own; the latter of the model that it was cut from. length: tokens of the longest
    text. speed: what stands in the card. UserError for a tokenizer that the package tokenizers does not have.
    """
    assert record.task is not None
    _check_blanks(directory, tokenizer)
    weights = weights_of(model, layout)
    with atomic_directory(directory) as new:
        written = write_tokenizer(tokenizer, new)
        if written["file"] is None:
            raise UserError(f"`hugging_face` {directory}: transformers reads tokenizer.json; {written['reason']}")
        own = read_object(new / TOKENIZER_CONFIG) if (new / TOKENIZER_CONFIG).is_file() else {}
        tokens = {name: token for name, token in own.items() if name.endswith("_token")}
        # transformers 5 leaves the types out unless it is told.
        inputs = ["input_ids", *(["token_type_ids"] if family_of(model).token_types else []), "attention_mask"]
        settings: dict[str, object] = {
            "tokenizer_class": layout.names.tokenizer or _TOKENIZER,
            "model_max_length": length,
            "model_input_names": inputs,
        }
        if layout.names.tokenizer is not None:  # from vocab.txt and the sentencepiece model
            settings[OF_TRANSFORMERS] = {}
            (new / str(written["file"])).unlink()
        write_json_atomic(new / TOKENIZER_CONFIG, {**tokens, **settings})
        write_json_atomic(new / "config.json", config_of(model, record.task, layout, sizes_of(weights)))
        write_weights(new / WEIGHTS, weights, {"format": "pt"})  # transformers 4 wants to be told
        (new / CARD).write_text(card(record, shape, sub_model, layout, speed), encoding="utf-8")
        write_json_atomic(new / HUGGING_FACE_META, record.to_json())


def _check_blanks(directory: str | Path, tokenizer: Cutter) -> None:
    """UserError for the one way to cut that transformers' own class of such a tokenizer does not have."""
    if not isinstance(tokenizer, TextTokenizer) or tokenizer.kind != CUT_AGAIN:
        return
    if not tokenizer.state["model"][LONE_BLANKS]:
        raise UserError(
            f"`hugging_face` {directory}: the model was trained without tokens for blanks that stand alone, which"
            f' transformers makes; leave it out, or finetune again with "{LONE_BLANKS}": true in tokenizer_config.json'
        )
