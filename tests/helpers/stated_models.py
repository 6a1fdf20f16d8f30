"""A model's directory with what it states and no weights: enough for all that is said before Paddle loads."""

import json

from ofa_bert.models.record import ModelRecord
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.values import ModelShape
from ofa_bert.tasks.task import Task

SHAPE = ModelShape(
    num_layers=4, hidden_size=32, num_heads=4, head_dim=8, ffn_size=64, vocab_size=100, max_positions=64,
    type_vocab_size=2, num_labels=2,
)  # fmt: skip


def state_supernet(directory, task=None):
    """A supernet of widths 1 and 1/2."""
    directory.mkdir(parents=True)
    record = ModelRecord(
        kind="supernet", task=task or Task("made-up", ("a", "b"), ("accuracy",), ("text",)), model_type="bert",
        max_seq_length=32, shape=SHAPE, space=SearchSpace(SHAPE, (1.0, 0.5)),
    )  # fmt: skip
    (directory / "ofa_config.json").write_text(json.dumps(record.to_json()))
    config = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4}
    (directory / "config.json").write_text(json.dumps({**config, "intermediate_size": 64, "vocab_size": 100}))
    return directory
