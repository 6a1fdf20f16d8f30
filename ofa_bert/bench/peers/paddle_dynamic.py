"""PaddleNLP's model, called as in training, without export."""

from __future__ import annotations

from collections.abc import Callable

from ofa_bert.bench.peers.base import Opening, Peer, described
from ofa_bert.runtime.backends.base import Ids, Logits
from ofa_bert.runtime.opening import Backend
from ofa_bert.system import packages

NAME = "paddle_dynamic"


def open_dynamic(how: Opening) -> Backend:
    """PaddleNLP's model of the bundle's shape, in evaluation mode."""
    shape, sub_model = described(how.manifest, "this bundle")
    paddle = packages.require("paddle")
    from ofa_bert.models.encoder import resize
    from ofa_bert.models.families.registry import model_class

    assert how.manifest.model_type is not None  # as `described` has seen
    kind = model_class(how.manifest.model_type, bool(shape.per_token))
    config = kind.config_class(
        vocab_size=shape.vocab_size, hidden_size=shape.hidden_size, num_hidden_layers=sub_model.depth,
        num_attention_heads=shape.num_heads, intermediate_size=shape.ffn_size, num_labels=shape.num_labels,
        max_position_embeddings=shape.max_positions, type_vocab_size=shape.type_vocab_size,
    )  # fmt: skip
    model = kind(config)
    resize(model, sub_model.heads, sub_model.ffn)
    model.eval()

    def run(input_ids: Ids, token_type_ids: Ids) -> Logits:
        if how.device == "cpu":
            paddle.base.core.set_num_threads(how.threads)  # one number for the whole process; others may have set it
        with paddle.no_grad():
            logits: Logits = model(paddle.to_tensor(input_ids), paddle.to_tensor(token_type_ids)).numpy()
        return logits

    def bind(input_ids: Ids, token_type_ids: Ids) -> Callable[[], object]:
        return lambda: run(input_ids, token_type_ids)

    return Backend(run, "logits", how.device, NAME, "fp32", "cuda" if how.device == "gpu" else "cpu", bind)


PEERS = (Peer(NAME, "PaddleNLP's model without export", ("fp32",), open_dynamic, first_only=True, spins=True),)
